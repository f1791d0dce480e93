"""CONTRIBUTING.md: its recipes work as written, its walk names code that exists, and CI runs what it says."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
WORKFLOW = REPOSITORY / ".github" / "workflows" / "tests.yml"
MAX_STEPS = 12

Run = Callable[..., str]


def section(title: str) -> str:
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[[*re.findall(r"^## (.*)$", PAGE, re.MULTILINE)].index(title) + 1]


def steps(title: str) -> list[tuple[str, str, str]]:
    """The code blocks of a recipe: the file named on the line before or "", the language, and the code."""
    blocks = re.findall(r"^([^\n]*):\n\n```(\w+)\n(.*?)^```", section(title), flags=re.MULTILINE | re.DOTALL)
    named = [(re.findall(r"`([\w./]+\.\w+)`$", before), language, code) for before, language, code in blocks]
    return [(files[-1] if files else "", language, code) for files, language, code in named]


def apply_diff(text: str, diff: str) -> str:
    """Replace, in each hunk, its lines with " " or "-" by those with " " or "+"; a hunk ends after its "+" lines."""
    for hunk in re.findall(r"(?:^[ -].*\n)+(?:^\+.*\n)+", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        assert text.count(old) == 1, f"CONTRIBUTING.md names lines that are not there:\n{old}"
        text = text.replace(old, "".join(line[1:] for line in lines if line[0] in " +"))
    return text


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python in ``tmp_path``, which becomes a copy of the repository."""
    for name in ("acsnet", "tools", "configs"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        REPOSITORY / "checkpoints", tmp_path / "checkpoints", ignore=shutil.ignore_patterns("*.safetensors")
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "ACSNET_CACHE": str(tmp_path / "cache")}

    def call(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return call


def follow(title: str, folder: Path, run: Run) -> str:
    """Do what a recipe says, and return the output of its commands."""
    output = ""
    files = [step for step in steps(title) if step[0]]
    for file, language, code in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(apply_diff(path.read_text(), code) if language == "diff" else code)
    for _, language, code in [step for step in steps(title) if not step[0]]:
        if language == "python":
            output += run("-c", code)
        for line in code.splitlines() if language == "bash" else []:
            python, *arguments = shlex.split(line)
            assert python == "python"
            output += run(*arguments)
    return output


def test_add_a_network(tmp_path: Path, run: Run) -> None:
    assert "pooled_net" in follow("Add a network", tmp_path, run)
    code = (
        "import torch, acsnet; model = acsnet.create_model('pooled_net', num_classes=2, tasks=('classification',));"
        "print(model(torch.rand(3, 3, 10, 9)).label.shape)"
    )
    assert "[3, 2]" in run("-c", code)


def test_add_a_dataset(tmp_path: Path, run: Run) -> None:
    follow("Add a dataset", tmp_path, run)
    assert len((tmp_path / "curated/reader/records.csv").read_text().splitlines()) == 1 + 8
    assert len((tmp_path / "curated/table/records.csv").read_text().splitlines()) == 1 + 3
    assert "mine" in run("-c", "import acsnet.data; print(acsnet.data.list_datasets())")


def test_add_a_backend(tmp_path: Path, run: Run) -> None:
    follow("Add a backend of the deformable convolution", tmp_path, run)
    assert "per_image" in run("-c", "from acsnet.ops import list_backends; print(list_backends())")


def test_code_of_the_recipes_is_clean(tmp_path: Path) -> None:
    ruff = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))
    if not Path(ruff).is_file():
        pytest.skip("ruff is not installed")
    titles = re.findall(r"^## (Add .*)$", PAGE, flags=re.MULTILINE)
    code = [(file, code) for title in titles for file, language, code in steps(title) if language == "python" and file]
    assert len(code) == 3
    for file, text in code:
        path = tmp_path / Path(file).name
        path.write_text(text)
    settings = ["--config", str(REPOSITORY / "pyproject.toml")]
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run([ruff, *command, *settings, str(tmp_path)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout


def resolve(name: str) -> Any:
    """Import the longest prefix that is a module, then look up the rest."""
    words = name.split(".")
    for end in range(len(words), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for word in words[end:]:
            found = getattr(found, word)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", re.findall(r"^\d+\. `([\w.]+)`", section("The walk"), flags=re.MULTILINE))
def test_the_walk_names_code_that_exists(name: str) -> None:
    assert callable(resolve(name))


def test_the_walk_is_short() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", section("The walk"), flags=re.MULTILINE)]
    training, testing = numbers[: numbers.index(1, 1)], numbers[numbers.index(1, 1) :]
    for walk in (training, testing):
        assert walk == list(range(1, len(walk) + 1))
        assert len(walk) <= MAX_STEPS


def test_make_targets_named_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    named = set(re.findall(r"`make (\S+)`", PAGE))
    assert named >= {"install", "test", "lint", "types", "unit", "docs", "test-slow", "demo"}
    assert named <= set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))


def test_workflow_lints_tests_and_builds() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert set(workflow["jobs"]) == {"lint", "unit", "docs", "wheel"}
    matrix = workflow["jobs"]["unit"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert matrix["versions"] == ["newest"]
    oldest = {"versions": "oldest", "extras": "all,tools", "constraint": "--constraint scripts/oldest.txt"}
    assert matrix["include"] == [{"python": python, **oldest} for python in ("3.10", "3.11")]
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert re.findall(r"Python :: (3\.\d+)", project) == matrix["python"]
    commands = {
        job: "\n".join(step.get("run", "") for step in content["steps"]) for job, content in workflow["jobs"].items()
    }
    for command in ("ruff check .", "ruff format --check .", "codespell", "mypy"):
        assert command in commands["lint"]
    assert "--doctest-modules" in commands["unit"]
    assert "pip wheel . --no-deps" in commands["wheel"]
    assert "mkdocs build --strict" in commands["docs"]
    assert all((REPOSITORY / path).is_file() for path in commands["docs"].split("pytest ")[1].split())


def test_lint_of_the_workflow_is_that_of_the_makefile() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
    assert lint is not None
    steps_ = yaml.safe_load(WORKFLOW.read_text())["jobs"]["lint"]["steps"]
    (command,) = [step["run"] for step in steps_ if step.get("name") == "Lint"]
    assert command.split("\n")[:-1] == re.findall(r"^\t\$\(BIN\)/(.*)$", lint[1], flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted((REPOSITORY / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_forms_are_valid_yaml(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.parent.name == "ISSUE_TEMPLATE" and path.name != "config.yml":
        assert {"name", "description", "body"} <= set(form)
        ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 0


def test_hooks_are_pinned_and_need_no_local_environment() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["id"] for repository in hooks for hook in repository["hooks"]} == {
        "ruff-check",
        "ruff-format",
        "codespell",
        "check-yaml",
        "check-added-large-files",
        "end-of-file-fixer",
    }
    for repository in hooks:
        assert repository["repo"].startswith("https://")
        assert re.fullmatch(r"v[\d.]+", repository["rev"])
