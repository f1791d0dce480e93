"""The README and the pages of docs/: every command and every Python block runs as printed.

Rules for a page, by the language of a block (```` ```bash ````):

- ``bash``: each line is a command. It runs with exactly these words: ``acsnet ...`` and ``python -m ...`` in this
  process; ``make`` as a dry run; of ``pip install``, the extras are checked.
- ``python``: the block runs as one script.
- A block of another language after a line that ends with a file name, as in ```` `rates.yaml`: ````, becomes this file.
- ``yaml``: it has to be valid, and so do the keys if it is a configuration.
- ``text`` and others: only for reading.

The blocks of a page run from top to bottom in a folder of its own (the fixture ``workplace``): a page must not depend
on files that another page makes. The folder has what a user has: phantoms as BUSI in ``data/Dataset_BUSI_with_GT``,
images in ``my_images``, images with masks in ``data/mine`` and ``data/other``, the results of ``make demo`` in
``runs/demo``, ``configs``, and a tiny network that is released as ``acsnet_busi``. ``my_network`` of docs/examples can
be imported.

Only the commands in ``LONG`` are not run, and a page has to say how long they take: their options are parsed by the
real command, and their configurations are loaded. A tiny training is put where they would write one.
"""

import inspect
import io
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import acsnet
from acsnet._utils.files import write_json
from acsnet.checkpoints import (
    OperatingPoint,
    OperatingPoints,
    Rate,
    index,
    open_checkpoint,
    read_metadata,
    rewrite_metadata,
)
from acsnet.cli.application import COMMANDS
from acsnet.config import Config, build_config, find_config, list_configs, load_config
from scripts.site.outside_pages import PAGES_FROM_FILES

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = (REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md")))
OTHER_PAGES = [REPOSITORY / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")]
MAX_README_LINES = 150
MAX_PICTURE_BYTES = 300_000

LONG = (
    "acsnet train acsnet_busi",
    "acsnet train acsnet_busi_scratch",
    "acsnet train acsnet_busi_scratch --set model.encoder_weights=weights/efficientnet-lite0-57934424.pth --set "
    '"model.arguments={encoder: tf_efficientnet_lite0, widths: [16, 32, 48, 64, 96]}" --work-dir runs/lite',
    "acsnet train acsnet_busi_scratch --set data.split_file=busi_curated --work-dir runs/curated",
    "acsnet train acsnet_busi_scratch --set data.records=curated/curated.csv",
    "acsnet train published/he2024/acsnet_busi --set data.allow_missing=true --work-dir runs/he2024",
    "acsnet train acsnet_busi_scratch --set training.seed=0 --work-dir runs/seed0",
    "acsnet train acsnet_busi_scratch --set training.seed=1 --work-dir runs/seed1",
    "acsnet crossval ablation/both ablation/both_refined ablation/segmentation ablation/classification --work-dir "
    "runs/ablation",
    "acsnet sweep acsnet_busi_scratch --search searches/optimizer --work-dir runs/sweep",
    "acsnet export --checkpoint acsnet_busi --format onnx --out acsnet.onnx",
    "python -m benchmarks infer --rounds 3",
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Invoke = Callable[..., tuple[int, str, str]]


class Block(NamedTuple):
    """A code block: its language, its text, the file named on the line before or "", and the section around it."""

    language: str
    text: str
    file: str
    section: str


def blocks(page: Path) -> Iterator[Block]:
    for section in re.split(r"^(?=#+ )", without_generated(page), flags=re.MULTILINE):
        for before, language, text in re.findall(
            r"^([^\n]*)\n\n?```(\w*)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL
        ):
            name = re.search(r"`([\w./-]+\.\w+)`:$", before)
            yield Block(language, text, name[1] if name else "", section)


def without_generated(page: Path) -> str:
    """The text of a page, without the sections that programs write."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", "", text, flags=re.DOTALL)


def command_lines(block: Block) -> list[str]:
    """The commands of a block, without comments, with continued lines joined."""
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    return [command for line in lines if (command := re.sub(r"(^|\s+)# .*$", "", line).strip())]


def page_id(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


# The example that runs an ONNX file: tests/export/test_export.py.
ELSEWHERE = [*filter(lambda block: block.language == "python", blocks(DOCS / "guides" / "export.md"))]
RUN_PAGES = [page for page in PAGES if any(block.language in ("bash", "python") for block in blocks(page))]


def add_operating_point(source: Path, path: Path) -> None:
    """Write a copy of a checkpoint with ``sensitivity_95``, which the released networks have."""
    rate = Rate(value=0.95, low=0.9, high=0.98, n=40)
    point = OperatingPoint(threshold=0.1, aim="sensitivity", target=0.95, sensitivity=rate, specificity=rate)
    metadata = read_metadata(source)
    points = OperatingPoints(
        temperature=1.0,
        negative_log_likelihood=(0.6, 0.6),
        classes=dict.fromkeys(metadata.class_names, 20),
        points={"sensitivity_95": point},
        source="validation subset",
    )
    rewrite_metadata(source, path, metadata.model_copy(update={"operating_points": points}))


@pytest.fixture(scope="session")
def released(
    tmp_path_factory: pytest.TempPathFactory, phantom_root: Path, trained_run: Path, tiny_settings: dict[str, Any]
) -> Path:
    """A folder ``checkpoints`` in which the tiny network is released and tested as ``acsnet_busi``. Read-only."""
    from acsnet.evaluation import resolve_test_config, run_test
    from scripts.release import add_test, release_checkpoint

    clone = tmp_path_factory.mktemp("documentation")
    folder = clone / "checkpoints"
    write_json(folder / "index.json", {"format": 1, "checkpoints": {}})
    shutil.copy(trained_run / "split.csv", folder / "busi_curated.csv")
    settings = {**tiny_settings, "data": {**tiny_settings["data"], "root": "data/Dataset_BUSI_with_GT"}}
    (clone / "configs").mkdir()
    (clone / "configs" / "tiny.yaml").write_text(yaml.safe_dump(settings))
    (clone / "data").mkdir()
    (clone / "data" / "Dataset_BUSI_with_GT").symlink_to(phantom_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_PLACES", (folder,))
        patch.chdir(clone)
        best, recipe = clone / "best.safetensors", Path("configs/tiny.yaml")
        add_operating_point(trained_run / "best.safetensors", best)
        release_checkpoint(best, "acsnet_busi", recipe, [], "CC0-1.0", ["Phantoms only."], folder)
        checkpoint = open_checkpoint("acsnet_busi")
        result, provenance = run_test(checkpoint, resolve_test_config(checkpoint, None, []), progress=False)
        result.write(clone / "results", provenance)
        add_test("acsnet_busi", clone / "results", [], folder)
    return folder


@pytest.fixture
def workplace(
    tmp_path: Path,
    released: Path,
    phantom_root: Path,
    trained_run: Path,
    my_network_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with what a user of the pages has; see the top of this file."""
    for source, name in ((released, "checkpoints"), (REPOSITORY / "configs", "configs")):
        shutil.copytree(source, tmp_path / name)
    for link, target in (
        ("data/Dataset_BUSI_with_GT", phantom_root),
        ("runs/demo/phantoms", phantom_root),
        ("runs/demo/run", trained_run),
    ):
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(target)
    (tmp_path / "my_images").mkdir()
    for number, name in enumerate(("first", "second"), 1):
        shutil.copy(phantom_root / "benign" / f"benign ({number}).png", tmp_path / "my_images" / f"{name}.png")
    for (label, other), number in itertools.product((("benign", "cyst"), ("malignant", "cancer")), range(1, 13)):
        folder = tmp_path / "data" / ("mine" if number <= 10 else "other")
        names = {
            "mine": (f"images/{label}/case{number}.png", f"masks/{label}/case{number}.png"),
            "other": (f"{other}{number - 10}.png", f"{other}{number - 10}_mask.png"),
        }
        for name, suffix in zip(names[folder.name], ("", "_mask"), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(phantom_root / label / f"{label} ({number}){suffix}.png", folder / name)
    monkeypatch.setattr(index, "_PLACES", (tmp_path / "checkpoints",))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served_busi(phantom_root: Path, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``acsnet download busi`` gets the phantoms, from a server on this machine."""
    from acsnet.data import dataset_entry
    from acsnet.data.datasets import RemoteFile, entry

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(phantom_root.rglob("*.png")):
            archive.write(path, f"Dataset_BUSI_with_GT/{path.relative_to(phantom_root).as_posix()}")
    site.files["/busi.zip"] = buffer.getvalue()
    busi = replace(dataset_entry("busi"), files=(RemoteFile("busi.zip", site.url("/busi.zip")),))
    monkeypatch.setitem(entry._ENTRIES, "busi", busi)


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """``acsnet calibrate`` takes the few phantoms of the validation subset."""
    from acsnet.evaluation import operating_points

    monkeypatch.setattr(operating_points, "MIN_IMAGES", 1)


@pytest.mark.usefixtures("served_busi", "few_images")
@pytest.mark.parametrize("page", RUN_PAGES, ids=page_id)
def test_commands_and_python_run_as_printed(page: Path, workplace: Path, trained_run: Path, invoke: Invoke) -> None:
    printed = [*blocks(page)]
    if any("acsnet download busi" in command_lines(block) for block in printed if block.language == "bash"):
        (workplace / "data" / "Dataset_BUSI_with_GT").unlink()
    for block in printed:
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python" and block not in ELSEWHERE:
            exec(compile(block.text, page_id(page), "exec"), {"__name__": "__main__"})
        elif block.language == "bash":
            for line in command_lines(block):
                if line in LONG:
                    resolve(line, trained_run)
                    assert re.search(r"\b(minute|hour|day)s?\b", block.section), f"say how long this takes: {line}"
                else:
                    run(line, invoke)


def run(line: str, invoke: Invoke) -> None:
    """Run one command as printed."""
    program, *words = shlex.split(line)
    if program == "acsnet":
        status, _, errors = invoke(*words)
    elif (program, words[0]) == ("python", "-m"):
        status, _, errors = invoke(*words[1:])
    elif program == "make":
        command = ["make", "--dry-run", *words]
        made = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
        status, errors = made.returncode, made.stderr
    elif (program, words[0]) == ("pip", "install"):
        extras = re.findall(r"[\w-]+", re.sub(r"^.*?(\[(.*)\])?$", r"\2", words[-1]))
        status, errors = int(not set(extras) <= project_extras()), f"extras: {extras}"
    else:
        pytest.fail(f"{line!r}: a bash block has acsnet, python -m, make or pip install; use text for what is not run")
    assert status == 0, f"{line}: {errors}"


def project_extras() -> set[str]:
    return set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def resolve(line: str, trained_run: Path) -> None:
    """Parse a long command by its own parser, load its configurations, and put a tiny training where it writes one."""
    program, *words = shlex.split(line)
    if program == "python":
        from benchmarks.__main__ import parse_arguments

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words[1:])
            parse_arguments()
        return
    parameters = parse(words)
    overrides = parameters.get("overrides") or []
    names = parameters.get("configs") or [parameters["config"]] if "overrides" in parameters else []
    assert all(load_config(find_config(name), overrides) for name in names)
    if words[0] == "sweep":
        from acsnet.experiments import load_search

        assert load_search(find_config(parameters["search"])).parameters
    if words[0] == "train":
        folder = parameters["work_dir"] or Path("runs") / find_config(names[0]).stem
        shutil.copytree(trained_run, folder)
        # Another file for each training, as an ensemble requires.
        best = folder / "best.safetensors"
        rewrite_metadata(best, best, read_metadata(best).model_copy(update={"metrics": {"training": str(folder)}}))


def parse(words: list[str]) -> dict[str, Any]:
    """The values of the options of a subcommand, by their Python names."""
    import typer.main

    from acsnet.cli.application import _application

    group: Any = typer.main.get_command(_application)
    return group.commands[words[0]].make_context(words[0], words[1:]).params


def all_lines() -> list[str]:
    printed = [block for page in PAGES for block in blocks(page) if block.language == "bash"]
    return [line for block in printed for line in command_lines(block)]


def test_long_commands_are_printed() -> None:
    assert set(LONG) <= set(all_lines())


@pytest.mark.parametrize(
    "line", ["acsnet train acsnet_busi --epoch 3", "acsnet train acsnet_bus", "acsnet train acsnet_busi --set a.b=1"]
)
def test_long_commands_that_would_fail_are_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=r"did you mean|unknown|--epoch"):
        resolve(line, tmp_path)


@pytest.mark.parametrize("line", ["acsnet phantom --out a --bening 3", "acsnet models xyz", "python -m scripts.zoo"])
def test_commands_that_fail_are_found(line: str, invoke: Invoke) -> None:
    with pytest.raises(AssertionError, match=r"unknown option|unknown network|required"):
        run(line, invoke)


@pytest.mark.parametrize("line", ["rm -rf /nothing", "python tools/train.py a.yaml", "pip download acsnet"])
def test_other_programs_are_not_run(line: str, invoke: Invoke) -> None:
    with pytest.raises(pytest.fail.Exception, match="use text for what is not run"):
        run(line, invoke)


@pytest.mark.parametrize("package", ["acsnet[al]", "acsnet[train,reports]", "."])
def test_extras_are_checked(package: str, invoke: Invoke) -> None:
    if package == ".":
        run(f"pip install {package}", invoke)
        return
    with pytest.raises(AssertionError, match="extras"):
        run(f'pip install "{package}"', invoke)


def test_every_subcommand_printed_is_also_a_tool() -> None:
    code = [text for page in PAGES for text in re.findall(r"`acsnet ([a-z][a-z-]*)", page.read_text(encoding="utf-8"))]
    code += [words[1] for line in all_lines() if (words := shlex.split(line))[0] == "acsnet"]
    printed = {name for name in code if not name.startswith("-")}
    assert printed <= set(COMMANDS)
    for name in printed:
        tool = (REPOSITORY / "tools" / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
        assert f'main(tool="{name}")' in tool


def test_every_subcommand_is_printed() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if not re.search(rf"\bacsnet {name}\b", text)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if "```yaml" in page.read_text(encoding="utf-8")], ids=page_id)
def test_yaml_is_valid(page: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            values = yaml.safe_load(block.text)
            if set(values) & set(Config.model_fields):
                values.pop("base", None)
                build_config({"model": {"name": "unet"}, **values}, [], page_id(page))


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    outside = {DOCS / name: REPOSITORY / file for name, file in PAGES_FROM_FILES.items()}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        # The site leads a link that leaves docs/ to such a page, or makes it plain text.
        linked = outside.get((page.parent / path).resolve(), page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_own_images_are_two_clicks_away() -> None:
    """From the README to the pages on images of one's own, by links whose text says so."""
    links = dict(re.findall(r"\[([^]]+)\]\(([^)#]+)\)", PAGES[0].read_text(encoding="utf-8")))
    assert links["Predict them"] == "docs/guides/predicting.md"
    assert links["Your own dataset: test and train"] == "docs/guides/own-dataset.md"


def test_readme_fits_on_few_screens() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_pictures_are_small() -> None:
    pictures = [*(DOCS / "pictures").glob("*")]
    assert DOCS / "pictures" / "strip.png" in pictures
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > MAX_PICTURE_BYTES} == {}


def expand(text: str) -> list[str]:
    """``{a,b}_{c,d}`` as a shell expands it."""
    parts = [part.split(",") for part in re.split(r"[{}]", text)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def test_the_zoo_of_the_readme_has_every_network_once() -> None:
    section = PAGES[0].read_text(encoding="utf-8").partition("## The zoo")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|`]+ \| (`[^|]+) \| ([^|]+) \|$", section, flags=re.MULTILINE)
    named = {name: about for names, about in rows for text in re.findall(r"`([^`]+)`", names) for name in expand(text)}
    assert sorted(named) == acsnet.list_models()
    for name, about in named.items():
        assert acsnet.models.model_entry(name).publication.startswith(about), name


def test_zoo_table_names_every_network_and_is_fresh() -> None:
    from scripts.zoo import PAGE, check_page

    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE) == acsnet.list_models()
    check_page(PAGE)


def guide(name: str) -> str:
    return (DOCS / "guides" / f"{name}.md").read_text(encoding="utf-8")


def test_protocols_named_are_the_splits_described() -> None:
    ways = [
        build_config({"model": {"name": "unet"}}, [way], "data.md")
        for way in re.findall(r'"(data\.folds=.*?)"', guide("data"))
    ]
    folds = [config.data.folds for config in ways]
    assert [(way.count, way.test, way.grouped) for way in folds] == [
        (5, None, True),
        (5, 0.2, True),
        (5, None, False),
        (4, None, False),
        (5, 0.2, False),
    ]


def test_datasets_named_are_those_registered() -> None:
    from acsnet.data import list_datasets

    named = re.findall(r"^\| `(\w+)`(?: \(default\))? \|", guide("data"), flags=re.MULTILINE)
    assert sorted(named) == sorted(list_datasets())


def test_transforms_named_are_those_of_the_package_with_their_arguments() -> None:
    from acsnet.data import screen_transforms, ultrasound_transforms

    transforms = ultrasound_transforms.TRANSFORMS | screen_transforms.TRANSFORMS
    rows = re.findall(r"^\| `([A-Z]\w+)`: (.*?) \|", guide("augmentation"), flags=re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", arguments)) for name, arguments in rows}
    assert named == {name: set(inspect.signature(kind).parameters) - {"p"} for name, kind in transforms.items()}


def test_configurations_named_are_those_of_the_project() -> None:
    first_cells = re.findall(r"^\| (`[^|]*) \|", guide("training"), flags=re.MULTILINE)
    named = [name for cell in first_cells for name in re.findall(r"`([\w/*<>]+)`", cell)]
    patterns = [re.sub(r"<\w+>", "*", name) for name in named]
    matched = {name for pattern in patterns for name in list_configs(pattern)}
    assert matched == {name for name in list_configs() if not name.startswith("searches/")}


def test_extras_named_are_those_of_the_project() -> None:
    page = (DOCS / "getting-started.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z]+)` \|", page, flags=re.MULTILINE))
    assert named >= project_extras() - {"dev", "tools", "mmcv"}
