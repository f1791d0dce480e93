"""The layout of the package: which room may import which, how deep folders are, what ``import acsnet`` loads."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import acsnet

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "acsnet"
# Highest first. A room may import from the lines below its own, and from itself.
LINES = (
    ("__main__",),
    ("cli",),
    ("report", "app"),
    ("experiments",),
    ("training", "evaluation", "export"),
    ("losses", "statistics", "inference", "curation"),
    ("models",),
    ("data",),
    ("layers", "checkpoints", "phantom"),
    ("config", "ops", "metrics"),
    ("labels",),
    ("_utils",),
    ("errors", "version"),
)
RANKS = {name: len(LINES) - index for index, line in enumerate(LINES) for name in line}
LARGEST_SHARE = 0.15
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


def imported_rooms(source: str) -> Iterator[str]:
    """The room (``models``, ``config``, ...) that each import names; the package itself is ""."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide where a name comes from"
            module = node.module or ""
            # `from acsnet import models` names a room; `from acsnet import create_model` names the package.
            names = [f"acsnet.{alias.name}" for alias in node.names] if module == "acsnet" else [module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "acsnet":
                room = rest.partition(".")[0]
                yield room if room in RANKS else ""


def forbidden_imports(room: str, source: str) -> list[str]:
    """The rooms that a module of ``room`` imports and may not import."""

    def may_import(other: str) -> bool:
        return other == room or (other != "" and RANKS[other] < RANKS[room])

    return [other for other in imported_rooms(source) if not may_import(other)]


@pytest.mark.parametrize(
    "module", [path for path in MODULES if path.name != "__init__.py" or len(path.parts) > 1], ids=str
)
def test_modules_import_only_from_below(module: Path) -> None:
    room = module.parts[0].removesuffix(".py")
    assert room in RANKS, (
        f"acsnet/{module} is new: add {room!r} to a line of LINES in {__file__}, and to docs/design.md"
    )
    wrong = forbidden_imports(room, (PACKAGE / module).read_text(encoding="utf-8"))
    assert not wrong, f"acsnet/{module} imports {wrong}, which are not below {room!r}"


@pytest.mark.parametrize(
    ("room", "source", "wrong"),
    [
        ("ops", "from acsnet.layers.gate import GateUnit", ["layers"]),
        ("ops", "from acsnet._utils.naming import look_up", []),
        ("ops", "import acsnet.models", ["models"]),
        ("data", "def f():\n    from acsnet.training import Trainer", ["training"]),
        ("metrics", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import acsnet.data.datasets", ["data"]),
        ("metrics", "from acsnet.losses import build_loss", ["losses"]),
        ("losses", "from acsnet import models, training", ["training"]),
        ("evaluation", "from acsnet import create_model", [""]),
        ("config", "from acsnet._utils.files import write_text\nfrom acsnet.ops import deform_conv2d", ["ops"]),
        ("models", "from acsnetwork.training import x", []),
    ],
)
def test_the_rule_itself(room: str, source: str, wrong: list[str]) -> None:
    assert forbidden_imports(room, source) == wrong


def test_the_design_page_has_the_same_rooms() -> None:
    page = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
    block = re.findall(r"^## Rooms\n.*?^```text\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)[0]
    # Names end where the explanation begins, two spaces or more after a name that is the last of its line.
    names = [re.match(r"(?:\w+(?:/|\.py) *)+", line) for line in block.splitlines()]
    rooms = [tuple(re.findall(r"(\w+)(?:/|\.py)", match[0])) for match in names if match]
    assert rooms == list(LINES)


def module_name(path: Path) -> str:
    """``acsnet.data`` for acsnet/data/__init__.py, ``acsnet.data.cache`` for acsnet/data/cache.py."""
    parts = ("acsnet", *path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules that each module imports, anywhere in its code."""
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        imported = graph.setdefault(name, set())
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                # `from acsnet.data import cache` imports a module, `from acsnet.data import Record` the package.
                targets = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= {target if target in sources else node.module for target in targets}
        imported &= set(sources)
    return graph


def import_cycle(graph: Mapping[str, set[str]]) -> tuple[str, ...] | None:
    """A cycle of modules that import each other, or None."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return None


@pytest.mark.parametrize(
    ("sources", "cycle"),
    [
        ({"acsnet.a": "import acsnet.b", "acsnet.b": "def f():\n    from acsnet.a import x"}, {"acsnet.a", "acsnet.b"}),
        ({"acsnet.a": "from acsnet.b import x", "acsnet.b": "from acsnet import c", "acsnet.c": ""}, None),
        ({"acsnet": "from acsnet.p import x", "acsnet.p": "", "acsnet.p.q": "from acsnet.p import r"}, None),
        ({"acsnet.p": "from acsnet.p import q", "acsnet.p.q": "from acsnet.p import x"}, {"acsnet.p", "acsnet.p.q"}),
    ],
)
def test_the_search_for_cycles_itself(sources: dict[str, str], cycle: set[str] | None) -> None:
    found = import_cycle(import_graph(sources))
    assert (None if found is None else set(found)) == cycle


def shares(lines: Mapping[str, int]) -> dict[str, float]:
    """The share of each room in all lines of code."""
    return {room: count / sum(lines.values()) for room, count in lines.items()}


def test_no_room_is_larger_than_its_share() -> None:
    lines: Counter[str] = Counter()
    for path in MODULES:
        lines[path.parts[0].removesuffix(".py")] += len((PACKAGE / path).read_text(encoding="utf-8").splitlines())
    large = {room: f"{share:.1%}" for room, share in shares(lines).items() if share > LARGEST_SHARE}
    assert not large, f"rooms with more than {LARGEST_SHARE:.0%} of the code have more than one trade: {large}"
    assert shares({"a": 3, "b": 1}) == {"a": 0.75, "b": 0.25}


def test_folders_are_at_most_three_deep() -> None:
    tops = [
        REPOSITORY / name
        for name in ("acsnet", "benchmarks", "configs", "scripts", "tools", "tests", "checkpoints", "docs")
    ]
    folders = [path for top in tops for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    deep = [path for path in folders if len(path.relative_to(REPOSITORY).parts) > 3]
    assert len(folders) > 10
    assert not deep


@pytest.mark.parametrize("name", ["models", "ops"])
def test_links_point_into_the_package(name: str) -> None:
    link = REPOSITORY / name
    assert link.is_symlink()
    assert link.readlink() == Path("acsnet") / name, "relative, so that it is valid in every clone"
    assert (link / "__init__.py").is_file()


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(result.stdout.split())


def test_building_networks_is_light() -> None:
    loaded = loaded_by("import acsnet; acsnet.create_model")
    assert {"acsnet", "torch", "timm"} <= loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("module", ["acsnet", "acsnet.cli", "acsnet.cli.application", "acsnet.errors"])
def test_what_every_tool_imports_first_takes_no_time(module: str) -> None:
    """A tool answers --help, Ctrl-C and SIGTERM at once."""
    assert not loaded_by(f"import {module}") & {*HEAVY, "torch", "timm", "numpy", "cv2", "pydantic", "yaml", "tqdm"}


@pytest.mark.parametrize("name", acsnet.__all__)
def test_every_public_name_is_found_on_first_use(name: str) -> None:
    assert getattr(acsnet, name).__name__.endswith(name) if name != "__version__" else acsnet.__version__
    assert name in dir(acsnet)


def test_a_name_that_the_package_does_not_have() -> None:
    with pytest.raises(AttributeError, match="module 'acsnet' has no attribute 'create_modle'"):
        acsnet.create_modle  # noqa: B018


def test_modules_do_not_import_each_other_in_a_cycle() -> None:
    sources = {module_name(path): (PACKAGE / path).read_text(encoding="utf-8") for path in MODULES}
    assert import_cycle(import_graph(sources)) is None
