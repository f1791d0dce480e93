"""A clone in which a tiny training can be released."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from acsnet.evaluation import resolve_test_config, run_test
from acsnet.evaluation.release import add_test, release_checkpoint
from acsnet.files import write_json
from acsnet.released import index


@pytest.fixture
def clone(tmp_path: Path, tiny_settings: dict[str, Any], phantom_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: ``configs/tiny.yaml``, an empty index, and the phantoms where BUSI is downloaded to."""
    for name in ("configs", "checkpoints", "data"):
        (tmp_path / name).mkdir()
    settings = {**tiny_settings, "data": {**tiny_settings["data"], "root": "data/Dataset_BUSI_with_GT"}}
    (tmp_path / "configs" / "tiny.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "data" / "Dataset_BUSI_with_GT").symlink_to(phantom_root)
    write_json(tmp_path / "checkpoints" / "index.json", {"format": 1, "checkpoints": {}})
    monkeypatch.setattr(index, "_PLACES", (tmp_path / "checkpoints",))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(clone: Path, trained_run: Path) -> Path:
    """The folder of the index, with ``tiny``: released, but without figures."""
    config = Path("configs/tiny.yaml")
    release_checkpoint(
        trained_run / "best.safetensors", "tiny", config, [], "CC-BY-4.0", ["Phantoms only."], clone / "checkpoints"
    )
    return clone / "checkpoints"


@pytest.fixture
def tested(folder: Path) -> Path:
    """The same with the figures of its test part."""
    result, provenance = run_test("tiny", resolve_test_config("tiny", None, []), progress=False)
    result.write(folder.parent / "results", provenance)
    add_test("tiny", folder.parent / "results", [], folder)
    return folder


@pytest.fixture
def results(tested: Path) -> Path:
    """A copy, to be changed, of the folder that the test of ``tiny`` wrote."""
    return Path(shutil.copytree(tested.parent / "results", tested.parent / "changed"))
