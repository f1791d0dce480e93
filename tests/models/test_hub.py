"""Networks in the format of the Hub: folders, downloads from a local server, and uploads with mocked calls."""

import contextlib
import hashlib
import io
import json
import re
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
from PIL import Image

import acsnet
from acsnet.checkpoints import CheckpointMetadata, is_hub_id, save_checkpoint
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
    for model in (acsnet.load_model(folder), acsnet.load_model(str(folder))):
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
    loaded = acsnet.load_model(tmp_path)
    assert isinstance(loaded, Ensemble)
    assert "# ensemble of 2 unet for" in (tmp_path / "README.md").read_text()
    assert_same(loaded, both)


def test_arguments_of_the_network_are_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'width'"):
        acsnet.load_model(folder, width=8)  # type: ignore[call-arg]


def test_an_existing_model_card_is_not_overwritten(folder: Path) -> None:
    (folder / "README.md").write_text("mine")
    acsnet.save_pretrained(make(1), folder)
    assert (folder / "README.md").read_text() == "mine"
    assert_same(acsnet.load_model(folder), make(1))


def test_a_network_without_metadata(tmp_path: Path) -> None:
    message = r"^this UNet has no metadata: name and arguments of the network, .* are missing; load a trained network "
    with pytest.raises(InputError, match=message):
        acsnet.save_pretrained(acsnet.create_model("unet", **ARGUMENTS), tmp_path)
    with pytest.raises(InputError, match=message):
        acsnet.push_to_hub(acsnet.create_model("unet", **ARGUMENTS), "somebody/unet")


def test_folders_that_cannot_be_loaded(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or not a safetensors file"):
        acsnet.load_model(folder)
    other = METADATA.model_copy(update={"arguments": {**ARGUMENTS, "width": 8}})
    save_checkpoint(weights, make().state_dict(), other)
    with pytest.raises(CheckpointError, match=r"model\.safetensors does not match the architecture of UNet: "):
        acsnet.load_model(folder)
    weights.unlink()
    torch.save(make().state_dict(), folder / "pytorch_model.bin")
    missing = f"the folder {folder} has no model.safetensors, which acsnet.save_pretrained writes"
    with pytest.raises(CheckpointError) as caught:
        acsnet.load_model(folder)
    assert str(caught.value) == missing
    (folder / "best.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        acsnet.load_model(str(folder))
    assert str(caught.value) == f"{missing}; name one of its files, such as {folder / 'best.safetensors'}"
    with pytest.raises(CheckpointError, match=r"^there is no checkpoint .*nothing: give the path of a \.safetensors"):
        acsnet.load_model(tmp_path / "nothing")


class Hub(BaseHTTPRequestHandler):
    """Serves the files of one repository as the Hub does: names, sizes and hashes in headers."""

    folder: Path
    revisions = ("main", "v1", "0" * 40)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, with_content: bool) -> None:
        repository, _, rest = self.path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        path = self.folder / name
        fault = "EntryNotFound" if not path.is_file() else None
        fault = "RevisionNotFound" if revision not in self.revisions else fault
        fault = "RepoNotFound" if repository != "somebody/unet" else fault
        if fault is not None:
            self.send_response(404)
            self.send_header("X-Error-Code", fault)
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
def test_a_repository_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (
        acsnet.load_model("somebody/unet"),
        acsnet.load_model("somebody/unet@v1"),
        acsnet.load_model("somebody/unet", revision="v1"),
        acsnet.Predictor.from_checkpoint("somebody/unet").model,
        acsnet.create_model("unet", **ARGUMENTS, checkpoint="somebody/unet@main").eval(),
    ):
        model.metadata = METADATA  # type: ignore[assignment]
        assert_same(model, make())
    assert acsnet.load_model("somebody/unet").metadata == METADATA
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_same(acsnet.load_model("somebody/unet"), make())


START = "is not a local path, and could not be downloaded from the Hugging Face Hub:"


@pytest.mark.usefixtures("hub")
def test_repositories_that_cannot_be_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, reason: str) -> None:
        with pytest.raises(DownloadError) as caught:
            acsnet.load_model(name)
        assert str(caught.value) == f"{name} {START} {reason}"

    fails(
        "somebody/else",
        "there is no such repository, or you need access to it (hf auth login, or HF_TOKEN)",
    )
    fails("somebody/unet@v2", "the repository has no such revision")
    (folder / "model.safetensors").unlink()
    fails("somebody/unet@v1", "the repository has no model.safetensors, so that it is not a network of acsnet")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fails("somebody/other", "it is not in the cache, and the Hub cannot be reached or HF_HUB_OFFLINE is set")


