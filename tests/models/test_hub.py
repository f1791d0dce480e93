"""Networks in the format of the Hub: folders, downloads from a local server, and uploads with mocked calls."""

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
from acsnet.models import Ensemble, UNet

ARGUMENTS = {"in_channels": 1, "width": 4, "depth": 2}
METADATA = CheckpointMetadata(
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
    network.metadata = METADATA
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return acsnet.save_pretrained(make(), tmp_path / "saved")


def assert_same(ours: Any, theirs: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    one, other = acsnet.Predictor(ours)(image), acsnet.Predictor(theirs)(image)
    assert one.probabilities == other.probabilities
    assert np.array_equal(one.mask, other.mask)


def test_a_folder_in_the_hubs_format(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert CheckpointMetadata.model_validate_json((folder / "config.json").read_text()) == METADATA
    metadata = ModelCard.load(folder / "README.md")
    assert metadata.data.library_name == "acsnet"
    assert "breast-ultrasound" in metadata.data.tags
    assert "| classes | benign, malignant, normal |" in metadata.text
    assert "| input | 32 x 48 (height x width), (pixel / 255 - 0.33) / 0.204 |" in metadata.text
    assert "| trained on | phantoms (36 images) |" in metadata.text
    assert "| epoch selected on | validation images |" in metadata.text


def test_a_model_card_says_that_test_images_selected_the_epoch(tmp_path: Path) -> None:
    network = make()
    network.metadata = METADATA.model_copy(update={"selected_on": "test"})
    text = (acsnet.save_pretrained(network, tmp_path) / "README.md").read_text()
    assert "| epoch selected on | the test images, so that test metrics are too good |" in text


def test_metadata_is_restored_and_the_predictor_works(folder: Path) -> None:
    for model in (acsnet.from_pretrained(folder), acsnet.from_pretrained(str(folder))):
        assert type(model) is UNet
        assert not model.training
        assert model.metadata == METADATA
        assert acsnet.Predictor(model).evaluation.threshold == 0.4
        assert_same(model, make())
    assert_same(acsnet.load_model(folder / "model.safetensors"), make())


def test_an_ensemble(tmp_path: Path) -> None:
    both = Ensemble([make(0), make(1)])
    both.metadata = METADATA.model_copy(update={"members": 2})  # type: ignore[assignment]
    acsnet.save_pretrained(both, tmp_path)
    loaded = acsnet.from_pretrained(tmp_path)
    assert isinstance(loaded, Ensemble)
    assert "# ensemble of 2 unet for" in (tmp_path / "README.md").read_text()
    assert_same(loaded, both)


def test_arguments_of_the_network_are_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'width'"):
        acsnet.from_pretrained(folder, width=8)  # type: ignore[call-arg]


def test_an_existing_model_card_is_not_overwritten(folder: Path) -> None:
    (folder / "README.md").write_text("mine")
    acsnet.save_pretrained(make(1), folder)
    assert (folder / "README.md").read_text() == "mine"
    assert_same(acsnet.from_pretrained(folder), make(1))


def test_a_network_without_metadata(tmp_path: Path) -> None:
    message = (
        r"^this UNet has no metadata, which names its classes and normalization: load it by acsnet\.load_model, or set"
    )
    with pytest.raises(InputError, match=message):
        acsnet.save_pretrained(acsnet.create_model("unet", **ARGUMENTS), tmp_path)
    with pytest.raises(InputError, match=message):
        acsnet.push_to_hub(acsnet.create_model("unet", **ARGUMENTS), "somebody/unet")


def test_folders_that_cannot_be_loaded(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or not a safetensors file"):
        acsnet.from_pretrained(folder)
    other = METADATA.model_copy(update={"arguments": {**ARGUMENTS, "width": 8}})
    save_checkpoint(weights, make().state_dict(), other)
    with pytest.raises(CheckpointError, match=r"model\.safetensors does not match the architecture of UNet: "):
        acsnet.from_pretrained(folder)
    weights.unlink()
    torch.save(make().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"^there is no checkpoint .*model\.safetensors"):
        acsnet.from_pretrained(folder)
    with pytest.raises(
        DownloadError, match=r"nothing is not a local folder and could not be downloaded from the Hugging Face Hub \("
    ):
        acsnet.from_pretrained(tmp_path / "nothing")


class Hub(BaseHTTPRequestHandler):
    """Serves the files of one repository as the Hub does: names, sizes and hashes in headers."""

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
    """The address of a local Hub with ``folder`` as somebody/unet, and a temporary cache."""
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
    assert model.metadata == METADATA
    assert_same(model, make())
    cached = acsnet.from_pretrained("somebody/unet", cache_dir=tmp_path / "cache", local_files_only=True)
    assert_same(cached, make())
    with pytest.raises(
        DownloadError,
        match=r"^somebody/else is not a local folder and could not be downloaded from the Hugging Face Hub",
    ):
        acsnet.from_pretrained("somebody/else", cache_dir=tmp_path / "cache")


def test_pushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that are uploaded; the two calls of the Hub are mocked."""
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
    address = acsnet.push_to_hub(make(), "somebody/unet", private=True, commit_message="first")
    assert address == "https://huggingface.co/somebody/unet/commit/1"
    assert (sent["repo_id"], sent["private"], sent["message"]) == ("somebody/unet", True, "first")
    assert sent["files"].keys() == {"model.safetensors", "config.json", "README.md"}
    assert json.loads(sent["files"]["config.json"])["model"] == "unet"
    assert b"pickle" not in sent["files"]["model.safetensors"]
