"""A clone in which a tiny training can be released: made once, and copied for each test."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from acsnet._utils.files import write_json
from acsnet.checkpoints import index, open_checkpoint
from acsnet.evaluation import resolve_test_config, run_test
from scripts.release import add_test, release_checkpoint


def enter(clone: Path, patch: pytest.MonkeyPatch) -> Path:
    """Work in a clone, with its index."""
    patch.setattr(index, "_PLACES", (clone / "checkpoints",))
    patch.chdir(clone)
    return clone


@pytest.fixture(scope="session")
def empty_clone(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any], phantom_root: Path) -> Path:
    """``configs/tiny.yaml``, an empty index, and the phantoms where BUSI is downloaded to. Read-only."""
    clone = tmp_path_factory.mktemp("clones") / "empty"
    for name in ("configs", "checkpoints", "data"):
        (clone / name).mkdir(parents=True)
    settings = {**tiny_settings, "data": {**tiny_settings["data"], "root": "data/Dataset_BUSI_with_GT"}}
    (clone / "configs" / "tiny.yaml").write_text(yaml.safe_dump(settings))
    (clone / "data" / "Dataset_BUSI_with_GT").symlink_to(phantom_root)
    write_json(clone / "checkpoints" / "index.json", {"format": 1, "checkpoints": {}})
    return clone


@pytest.fixture(scope="session")
def released_clone(empty_clone: Path, trained_run: Path) -> Path:
    """The same with ``tiny``, released but without figures. Read-only."""
    clone = Path(shutil.copytree(empty_clone, empty_clone.with_name("released"), symlinks=True))
    with pytest.MonkeyPatch.context() as patch:
        enter(clone, patch)
        config, limits = Path("configs/tiny.yaml"), ["Phantoms only."]
        best = trained_run / "best.safetensors"
        release_checkpoint(best, "tiny", config, [], "CC-BY-4.0", limits, clone / "checkpoints")
    return clone


@pytest.fixture(scope="session")
def tested_clone(released_clone: Path) -> Path:
    """The same with the figures of its test subset, and in ``results`` what the test wrote. Read-only."""
    clone = Path(shutil.copytree(released_clone, released_clone.with_name("tested"), symlinks=True))
    with pytest.MonkeyPatch.context() as patch:
        enter(clone, patch)
        checkpoint = open_checkpoint("tiny")
        result, provenance = run_test(checkpoint, resolve_test_config(checkpoint, None, []), progress=False)
        result.write(clone / "results", provenance)
        add_test("tiny", clone / "results", [], clone / "checkpoints")
    return clone


@pytest.fixture
def clone(empty_clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``empty_clone``, which is the working directory."""
    return enter(Path(shutil.copytree(empty_clone, tmp_path / "clone", symlinks=True)), monkeypatch)


@pytest.fixture
def folder(released_clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the index in a copy of ``released_clone``, which is the working directory."""
    copy = Path(shutil.copytree(released_clone, tmp_path / "clone", symlinks=True))
    return enter(copy, monkeypatch) / "checkpoints"


@pytest.fixture
def tested(tested_clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the index in a copy of ``tested_clone``, which is the working directory."""
    copy = Path(shutil.copytree(tested_clone, tmp_path / "clone", symlinks=True))
    return enter(copy, monkeypatch) / "checkpoints"


@pytest.fixture
def results(tested: Path) -> Path:
    """What the test of ``tiny`` wrote, to be changed."""
    return tested.parent / "results"
