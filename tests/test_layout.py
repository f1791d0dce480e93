"""The layout of the package: who may import whom, how deep folders go, what ``import acsnet`` brings in."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "acsnet"
FOUNDATION = (
    "config", "registry", "checkpoint", "files", "errors", "version", "overlay", "text_table", "web", "cli",
    "yaml_files", "transfer", "released",
)  # fmt: skip
# Highest first. A line may import from the lines below it; the modules of the last line may import each other.
LINES = (
    ("benchmarks",),
    ("evaluation",),
    ("training",),
    ("data",),
    ("losses", "metrics"),
    ("models",),
    ("layers",),
    ("ops",),
    FOUNDATION,
)
RANKS = {name: len(LINES) - index for index, line in enumerate(LINES) for name in line}
HEAVY = {
    "monai",
    "albumentations",
    "matplotlib",
    "jinja2",
    "accelerate",
    "segmentation_models_pytorch",
    "tensorboard",
    "sklearn",
}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported_parts(source: str) -> Iterator[str]:
    """Give the part of the package (``models``, ``config``, ...) that each import names; the package itself is ''."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide where a name comes from"
            module = node.module or ""
            # `from acsnet import models` names a part; `from acsnet import create_model` the package's own front.
            names = [f"acsnet.{alias.name}" for alias in node.names] if module == "acsnet" else [module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "acsnet":
                part = rest.partition(".")[0]
                yield part if part in RANKS else ""


def forbidden_imports(part: str, source: str) -> list[str]:
    """Name the parts that a module of ``part`` imports and may not."""

    def may(other: str) -> bool:
        own_line = other == part or (part in FOUNDATION and other in FOUNDATION)
        return own_line or (other != "" and RANKS[other] < RANKS[part])

    return [other for other in imported_parts(source) if not may(other)]


@pytest.mark.parametrize(
    "module", [path for path in MODULES if path.name != "__init__.py" or len(path.parts) > 1], ids=str
)
def test_modules_import_only_from_below(module: Path) -> None:
    part = module.parts[0].removesuffix(".py")
    assert part in RANKS, f"acsnet/{module} is new: give {part!r} its line in the layout (LINES of {__file__})"
    wrong = forbidden_imports(part, (PACKAGE / module).read_text(encoding="utf-8"))
    assert not wrong, f"acsnet/{module} imports {wrong}, which do not lie below {part!r}"


@pytest.mark.parametrize(
    ("part", "source", "wrong"),
    [
        ("ops", "from acsnet.layers.gate import GateUnit", ["layers"]),
        ("ops", "from acsnet.registry import look_up", []),
        ("ops", "import acsnet.models", ["models"]),
        ("data", "def f():\n    from acsnet.training import Trainer", ["training"]),
        ("metrics", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import acsnet.data.sets", ["data"]),
        ("losses", "from acsnet.metrics import segmentation_metrics", ["metrics"]),
        ("losses", "from acsnet import models, training", ["training"]),
        ("evaluation", "from acsnet import create_model", [""]),
        ("config", "from acsnet.files import write_text\nfrom acsnet.ops import deform_conv2d", ["ops"]),
        ("models", "from acsnetwork.training import x", []),
    ],
)
def test_the_rule_itself(part: str, source: str, wrong: list[str]) -> None:
    assert forbidden_imports(part, source) == wrong


def test_folders_are_at_most_three_deep() -> None:
    tops = [REPOSITORY / name for name in ("acsnet", "configs", "tools", "tests", "checkpoints")]
    folders = [path for top in tops for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    deep = [path for path in folders if len(path.relative_to(REPOSITORY).parts) > 3]
    assert len(folders) > 10
    assert not deep


@pytest.mark.parametrize("tool", sorted((REPOSITORY / "tools").glob("*.py")), ids=lambda path: path.name)
def test_tools_are_short(tool: Path) -> None:
    assert len(tool.read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.parametrize("name", ["models", "ops"])
def test_links_point_into_the_package(name: str) -> None:
    link = REPOSITORY / name
    assert link.is_symlink()
    assert link.readlink() == Path("acsnet") / name, "relative, so that it holds in every clone"
    assert (link / "__init__.py").is_file()


def test_importing_the_package_is_light() -> None:
    code = "import sys, acsnet; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    loaded = set(result.stdout.split())
    assert {"acsnet", "torch", "timm"} <= loaded
    assert not loaded & HEAVY
