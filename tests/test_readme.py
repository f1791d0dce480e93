"""The README's code blocks run as they stand, in a folder where what they name exists."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import acsnet
from acsnet import benchmarks, registry
from acsnet.models.summary import check_readme

BEGIN, END = "<!-- zoo:begin -->", "<!-- zoo:end -->"

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
Invoke = Callable[..., tuple[int, str, str]]

# What makes the commands' trainings short; everything else stays as the configuration says.
SHORT = ["model.arguments={encoder: mobilenetv3_small_050, widths: [16, 16, 16, 16, 16]}", "model.encoder_weights=null"]
SHORT += ["data.image_size=[64, 64]", "data.folds.count=4", "data.folds.validation=0.34", "training.epochs=1"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path, phantom_root: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the README's paths exist, with phantoms for BUSI."""
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    (tmp_path / "data").mkdir()
    os.symlink(phantom_root, tmp_path / "data" / "Dataset_BUSI_with_GT")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    os.symlink(phantom_root, tmp_path / "runs" / "demo" / "phantoms")
    os.symlink(trained_run, tmp_path / "runs" / "demo" / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


@pytest.mark.usefixtures("workplace", "_registry_as_it_was")
@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[-1][:30])
def test_python_blocks(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_make_targets() -> None:
    targets = re.findall(r"^make (\S+)", "".join(blocks("bash")), flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, check=True, capture_output=True)


@pytest.mark.usefixtures("workplace")
def test_commands(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^python tools/(\w+)\.py (.*)$", "".join(blocks("bash")), flags=re.MULTILINE)
    assert {tool for tool, _ in commands} == {"train", "test", "predict", "curate", "phantom", "models", "benchmark"}
    for tool, line in commands:
        arguments = shlex.split(line)
        if tool == "train":
            arguments += [part for override in SHORT for part in ("--set", override)]
        if tool == "benchmark":
            monkeypatch.setattr(benchmarks, "benchmark_inference", lambda _device, _rounds: [])
        if tool == "phantom":
            arguments += ["--size", "64", "64"]
        status, _, errors = invoke(tool, *arguments)
        assert status == 0, f"{tool} {line}: {errors}"


def test_zoo_table_names_every_network_and_is_fresh() -> None:
    table = README.partition(BEGIN)[2].partition(END)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == acsnet.list_models()
    check_readme(REPOSITORY / "README.md")


def test_configurations_named_exist() -> None:
    named = set(re.findall(r"configs/(\w+\.yaml)", README))
    assert named == {path.name for path in (REPOSITORY / "configs").glob("*.yaml")}
    for name in named:
        assert yaml.safe_load((REPOSITORY / "configs" / name).read_text())
