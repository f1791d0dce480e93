import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import acsnet
from acsnet._utils.files import write_json
from acsnet.checkpoints import index, read_index, released_checkpoint
from acsnet.errors import CheckpointError, UnknownNameError
from scripts.release import MAX_TOTAL_BYTES, check_release

REPOSITORY = Path(__file__).resolve().parents[2]


def change(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    write_json(path, {**content, **changes})


def test_names_are_listed_by_wildcards(released: Path) -> None:
    content = json.loads((released.parent / "index.json").read_text())
    entry = content["checkpoints"]["unet_tiny"]
    change(released.parent / "index.json", checkpoints=dict.fromkeys(("unet_b", "acsnet_a", "unet_a"), entry))
    assert acsnet.list_checkpoints() == ["acsnet_a", "unet_a", "unet_b"]
    assert acsnet.list_checkpoints("unet_*") == ["unet_a", "unet_b"]
    assert acsnet.list_checkpoints("nothing*") == []


def test_the_entry_of_a_checkpoint(released: Path) -> None:
    entry = released_checkpoint("unet_tiny")
    assert (entry.file, entry.size) == ("unet_tiny.safetensors", released.stat().st_size)
    assert entry.input.model_dump() == {"height": 32, "width": 32, "channels": 1}
    with pytest.raises(UnknownNameError, match=r"^unknown released checkpoint 'unet_tin': did you mean 'unet_tiny'\? "):
        released_checkpoint("unet_tin")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"index\.json is not valid JSON \(.*\): copy it again from the release$"),
        ('{"format": 2}', r"index\.json has format 2, this version of acsnet reads 1: upgrade acsnet$"),
        ("[]", r"index\.json has format None, this version of acsnet reads 1: upgrade acsnet$"),
        ('{"format": 1, "adress": ""}', r"index\.json: the entry 'adress' is invalid: Extra inputs"),
        ('{"format": 1, "address": "ftp://a"}', r"index\.json: the entry 'address' is invalid: "),
        ('{"format": 1, "checkpoints": {"A/b": {}}}', r"index\.json: the entry 'checkpoints\.A/b.*' is invalid: "),
    ],
)
def test_a_broken_index(folder: Path, text: str, message: str) -> None:
    (folder / "index.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_index()


@pytest.mark.parametrize("file", ["../a.safetensors", "a/b.safetensors", "a.pt", "/a.safetensors"])
def test_files_are_in_the_folder_and_are_safetensors(released: Path, file: str) -> None:
    path = released.parent / "index.json"
    entry = json.loads(path.read_text())["checkpoints"]["unet_tiny"]
    change(path, checkpoints={"unet_tiny": {**entry, "file": file}})
    with pytest.raises(CheckpointError, match=r"the entry 'checkpoints\.unet_tiny\.file' is invalid: String should"):
        read_index()


def test_no_index(folder: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"^there is no index of released checkpoints \(.*index\.json\): install "
    ):
        acsnet.list_checkpoints()
    with pytest.raises(CheckpointError, match=r"^there is no index of released checkpoints .*other/index\.json$"):
        read_index(folder / "other")


def test_the_released_files_of_this_repository() -> None:
    folder = REPOSITORY / "checkpoints"
    assert index._PLACES[-1] == folder
    assert check_release(folder) == []
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    assert sum(sizes) <= MAX_TOTAL_BYTES == 40_000_000


def test_an_index_that_is_not_a_file(tmp_path: Path, make_special: Callable[[Path], str]) -> None:
    path = tmp_path / "index.json"
    reason = make_special(path)
    with pytest.raises(CheckpointError, match=rf"index\.json cannot be read \({reason}\): check the file and its perm"):
        read_index(tmp_path)
