import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from acsnet.training import environment
from acsnet.training.environment import describe_environment
from acsnet.version import __version__

CPU = torch.device("cpu")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit and a tag; the module's file lies in it, not yet tracked."""
    (tmp_path / "readme").write_text("text")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "readme")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    git(tmp_path, "tag", "--annotate", "v1", "--message", "v1")
    path = tmp_path / "package" / "environment.py"
    path.parent.mkdir()
    path.write_text("code")
    monkeypatch.setattr(environment, "__file__", str(path))
    return path


def commit_of() -> Any:
    return describe_environment(CPU, "float32", 1)["commit"]


def test_what_is_said_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/tools/train.py", "configs/a.yaml", "--set", "a=1"])
    described = describe_environment(CPU, "bfloat16", 2)
    assert json.loads(json.dumps(described)) == described
    assert described["acsnet"] == __version__
    assert described["python"] == platform.python_version()
    assert described["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert None not in described["packages"].values()
    assert described["device"].startswith("cpu (")
    assert (described["precision"], described["processes"]) == ("bfloat16", 2)
    assert described["threads"] == torch.get_num_threads()
    assert described["command"] == ["train.py", "configs/a.yaml", "--set", "a=1"], "no path of the machine"


def test_a_cuda_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert describe_environment(torch.device("cuda", 1), "bfloat16", 1)["device"] == "GPU 1"


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_PACKAGES", ("torch", "no-such-package"))
    packages = describe_environment(CPU, "float32", 1)["packages"]
    assert packages["no-such-package"] is None
    assert packages["torch"] is not None


@pytest.mark.parametrize(
    ("content", "expected"),
    [("processor\t: 0\nmodel name\t: Fast CPU: 9\nmodel name\t: other\n", "Fast CPU: 9"), ("", platform.machine())],
)
def test_the_processor_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: str) -> None:
    real = environment.Path

    def locate(name: str) -> Path:
        return cpuinfo if name == "/proc/cpuinfo" else real(name)

    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(content)
    monkeypatch.setattr(environment, "Path", locate)
    assert describe_environment(CPU, "float32", 1)["device"] == f"cpu ({expected})"
    cpuinfo.unlink()
    assert describe_environment(CPU, "float32", 1)["device"] == f"cpu ({platform.machine()})"


@needs_git
def test_the_commit_of_a_checkout(module: Path) -> None:
    git(module.parent, "add", ".")
    git(module.parent, "commit", "--quiet", "--message", "second")
    git(module.parent, "tag", "v2")
    assert commit_of() == git(module.parent, "rev-parse", "HEAD"), "the full hash, regardless of tags"
    module.write_text("other code")
    assert commit_of() == git(module.parent, "rev-parse", "HEAD") + "+changes"


@needs_git
def test_an_installed_package_does_not_take_the_commit_of_the_repository_around_it(module: Path) -> None:
    """As in a .venv inside of somebody's own repository."""
    assert git(module.parent, "rev-parse", "HEAD")
    assert commit_of() is None


def test_no_commit_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    assert commit_of() is None


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_no_commit_where_git_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert environment._commit() is None
