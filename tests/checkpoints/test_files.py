import hashlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import acsnet
from acsnet._utils.files import write_json
from acsnet.checkpoints import open_checkpoint, read_metadata, read_weights, released_checkpoint, save_checkpoint
from acsnet.errors import AcsnetError, CheckpointError, DownloadError, UnknownNameError

OPENERS: list[Callable[[Any], Any]] = [
    open_checkpoint,
    acsnet.load_model,
    lambda name: acsnet.create_model("unet", in_channels=1, width=4, depth=2, checkpoint=name),
]


@pytest.fixture
def served(released: Path, site: Any) -> str:
    """The address of the released file, which is no longer next to the index."""
    path = released.parent / "index.json"
    content = json.loads(path.read_text())
    write_json(path, {**content, "address": site.url("/v1/")})
    site.files[f"/v1/{released.name}"] = released.read_bytes()
    released.unlink()
    return site.url(f"/v1/{released.name}")


def test_a_name_works_wherever_a_path_does(released: Path) -> None:
    assert open_checkpoint("unet_tiny").path == released
    by_path, by_name = acsnet.load_model(released), acsnet.load_model("unet_tiny")
    images = torch.randn(1, 1, 32, 32)
    assert torch.equal(by_path(images).mask, by_name(images).mask)
    built = acsnet.create_model("unet", in_channels=1, width=4, depth=2, checkpoint="unet_tiny").eval()
    assert torch.equal(built(images).mask, by_path(images).mask)
    prediction = acsnet.Predictor.from_checkpoint("unet_tiny")(np.zeros((20, 24, 3), np.uint8))
    assert prediction.mask.shape == (20, 24)


