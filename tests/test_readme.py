"""The code blocks of the README run as printed, in a folder that has the files they name."""

import glob
import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import acsnet
import benchmarks
from acsnet._utils.files import write_json
from acsnet.checkpoints import index
from acsnet.config import build_config
from acsnet.data import dataset_entry, list_datasets
from acsnet.data.datasets import RemoteFile, entry
from acsnet.export import pipeline
from acsnet.models import _registry
from scripts.release import release_checkpoint
from scripts.zoo import check_readme

BEGIN, END = "<!-- zoo:begin -->", "<!-- zoo:end -->"

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
Invoke = Callable[..., tuple[int, str, str]]

# Overrides that make the trainings of the commands short; all other values are those of the configuration.
SHORT = ["model.arguments={encoder: mobilenetv3_small_050, widths: [16, 16, 16, 16, 16]}", "model.encoder_weights=null"]
SHORT += ["data.image_size=[64, 64]", "data.folds.count=4", "data.folds.validation=0.34", "training.epochs=1"]
SHORT_CROSSVAL = [
    "model.arguments={widths: [4, 4, 4, 4, 4, 4]}",
    "data.image_size=[32, 32]",
    "data.folds.validation=0.34",
]
SHORT_CROSSVAL += ["training.epochs=1"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


# The other block runs without this package: tests/export/test_export.py.
PYTHON_BLOCKS = [code for code in blocks("python") if "onnxruntime" not in code]


@pytest.fixture
def workplace(
    tmp_path: Path,
    phantom_root: Path,
    trained_run: Path,
    tiny_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with the paths of the README: phantoms in place of BUSI, and a tiny network as the released one."""
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    search = tmp_path / "configs" / "searches" / "optimizer.yaml"
    search.write_text(search.read_text().replace("trials: 40", "trials: 2"))
    (tmp_path / "data").mkdir()
    os.symlink(phantom_root, tmp_path / "data" / "Dataset_BUSI_with_GT")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    os.symlink(phantom_root, tmp_path / "runs" / "demo" / "phantoms")
    os.symlink(trained_run, tmp_path / "runs" / "demo" / "run")
    write_json(tmp_path / "checkpoints" / "index.json", {"format": 1, "checkpoints": {}})
    shutil.copy(trained_run / "split.csv", tmp_path / "checkpoints" / "busi_curated.csv")
    monkeypatch.setattr(index, "_PLACES", (tmp_path / "checkpoints",))
    monkeypatch.chdir(tmp_path)
    recipe = Path("configs/tiny.yaml")
    recipe.write_text(yaml.safe_dump(tiny_settings))
    checkpoint = trained_run / "best.safetensors"
    release_checkpoint(checkpoint, "acsnet_busi", recipe, [], "CC0-1.0", [], tmp_path / "checkpoints")
    return tmp_path


@pytest.fixture
def _datasets(workplace: Path, phantom_root: Path, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data that the section on other datasets names: a download, folders, a table with other classes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(phantom_root.rglob("*.png")):
            archive.write(path, f"Dataset_BUSI_with_GT/{path.relative_to(phantom_root).as_posix()}")
    site.files["/busi.zip"] = buffer.getvalue()
    served = replace(dataset_entry("busi"), files=(RemoteFile("busi.zip", site.url("/busi.zip")),))
    monkeypatch.setitem(entry._ENTRIES, "busi", served)
    (workplace / "data" / "Dataset_BUSI_with_GT").unlink()

    lines = ["image,masks,label"]
    for label, other in (("benign", "cyst"), ("malignant", "cancer")):
        for kind in ("images", "masks"):
            (workplace / "data" / "mine" / kind / label).mkdir(parents=True)
        for number in (1, 2, 3):
            image = phantom_root / label / f"{label} ({number}).png"
            mask = image.with_name(f"{image.stem}_mask.png")
            shutil.copy(image, workplace / "data" / "mine" / "images" / label)
            shutil.copy(mask, workplace / "data" / "mine" / "masks" / label / image.name)
            lines.append(f"mine/images/{label}/{image.name},mine/masks/{label}/{image.name},{other}")
    (workplace / "data" / "other.csv").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def _restored_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))


@pytest.mark.usefixtures("workplace", "_restored_registry")
@pytest.mark.parametrize("code", PYTHON_BLOCKS, ids=lambda code: code.splitlines()[-1][:30])
def test_python_blocks(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_make_targets() -> None:
    targets = re.findall(r"^make (\S+)", "".join(blocks("bash")), flags=re.MULTILINE)
    assert targets == ["demo", "test", "weights"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, check=True, capture_output=True)


@pytest.mark.usefixtures("_datasets", "my_network_folder")
def test_commands(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = r"^(?:python tools/(\w+)\.py|python -m ([\w.]+)|acsnet ([\w-]+)) (.*)$"
    lines = re.findall(pattern, "".join(blocks("bash")), flags=re.MULTILINE)
    commands = [(tool or package or command, line) for tool, package, command, line in lines]
    tools = {"train", "test", "predict", "curate", "phantom", "models", "download", "crossval", "sweep", "report"}
    assert {tool for tool, _ in commands} == {*tools, "configs", "ensemble", "export", "benchmarks", "scripts.release"}
    data = ("--set", "data.root=runs/demo/phantoms")
    assert invoke("test", "--checkpoint", "acsnet_busi", *data, "--out", "results")[0] == 0
    assert invoke("scripts.release", "add-results", "acsnet_busi", "results")[0] == 0
    for tool, line in commands:
        arguments = [part for word in shlex.split(line) for part in (sorted(glob.glob(word)) or [word])]
        if tool == "crossval":
            arguments += [part for override in SHORT_CROSSVAL for part in ("--set", override)]
        if tool in ("train", "sweep") or "--recipe" in arguments:
            # The network of a plugin has arguments of its own.
            own = "--import" in arguments
            short = [override for override in SHORT if not (own and override.startswith("model."))]
            arguments += [part for override in short for part in ("--set", override)]
        if tool == "benchmarks":
            monkeypatch.setattr(benchmarks, "benchmark_inference", lambda _device, _rounds: [])
        if tool == "export":
            # With a fixed size only, which is much faster.
            monkeypatch.setattr(pipeline, "_DYNAMIC_CHOICES", ((),))
        if tool == "phantom":
            arguments += ["--size", "64", "64"]
        status, _, errors = invoke(tool, *arguments)
        assert status == 0, f"{tool} {line}: {errors}"


def test_protocols_named_are_the_splits_described() -> None:
    ways = [
        build_config({"model": {"name": "unet"}}, [way], "README.md")
        for way in re.findall(r'"(data\.folds=.*?)"', README)
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
    assert sorted(re.findall(r"^\| `(\w+)`(?: \(default\))? \|", README, flags=re.MULTILINE)) == sorted(
        list_datasets() + acsnet.list_models()
    )


def test_transforms_named_are_those_of_the_package_with_their_arguments() -> None:
    from acsnet.data import screen_transforms, ultrasound_transforms

    transforms = ultrasound_transforms.TRANSFORMS | screen_transforms.TRANSFORMS
    rows = re.findall(r"^\| `([A-Z]\w+)`: (.*?) \|", README, flags=re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", arguments)) for name, arguments in rows}
    assert named == {name: set(inspect.signature(kind).parameters) - {"p"} for name, kind in transforms.items()}


def test_zoo_table_names_every_network_and_is_fresh() -> None:
    table = README.partition(BEGIN)[2].partition(END)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == acsnet.list_models()
    check_readme(REPOSITORY / "README.md")


def test_configurations_named_exist() -> None:
    named = set(re.findall(r"configs/(\w+\.yaml)", README))
    assert named == {path.name for path in (REPOSITORY / "configs").glob("*.yaml")}
    for name in named:
        assert yaml.safe_load((REPOSITORY / "configs" / name).read_text())
