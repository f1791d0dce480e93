"""Networks in the Hub's format: folders, a Hub on loopback to fetch from, and a stand-in for what uploading calls."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, ModelCard, constants

import acsnet
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.errors import CheckpointError, DownloadError, InputError
from acsnet.models import Ensemble, NNUNet, UNet

ARGUMENTS = {"in_channels": 1, "width": 4, "depth": 2}
CARD = CheckpointMetadata(
    model="unet",
    arguments=ARGUMENTS,
    class_names=("benign", "malignant", "normal"),
    input_size=(32, 48),
    mean=(0.33,),
    std=(0.204,),
    dataset={"names": ["phantoms"], "n": 36, "hash": "ab"},
    config={"evaluation": {"threshold": 0.4}},
)


def make(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    network = acsnet.create_model("unet", **ARGUMENTS).eval()
    network.metadata = CARD
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make().save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def assert_same(ours: Any, theirs: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    one, other = acsnet.Predictor(ours)(image), acsnet.Predictor(theirs)(image)
    assert one.probabilities == other.probabilities
    assert np.array_equal(one.mask, other.mask)


def test_a_folder_in_the_hubs_format(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert CheckpointMetadata.model_validate_json((folder / "config.json").read_text()) == CARD
    metadata = ModelCard.load(folder / "README.md")
    assert metadata.data.library_name == "acsnet"
    assert "breast-ultrasound" in metadata.data.tags
    assert "| classes | benign, malignant, normal |" in metadata.text
    assert "| input | 32 x 48 (height x width), (pixel / 255 - 0.33) / 0.204 |" in metadata.text
    assert "| trained on | phantoms (36 images) |" in metadata.text


def test_the_card_survives_and_the_predictor_works(folder: Path) -> None:
    for model in (UNet.from_pretrained(folder), acsnet.from_pretrained(folder), acsnet.from_pretrained(str(folder))):
        assert type(model) is UNet
        assert not model.training
        assert model.metadata == CARD
        assert acsnet.Predictor(model).evaluation.threshold == 0.4
        assert_same(model, make())
    assert_same(acsnet.load_model(folder / "model.safetensors"), make())


def test_an_ensemble(tmp_path: Path) -> None:
    both = Ensemble([make(0), make(1)])
    both.metadata = CARD.model_copy(update={"members": 2})  # type: ignore[assignment]
    both.save_pretrained(tmp_path)
    loaded = acsnet.from_pretrained(tmp_path)
    assert isinstance(loaded, Ensemble)
    assert "# ensemble of 2 unet for" in (tmp_path / "README.md").read_text()
    assert_same(loaded, both)
    with pytest.raises(CheckpointError, match=r" holds a network Ensemble, no UNet: use acsnet\.from_pretrained$"):
        UNet.from_pretrained(tmp_path)


def test_a_folder_of_another_network(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"saved holds a network UNet, no NNUNet: use acsnet\.from_pretrained$"):
        NNUNet.from_pretrained(folder)


def test_arguments_of_the_network_are_not_taken(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^from_pretrained takes no width: the network is built as its card says$"):
        UNet.from_pretrained(folder, width=8)


def test_a_network_without_a_card(tmp_path: Path) -> None:
    message = r"^this UNet has no card, which says its classes and normalization: load it by acsnet\.load_model, or set"
    with pytest.raises(InputError, match=message):
        acsnet.create_model("unet", **ARGUMENTS).save_pretrained(tmp_path)  # type: ignore[operator]


def test_folders_that_cannot_be_loaded(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or not a safetensors file"):
        acsnet.from_pretrained(folder)
    other = CARD.model_copy(update={"arguments": {**ARGUMENTS, "width": 8}})
    save_checkpoint(weights, make().state_dict(), other)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is of another network than UNet: "):
        acsnet.from_pretrained(folder)
    weights.unlink()
    torch.save(make().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"^there is no checkpoint .*model\.safetensors"):
        acsnet.from_pretrained(folder)
    with pytest.raises(DownloadError, match=r"nothing is no folder, and could not be had from the Hugging Face Hub \("):
        acsnet.from_pretrained(tmp_path / "nothing")


class Hub(BaseHTTPRequestHandler):
    """Serves one repository's files as the Hub does: names, sizes and hashes in headers."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, with_content: bool) -> None:
        path = self.folder / self.path.removeprefix("/somebody/unet/resolve/main/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Hub that has ``folder`` as somebody/unet, and a cache of its own."""
    handler = type("Handler", (Hub,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield address
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("hub")
def test_a_repository_of_the_hub(tmp_path: Path) -> None:
    model = acsnet.from_pretrained("somebody/unet", cache_dir=tmp_path / "cache")
    assert model.metadata == CARD
    assert_same(model, make())
    assert_same(UNet.from_pretrained("somebody/unet", cache_dir=tmp_path / "cache", local_files_only=True), make())
    with pytest.raises(
        DownloadError, match=r"^somebody/else is no folder, and could not be had from the Hugging Face Hub"
    ):
        acsnet.from_pretrained("somebody/else", cache_dir=tmp_path / "cache")


def test_pushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Hub would be sent; the two calls that speak to it are stood in for."""
    sent: dict[str, Any] = {}

    def create(_: HfApi, repo_id: str, **options: Any) -> Any:
        sent["private"] = options["private"]
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload(_: HfApi, **options: Any) -> str:
        files = {path.name: path.read_bytes() for path in Path(options["folder_path"]).iterdir()}
        sent.update(files=files, repo_id=options["repo_id"], message=options["commit_message"])
        return "https://huggingface.co/somebody/unet/commit/1"

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    make().push_to_hub("somebody/unet", private=True, commit_message="first")
    assert (sent["repo_id"], sent["private"], sent["message"]) == ("somebody/unet", True, "first")
    assert sent["files"].keys() == {"model.safetensors", "config.json", "README.md"}
    assert json.loads(sent["files"]["config.json"])["model"] == "unet"
    assert b"pickle" not in sent["files"]["model.safetensors"]