def test_paths_and_names_are_distinguished(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("nothing.safetensors", "./runs/unet_tiny", "./unet_tiny", Path("runs") / "unet_tiny"):
        for opener in (open_checkpoint, acsnet.load_model):
            with pytest.raises(CheckpointError, match=r"^there is no checkpoint .*: give the path of a \.safetensors"):
                opener(path)
    monkeypatch.chdir(tmp_path)
    for bare in ("best.pt", "a.b"):
        with pytest.raises(CheckpointError, match=f"^there is no checkpoint {bare}: "):
            open_checkpoint(bare)


@pytest.mark.parametrize("content", ["folder", "another file", "the same file"])
@pytest.mark.parametrize("given", ["unet_tiny", Path("unet_tiny")], ids=["text", "path"])
def test_a_released_name_is_not_shadowed(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, given: str | Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if content == "folder":
        (tmp_path / "unet_tiny").mkdir()
    else:
        (tmp_path / "unet_tiny").write_bytes(released.read_bytes() if content == "the same file" else b"no checkpoint")
    assert open_checkpoint(given).path == released
    assert acsnet.load_model(given).metadata.model == "unet"
    if content == "the same file":
        assert open_checkpoint("./unet_tiny").path == Path("unet_tiny")
        assert open_checkpoint("./unet_tiny").released_name is None


@pytest.mark.parametrize("tool", ["test", "predict"])
def test_tools_use_the_released_file(
    invoke: Callable[..., tuple[int, str, str]], trained: Path, phantom_root: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, tool: str,
) -> None:  # fmt: skip
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("tiny").write_bytes(b"no checkpoint")
    image = phantom_root / "benign" / "benign (1).png"
    arguments = [image] if tool == "predict" else ["--set", f"data.root={phantom_root}"]
    status, _, errors = invoke(tool, "--checkpoint", "tiny", *arguments, "--out", tmp_path / "out")
    assert status == 0, errors


@pytest.mark.parametrize("name", ["mine", "unet_tinny", "Best-Weights"])
def test_an_own_file_without_suffix_is_given_by_path(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(released.read_bytes())
    message = (
        rf"^unknown released checkpoint '{name}': .*for the file of this name in the current folder write \./{name}$"
    )
    with pytest.raises(UnknownNameError, match=message):
        open_checkpoint(name)
    assert acsnet.load_model(f"./{name}").metadata.model == "unet"


def test_an_own_folder_is_given_by_path(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    acsnet.save_pretrained(acsnet.load_model(released), "mine")
    with pytest.raises(UnknownNameError, match=r"for the folder of this name in the current folder write \./mine$"):
        acsnet.load_model("mine")
    assert (
        acsnet.load_model("./mine").metadata.model == acsnet.load_model(Path("./mine/model.safetensors")).metadata.model
    )


@pytest.mark.parametrize("opener", OPENERS)
def test_an_unknown_name(released: Path, opener: Callable[[Any], Any]) -> None:
    message = (
        r"^unknown released checkpoint 'unet-tiny': did you mean 'unet_tiny'\? released are unet_tiny; "
        r"the path of a file ends in \.safetensors$"
    )
    with pytest.raises(UnknownNameError, match=message):
        opener("unet-tiny")


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("by_name", [True, False], ids=["name", "path"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "is truncated or not the released file: it is {less} bytes, not {size}; "),
        (
            lambda content: content[:-1] + bytes([content[-1] ^ 1]),
            "is not the released file: its SHA-256 is {sha}, not ",
        ),
    ],
    ids=["truncated", "changed"],
)
def test_a_damaged_file_is_not_loaded(
    released: Path, opener: Callable[[Any], Any], by_name: bool, damage: Callable[[bytes], bytes], message: str
) -> None:
    content = released.read_bytes()
    released.write_bytes(damage(content))
    sha = hashlib.sha256(released.read_bytes()).hexdigest()
    with pytest.raises(CheckpointError) as caught:
        opener("unet_tiny" if by_name else released)
    expected = message.format(less=len(content) - 1, size=len(content), sha=sha)
    assert str(caught.value).startswith(f"{released} {expected}")
    assert str(caught.value).endswith("; remove it, and copy or download it again")
    assert "\n" not in str(caught.value)


def test_other_files_are_not_checked(released: Path, tmp_path: Path) -> None:
    """Even with a released file name and an invalid index."""
    own = tmp_path / "own" / released.name
    own.parent.mkdir()
    metadata = read_metadata(released).model_copy(update={"code_version": "another"})
    save_checkpoint(own, read_weights(released), metadata)
    (released.parent / "index.json").write_text("{")
    assert acsnet.load_model(own).metadata.code_version == "another"


def test_a_missing_file_is_downloaded_once(served: str, released: Path, site: Any, tmp_path: Path) -> None:
    path = open_checkpoint("unet_tiny").path
    content = site.files[f"/v1/{released.name}"]
    assert path == tmp_path / "cache" / "checkpoints" / hashlib.sha256(content).hexdigest()[:16] / released.name
    assert path.read_bytes() == content
    assert open_checkpoint("unet_tiny").path == path
    assert acsnet.load_model("unet_tiny").metadata.model == "unet"
    assert site.requests == [(f"/v1/{released.name}", None)]


def test_an_interrupted_download_resumes(served: str, released: Path, site: Any) -> None:
    content = site.files.pop(f"/v1/{released.name}")
    half = len(content) // 2
    site.replies[f"/v1/{released.name}"] = lambda handler: site.send(handler, content, stop_after=half)
    assert open_checkpoint("unet_tiny").path.read_bytes() == content
    assert [range_ for _, range_ in site.requests][:2] == [None, f"bytes={half}-"]


def test_processes_that_start_together_download_it_once(served: str, site: Any) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(open_checkpoint("unet_tiny").path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(site.requests) == 1


def test_a_downloaded_file_is_checked(served: str, released: Path, site: Any, tmp_path: Path) -> None:
    content = site.files[f"/v1/{released.name}"]
    site.files[f"/v1/{released.name}"] = content[:-1] + b"x"
    with pytest.raises(DownloadError, match=r"is not the expected file: its SHA-256 is .*; it was deleted"):
        acsnet.load_model("unet_tiny")
    site.files[f"/v1/{released.name}"] = content + b"more"
    with pytest.raises(DownloadError, match=r"the limit (is|of)"):
        acsnet.load_model("unet_tiny")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_cached_file_is_checked_at_every_load(served: str) -> None:
    path = open_checkpoint("unet_tiny").path
    path.write_bytes(path.read_bytes()[:100])
    for given in ("unet_tiny", path):
        with pytest.raises(CheckpointError, match=r"is truncated or not the released file: it is 100 bytes"):
            acsnet.load_model(given)
    path.unlink()
    assert acsnet.load_model("unet_tiny").metadata.model == "unet"


@pytest.mark.parametrize("use", OPENERS)
def test_without_file_and_address(released: Path, tmp_path: Path, use: Callable[[Any], Any]) -> None:
    entry = released_checkpoint("unet_tiny")
    released.unlink()
    cached = tmp_path / "cache" / "checkpoints" / entry.sha256[:16] / released.name
    message = (
        f"the file of unet_tiny is missing, looked for as {released} and {cached}: install acsnet again, whose wheel "
        "has it, or copy checkpoints/unet_tiny.safetensors of the repository to one of these places"
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        use("unet_tiny")
    assert not cached.parent.exists()


def test_a_released_file_of_another_network(released: Path) -> None:
    with pytest.raises(AcsnetError, match=r"unet_tiny\.safetensors does not match the architecture of UNet: "):
        acsnet.create_model("unet", in_channels=1, width=8, depth=2, checkpoint="unet_tiny")


@pytest.mark.parametrize("path", ["a" * 5000, f"{'a' * 300}.safetensors", "runs/a\0b.safetensors", ".", "/"])
def test_a_name_that_no_file_can_have(released: Path, path: str) -> None:
    for opener in (open_checkpoint, acsnet.load_model):
        with pytest.raises(
            (CheckpointError, UnknownNameError),
            match=r"^there is no checkpoint|^unknown released checkp|^the folder / has no model\.safetensors, which",
        ):
            opener(path)
