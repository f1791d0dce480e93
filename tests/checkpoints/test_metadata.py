import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from acsnet import create_model, load_model
from acsnet._utils.files import DiskFullError
from acsnet.checkpoints import (
    CheckpointMetadata,
    load_weights,
    read_metadata,
    read_weights,
    rewrite_metadata,
    save_checkpoint,
    weights_sha256,
)
from acsnet.config import EvaluationConfig
from acsnet.errors import CheckpointError
from acsnet.version import __version__

TINY: dict[str, Any] = {"encoder": "mobilenetv3_small_050", "widths": [16, 16, 16, 16, 16]}
METADATA: dict[str, Any] = {
    "model": "acsnet",
    "arguments": {"in_channels": 1, "tasks": ["segmentation", "classification"], **TINY},
    "class_names": ("benign", "malignant"),
    "input_size": (64, 96),
    "mean": (0.33,),
    "std": (0.204,),
    "metrics": {"dice": 0.7612345678901234, "hd95": None, "protocol": "größer als nichts"},
    "dataset": {"name": "phantoms", "n": 36},
    "split_hash": "abc",
    "config": {"training": {"epochs": 2}, "evaluation": {"threshold": 0.4, "postprocessing": {"fill_holes": True}}},
}
OWN_NETWORK = {"model": METADATA["model"], "arguments": METADATA["arguments"]}
OPENERS: list[Callable[[Path], Any]] = [read_metadata, read_weights, load_model]


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return create_model("acsnet", num_classes=2, **METADATA["arguments"])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Read-only."""
    return make_network().eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, network: nn.Module) -> Path:
    """Read-only."""
    path = tmp_path_factory.mktemp("checkpoints") / "tiny.safetensors"
    save_checkpoint(path, network.state_dict(), CheckpointMetadata(**METADATA))
    return path


def write_with_metadata(path: Path, metadata: dict[str, str] | None) -> Path:
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    return path


# --- round trip ------------------------------------------------------------------------------------------------------


def test_a_network_is_rebuilt_from_the_file_alone(network: nn.Module, checkpoint: Path) -> None:
    rebuilt = load_model(str(checkpoint))
    assert not rebuilt.training
    assert rebuilt.metadata == CheckpointMetadata(**METADATA)
    images = torch.randn(2, 1, 64, 32)
    with torch.inference_mode():
        ours, theirs = rebuilt(images), network(images)
    assert torch.equal(ours.mask, theirs.mask)
    assert torch.equal(ours.label, theirs.label)
    assert ours.label.shape == (2, 2)


def test_weights_come_back_bit_for_bit(network: nn.Module, checkpoint: Path) -> None:
    weights = read_weights(checkpoint)
    state = network.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[key], value) and weights[key].dtype == value.dtype for key, value in state.items())


def test_metadata_comes_back(checkpoint: Path) -> None:
    metadata = read_metadata(checkpoint)
    assert metadata == CheckpointMetadata(**METADATA)
    assert metadata.metrics == METADATA["metrics"]
    assert (metadata.format, metadata.code_version) == (1, __version__)


def test_default_prediction_settings_are_those_of_the_training(checkpoint: Path) -> None:
    assert read_metadata(checkpoint).evaluation == EvaluationConfig(threshold=0.4, postprocessing={"fill_holes": True})
    assert CheckpointMetadata(**{**METADATA, "config": {}}).evaluation == EvaluationConfig()


def test_metadata_is_json_in_the_header(checkpoint: Path) -> None:
    """As another program reads it."""
    with safe_open(checkpoint, framework="pt") as file:
        metadata = file.metadata()
    assert sorted(metadata) == ["acsnet", "acsnet_tensors_sha256"]
    assert json.loads(metadata["acsnet"])["class_names"] == ["benign", "malignant"]


def test_shared_and_channels_last_and_learned_tensors_are_saved(tmp_path: Path) -> None:
    shared = torch.randn(2, 3, 4, 4, requires_grad=True)
    state = {"a": shared, "b": shared, "c": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    save_checkpoint(tmp_path / "a.safetensors", state, CheckpointMetadata(**METADATA))
    weights = read_weights(tmp_path / "a.safetensors")
    assert all(torch.equal(weights[key], value) for key, value in state.items())


def test_saving_overwrites_completely_or_not_at_all(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(checkpoint.read_bytes())

    class FullDisk(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(memoryview(data)[: len(data) // 2])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode: FullDisk(self, mode))
    with pytest.raises(DiskFullError, match=r"a\.safetensors could not be written: the disk is full"):
        save_checkpoint(path, {"a": torch.zeros(3)}, CheckpointMetadata(**METADATA))
    monkeypatch.undo()
    assert read_metadata(path) == CheckpointMetadata(**METADATA)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_half_precision_is_widened(network: nn.Module, tmp_path: Path) -> None:
    halved = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, halved, CheckpointMetadata(**METADATA))
    assert {value.dtype for value in read_weights(path).values()} == {torch.float16, torch.int64}
    rebuilt = load_model(path).state_dict()
    assert {value.dtype for value in rebuilt.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(value, halved[key].to(value.dtype)) for key, value in rebuilt.items())


def test_create_model_takes_the_weights_of_a_checkpoint(network: nn.Module, checkpoint: Path) -> None:
    other = create_model("acsnet", num_classes=2, checkpoint=checkpoint, **METADATA["arguments"])
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in other.state_dict().items())


# --- files that cannot be read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", OPENERS)
def test_a_missing_file(read: Callable[[Path], Any], tmp_path: Path) -> None:
    for path, shown in ((tmp_path / "none.safetensors", ""), (tmp_path, " (it is a directory)")):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        expected = f"there is no checkpoint {path}{shown}: give the path of a .safetensors file"
        if read is load_model and path.is_dir():
            expected = f"the folder {path} has no model.safetensors, which acsnet.save_pretrained writes"
        assert str(caught.value) == expected


@pytest.mark.parametrize("read", OPENERS)
@pytest.mark.parametrize("fraction", [0.0, 1e-6, 1e-5, 0.001, 0.5, 0.99999])
def test_a_truncated_file(read: Callable[[Path], Any], checkpoint: Path, tmp_path: Path, fraction: float) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(
        CheckpointError, match=r"cut\.safetensors is truncated or not a safetensors file \(.+\): copy it"
    ):
        read(path)


@pytest.mark.parametrize("read", OPENERS)
@pytest.mark.parametrize("content", [b"a text file\n", b"{}", bytes(1000), b"\xff" * 1000])
def test_a_file_with_other_content(read: Callable[[Path], Any], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.safetensors is truncated or not a safetensors file"):
        read(path)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("read", OPENERS)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_file_is_refused_and_not_executed(
    read: Callable[[Path], Any], tmp_path: Path, name: str, zipped: bool
) -> None:
    trace = tmp_path / "executed"
    content = {"state_dict": Malicious(trace)}
    if zipped:
        torch.save(content, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(content))
    message = (
        r"is a pickled file \(\.pt, \.pth\), which may run code, and is not opened: give best\.safetensors of the run, "
        r"or for weights of the published ACSNet see acsnet import-weights --help$"
    )
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path / name)
    with pytest.raises(CheckpointError, match=message):
        create_model("acsnet", checkpoint=tmp_path / name, **TINY)
    assert not trace.exists()
    if not zipped:
        pickle.loads((tmp_path / name).read_bytes())
        assert trace.exists(), "unpickling would have created the file"


# --- invalid metadata -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_without_metadata(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = write_with_metadata(tmp_path / "plain.safetensors", metadata)
    message = (
        r"plain\.safetensors has no acsnet metadata in its header, which names network, classes and normalization: "
        r"load weights of a network of acsnet with acsnet\.create_model\(name, checkpoint='plain\.safetensors'\), "
        r"train from weights of timm or torchvision with acsnet train --set model\.encoder_weights=FILE, or convert "
        r"weights of the published ACSNet with acsnet import-weights FILE --out OUT$"
    )
    with pytest.raises(CheckpointError, match=message):
        read_metadata(path)
    assert read_weights(path)["weight"].shape == (2,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"the metadata is not valid JSON \(.+\): copy the file again"),
        ("", r"the metadata is not valid JSON \(.+\): copy the file again"),
        ("[1]", "the metadata is not a JSON object: copy the file again"),
        ("{}", "has checkpoint format None, this version of acsnet reads 1: upgrade acsnet"),
        (
            json.dumps({**METADATA, "format": 2}),
            "has checkpoint format 2, this version of acsnet reads 1: upgrade acsnet",
        ),
        (json.dumps({**METADATA, "format": 1, "model": 3}), "the metadata entry 'model' is invalid: .*valid string"),
        (
            json.dumps({**METADATA, "format": 1, "std": ["a"]}),
            r"the metadata entry 'std\.0' is invalid: .*valid number",
        ),
        (json.dumps({**METADATA, "format": 1, "more": 1}), "the metadata entry 'more' is invalid: Extra inputs"),
        (
            json.dumps({**METADATA, "format": 1, "config": {"evaluation": {"postprocessing": {"holes": True}}}}),
            r"the metadata entry 'config\.evaluation\.postprocessing\.holes' is invalid: Extra inputs",
        ),
        (
            json.dumps({**METADATA, "format": 1, "members": 2, "networks": [OWN_NETWORK]}),
            "the metadata is invalid: networks has to name the network of each of the members, and model is the first",
        ),
        (
            json.dumps({**METADATA, "format": 1, "members": 2, "networks": [{**OWN_NETWORK, "model": "unet"}] * 2}),
            "the metadata is invalid: networks has to name the network of each of the members, and model is the first",
        ),
        (
            json.dumps({**METADATA, "format": 1, "members": 2, "networks": [OWN_NETWORK, {**OWN_NETWORK, "size": 1}]}),
            r"the metadata entry 'networks\.1\.size' is invalid: Extra inputs",
        ),
        (
            json.dumps(
                {**METADATA, "format": 1, "members": 2, "networks": [OWN_NETWORK, {"model": "unet", "arguments": {}}]}
            ),
            r"the metadata is invalid: networks\.1 has other channels or tasks than the first: .*=3 .* and .*=1 ",
        ),
        (json.dumps({"format": 1, "model": "acsnet"}), "the metadata entry 'arguments' is invalid: Field required"),
    ],
)
def test_invalid_metadata(tmp_path: Path, text: str, message: str) -> None:
    path = write_with_metadata(tmp_path / "broken.safetensors", {"acsnet": text})
    for read in (read_metadata, load_model):
        with pytest.raises(CheckpointError, match=rf"broken\.safetensors:? {message}"):
            read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "acsent"}, "unknown network 'acsent': did you mean 'acsnet'"),
        ({"arguments": {"width": 3}}, "unknown argument of acsnet 'width'"),
        ({"arguments": {"widths": 3}}, "widths is 3: Input should be an instance of Sequence"),
        ({"arguments": {"widths": [16, 16]}}, r"widths is \[16, 16\]: expected five multiples of 16"),
        ({"arguments": {"encoder": 3}}, "encoder is 3: Input should be a valid string"),
        ({"arguments": {"encoder": "resnet81"}}, "unknown encoder 'resnet81'"),
        ({"arguments": {"num_classes": 3}}, "unknown argument of acsnet 'num_classes'"),
    ],
)
def test_metadata_of_a_network_that_cannot_be_built(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    metadata = json.dumps({**METADATA, "format": 1, **changes})
    path = write_with_metadata(tmp_path / "other.safetensors", {"acsnet": metadata})
    with pytest.raises(
        CheckpointError,
        match=rf"other\.safetensors: the network described by its metadata cannot be built: .*{message}",
    ):
        load_model(path)


# --- weights of another network --------------------------------------------------------------------------------------


def toy() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))


def test_weights_of_another_network_are_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    network = toy()
    weights = {key: value + 1 for key, value in network.state_dict().items()}
    del weights["2.bias"]
    weights["0.weight"] = torch.zeros(2, 5)
    weights["3.weight"] = torch.zeros(1)
    path = tmp_path / "other.safetensors"
    save_file(weights, path)
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, path)
    assert str(caught.value) == (
        f"{path} does not match the architecture of Sequential: 1 missing (2.bias); 1 unexpected (3.weight); 1 with a "
        "different shape (0.weight is (2, 5) and should be (2, 3))"
    )
    assert all(torch.equal(value, toy().state_dict()[key]) for key, value in network.state_dict().items())


def test_many_keys_are_counted_and_three_named(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({f"key{index}": torch.zeros(1) for index in range(5)}, path)
    with pytest.raises(CheckpointError) as caught:
        load_weights(toy(), path)
    assert "9 missing (0.weight, 0.bias, 1.weight, ...)" in str(caught.value)
    assert "5 unexpected (key0, key1, key2, ...)" in str(caught.value)
    assert "shape" not in str(caught.value)


def test_a_checkpoint_with_another_head_does_not_match_its_own_metadata(checkpoint: Path, tmp_path: Path) -> None:
    weights, path = read_weights(checkpoint), tmp_path / "other.safetensors"
    one_task = {**METADATA["arguments"], "tasks": ["segmentation"]}
    save_checkpoint(path, weights, CheckpointMetadata(**{**METADATA, "arguments": one_task}))
    with pytest.raises(
        CheckpointError, match=r"does not match the architecture of ACSNet: \d+ unexpected \(cls_head\."
    ):
        load_model(path)
    save_checkpoint(path, weights, CheckpointMetadata(**{**METADATA, "class_names": ("a", "b", "c")}))
    message = r"2 with a different shape \(cls_head\.classify\.2\.weight is \(2, \d+\) and should be \(3, \d+\), "
    with pytest.raises(CheckpointError, match=message):
        load_model(path)


def test_the_subset_of_the_selection_is_kept(tmp_path: Path) -> None:
    assert CheckpointMetadata(**METADATA).selected_on == "validation"
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"weight": torch.zeros(2)}, CheckpointMetadata(**METADATA, selected_on="test"))
    assert read_metadata(path).selected_on == "test"
    content = CheckpointMetadata(**METADATA).model_dump(mode="json")
    del content["selected_on"]  # files that were written before it existed
    assert read_metadata(write_with_metadata(path, {"acsnet": json.dumps(content)})).selected_on == "validation"
    broken = write_with_metadata(path, {"acsnet": json.dumps({**content, "selected_on": "train"})})
    with pytest.raises(
        CheckpointError, match="the metadata entry 'selected_on' is invalid: Input should be 'validation'"
    ):
        read_metadata(broken)


def test_other_metadata_and_the_same_tensors(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights = {"a": torch.randn(3, 5), "b": torch.arange(7), "c": torch.randn(2).half()}
    save_checkpoint(path, weights, CheckpointMetadata(**METADATA))
    other = CheckpointMetadata(**METADATA).model_copy(update={"split_hash": "ß" * 100})
    rewrite_metadata(path, copy, other)
    assert read_metadata(copy) == other
    again = read_weights(copy)
    assert again.keys() == weights.keys()
    assert all(again[key].equal(value) and again[key].dtype == value.dtype for key, value in weights.items())
    assert weights_sha256(copy) == weights_sha256(path)
    save_checkpoint(path, {**weights, "b": torch.arange(1, 8)}, CheckpointMetadata(**METADATA))
    assert weights_sha256(path) != weights_sha256(copy)
    rewrite_metadata(copy, copy, CheckpointMetadata(**METADATA))
    assert read_metadata(copy) == CheckpointMetadata(**METADATA)
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"b\.safetensors is truncated or not a safetensors file"):
        rewrite_metadata(copy, path, other)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"members": 1001}, "members"),
        ({"plugins": tuple(f"plugin_{i}" for i in range(101))}, "plugins"),
        ({"std": (0.0,)}, "std"),
    ],
)
def test_a_file_that_could_not_be_read_is_not_written(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    metadata = CheckpointMetadata(**METADATA).model_copy(update=changes)
    target = tmp_path / "target.safetensors"
    for write in (
        lambda: save_checkpoint(target, {}, metadata),
        lambda: rewrite_metadata(checkpoint, target, metadata),
    ):
        with pytest.raises(CheckpointError, match=rf"target\.safetensors: the metadata .*{key}"):
            write()
        assert not any(tmp_path.iterdir())