def test_a_local_path_comes_before_a_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "somebody").mkdir()
    folder.rename(folder.parent / "somebody" / "unet")
    assert_same(acsnet.load_model("somebody/unet"), make())
    # A Path is never the id of a repository.
    with pytest.raises(CheckpointError, match=r"^there is no checkpoint somebody/else: give the path of a \.safetenso"):
        acsnet.load_model(Path("somebody/else"))


@pytest.mark.parametrize("checkpoint", ["acsnet_busi", "runs/best.safetensors", Path("a/b"), "a/b@v1", "a/b/c"])
def test_a_revision_without_a_repository(checkpoint: Any) -> None:
    with pytest.raises(InputError) as caught:
        acsnet.load_model(checkpoint, revision="v2")
    assert str(caught.value) == (
        f"revision is 'v2', but {checkpoint} is not the id of a repository on the Hugging Face Hub "
        '("owner/name"): omit it'
    )


@pytest.mark.parametrize("revision", ["", "a b", "v1@2", "x\n"])
def test_a_revision_that_cannot_be_one(revision: str) -> None:
    with pytest.raises(InputError) as caught:
        acsnet.load_model("somebody/unet", revision=revision)
    assert str(caught.value) == f"revision is {revision!r}: expected a branch, a tag or a commit"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("somebody/unet", True),
        ("some-body/unet_v1.0", True),
        ("somebody/unet@refs/pr/1", True),
        ("runs/best.pt", False),
        ("runs/best.SAFETENSORS", False),
        ("./unet", False),
        ("/somebody/unet", False),
        ("../unet", False),
        ("a/b/c", False),
        ("somebody/unet@", False),
        ("unet", False),
        ("~/unet", False),
        ("some body/unet", False),
    ],
)
def test_ids_of_repositories(text: str, expected: bool) -> None:
    assert is_hub_id(text) is expected


# --- model cards ------------------------------------------------------------------------------------------------------


def model_card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def run_example(text: str) -> str:
    """Run the example of a model card in the current folder, and return what it prints."""
    [example] = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(example, "example", "exec"), {})
    return output.getvalue()


@pytest.mark.parametrize("name", ["saved", 'my networks/Ünet "1"'])
@pytest.mark.parametrize("absolute", [False, True])
def test_the_example_of_a_model_card_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save("image.png")
    folder = acsnet.save_pretrained(make(), tmp_path / name if absolute else name)
    assert re.match(r"(benign|malignant|normal) \{'benign': 0\.", run_example(model_card(folder)))


def test_a_model_card_has_license_metrics_and_use(tmp_path: Path) -> None:
    network = make()
    metrics = {"protocol": "validation subset at 32x48, epoch 7", "dice": 0.80283, "accuracy": 0.75, "n": None}
    network.metadata = METADATA.model_copy(update={"metrics": metrics})
    text = model_card(acsnet.save_pretrained(network, tmp_path, license="CC-BY-4.0"))
    assert ModelCard(text).data.license == "cc-by-4.0"
    assert "| license | CC-BY-4.0 |" in text
    assert (
        "## Metrics\n\nProtocol: validation subset at 32x48, epoch 7. Not a test on other images.\n\n"
        "| metric | value |\n| --- | --- |\n| dice | 0.803 |\n| accuracy | 0.750 |\n"
    ) in text
    assert "## Intended use\n\nResearch on segmentation and classification of breast-ultrasound images" in text


def test_a_model_card_without_license_and_metrics(folder: Path) -> None:
    text = model_card(folder)
    assert ModelCard(text).data.license == "unknown"
    assert "| license | not stated: ask the authors before you use the weights |" in text
    assert "## Metrics\n\nThe checkpoint has no metrics." in text
    assert "this repository" not in text


@pytest.mark.parametrize("license", ["", "my own terms", "cc\nby", None, 4])
def test_a_license_that_is_no_identifier(tmp_path: Path, license: Any) -> None:
    message = f"license is {license!r}: expected an identifier of the Hub, such as cc-by-4.0 or apache-2.0"
    for save in (acsnet.save_pretrained, acsnet.push_to_hub):
        with pytest.raises(InputError) as caught:
            save(make(), tmp_path / "saved", license=license)
        assert str(caught.value) == message
    assert not (tmp_path / "saved").exists()


def test_pushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that are uploaded; the two calls of the Hub are mocked."""
    sent: dict[str, Any] = {}

    def create(_: HfApi, repo_id: str, **options: Any) -> Any:
        sent["private"] = options["private"]
        sent.pop("files", None)
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
    assert b'acsnet.load_model("somebody/unet")' in sent["files"]["README.md"]
    acsnet.push_to_hub(make(), "somebody/unet", revision="v1", license="mit")
    assert b'acsnet.load_model("somebody/unet@v1")' in sent["files"]["README.md"]
    assert ModelCard(sent["files"]["README.md"].decode()).data.license == "mit"
