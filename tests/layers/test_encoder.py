import itertools
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from acsnet.errors import DownloadError, InputError, UnknownNameError
from acsnet.layers import Encoder, GlobalAverage, PooledFeatures, is_efficientnet
from acsnet.layers.timm_networks import _Conv2dSame

TINY = "mobilenetv3_small_050"


def torchvision_features(network: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """The five maps of a ResNet-18: the stem after its ReLU, then the four stages."""
    features = [network.relu(network.bn1(network.conv1(x)))]
    y = network.maxpool(features[0])
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        y = stage(y)
        features.append(y)
    return features


def test_resnet18_returns_the_maps_of_torchvision() -> None:
    torch.manual_seed(0)
    encoder = Encoder("resnet18").eval()
    reference = torchvision.models.resnet18().eval()
    reference.load_state_dict(encoder.network.state_dict(), strict=False)
    assert set(reference.state_dict()) - set(encoder.network.state_dict()) == {"fc.weight", "fc.bias"}
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        ours, theirs = encoder(x), torchvision_features(reference, x)
    assert encoder.channels == (64, 64, 128, 256, 512)
    assert [tuple(y.shape) for y in ours] == [
        (1, 64, 32, 48),
        (1, 64, 16, 24),
        (1, 128, 8, 12),
        (1, 256, 4, 6),
        (1, 512, 2, 3),
    ]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_channels_and_strides_are_as_declared(in_channels: int) -> None:
    encoder = Encoder(TINY, in_channels).eval()
    with torch.inference_mode():
        maps = encoder(torch.randn(1, in_channels, 64, 96))
    assert [y.shape[1] for y in maps] == list(encoder.channels)
    assert [tuple(y.shape[2:]) for y in maps] == [(64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)]


def test_an_unknown_encoder_has_near_matches() -> None:
    message = r"unknown encoder 'resnet17': did you mean 'resnet18' or .*\? timm\.list_models\(\) lists all"
    with pytest.raises(UnknownNameError, match=message):
        Encoder("resnet17")
    with pytest.raises(UnknownNameError, match="unknown encoder 'None'"):
        Encoder(None)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown encoder 'hf-hub:timm/resnet18'"):
        Encoder("hf-hub:timm/resnet18.a1_in1k")


def test_unknown_weights() -> None:
    message = r"unknown encoder weights 'imagnet': did you mean 'imagenet'\? expected 'imagenet' or the path of a"
    with pytest.raises(UnknownNameError, match=message):
        Encoder(TINY, weights="imagnet")


@pytest.mark.parametrize(
    ("name", "strides"), [("efficientvit_m0", r"\(16, 32, 64\)"), ("vit_tiny_patch16_224", r"\(16, 16, 16\)")]
)
def test_an_encoder_with_other_strides(name: str, strides: str) -> None:
    message = rf"encoder '{name}' has feature maps at strides {strides}, expected five at \(2, 4, 8, 16, 32\), or four"
    with pytest.raises(InputError, match=message):
        Encoder(name)


def test_an_encoder_without_feature_maps_in_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> nn.Module:
        raise RuntimeError("features_only not implemented\nsecond line")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(InputError) as caught:
        Encoder(TINY)
    assert str(caught.value) == f"encoder '{TINY}' cannot be used for feature maps: features_only not implemented"


def test_an_encoder_without_weights_is_not_a_failed_download() -> None:
    message = r"no pre-trained weights for encoder 'resnet18\.nonsense': .* or use random weights: encoder_weights=None"
    with pytest.raises(InputError, match=message):
        Encoder("resnet18.nonsense", weights="imagenet")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("no route to host\nand a long explanation"), "no route to host"),
        (RuntimeError("the client has been closed"), "the client has been closed"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    def refuse(*_: Any, **__: Any) -> nn.Module:
        raise error

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(DownloadError) as caught:
        Encoder("resnet18", weights="imagenet")
    assert str(caught.value) == (
        f"the ImageNet weights of resnet18 could not be downloaded ({reason}): connect to the internet once, use a "
        "file of weights: encoder_weights=PATH, or use random weights: encoder_weights=None (in a configuration: --set "
        "model.encoder_weights=null)"
    )


def test_offline_without_cached_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through timm and huggingface_hub themselves."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DownloadError, match=r"could not be downloaded .* use random weights: encoder_weights=None"):
        Encoder("resnet18", weights="imagenet")


def test_weights_are_asked_for_as_safetensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise timm would fall back to a pickled file if a repository has no safetensors file."""
    asked: list[dict[str, Any]] = []
    create = timm.create_model

    def record(name: str, **arguments: Any) -> nn.Module:
        asked.append(arguments)
        return create(name, **{**arguments, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", record)
    Encoder(TINY, in_channels=1, weights="imagenet")
    Encoder(TINY)
    assert [arguments["pretrained"] for arguments in asked] == [True, False]
    assert asked[0]["pretrained_cfg_overlay"] == {"hf_hub_filename": "model.safetensors"}
    assert asked[0]["in_chans"] == 1


def test_pretrained_weights_of_the_first_layer_are_adapted_to_one_channel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A gray image gives the same result as three equal channels gave before: the kernels are summed."""
    file = tmp_path / "model.safetensors"
    weights = timm.create_model(TINY).state_dict()
    save_file(weights, file)
    create = timm.create_model

    def from_file(name: str, **arguments: Any) -> nn.Module:
        return create(name, **{**arguments, "pretrained_cfg_overlay": {"file": str(file)}})

    monkeypatch.setattr(timm, "create_model", from_file)
    loaded = Encoder(TINY, in_channels=1, weights="imagenet").network.state_dict()
    stem = loaded.pop("conv_stem.weight")
    torch.testing.assert_close(stem, weights["conv_stem.weight"].sum(dim=1, keepdim=True))
    for key, value in loaded.items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize("output_stride", [8, 16])
def test_output_stride(output_stride: int) -> None:
    encoder = Encoder(TINY, output_stride=output_stride).eval()
    with torch.inference_mode():
        maps = encoder(torch.randn(1, 3, 64, 96))
    assert encoder.strides == tuple(min(stride, output_stride) for stride in (2, 4, 8, 16, 32))
    assert [tuple(y.shape[2:]) for y in maps] == [(64 // stride, 96 // stride) for stride in encoder.strides]
    plain = {key: value.shape for key, value in Encoder(TINY).state_dict().items()}
    assert {key: value.shape for key, value in encoder.state_dict().items()} == plain


def test_an_invalid_output_stride() -> None:
    with pytest.raises(InputError, match=r"output_stride is 12: it has to be one of \(8, 16, 32\)"):
        Encoder(TINY, output_stride=12)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("densenet121", "DenseNet.*unexpected keyword"), ("ghostnet_100", "only output_stride==32"), ("dla34", "Asserti")],
)
def test_an_encoder_that_cannot_be_dilated(name: str, reason: str) -> None:
    message = rf"encoder '{name}' cannot be used for feature maps with output stride 16: .*{reason}"
    for weights in (None, "imagenet"):
        with pytest.raises(InputError, match=message):
            Encoder(name, weights=weights, output_stride=16)


# --- maps of EfficientNets -------------------------------------------------------------------------------------------


def test_names_of_efficientnets() -> None:
    names = ["efficientnet_b0", "efficientnet_b4.ra2_in1k", "tf_efficientnet_b7.aa_in1k", "tf_efficientnet_lite2"]
    assert [is_efficientnet(name) for name in names] == [True] * 4
    others = ["efficientnetv2_s", "mobilenetv3_small_050", "efficientnet_em", "resnet50.tv_in1k", TINY]
    assert not any(map(is_efficientnet, others))


def captured(network: Any, paths: list[str], x: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of modules of a network of timm."""
    seen: list[torch.Tensor] = []
    for path in paths:
        network.get_submodule(path).register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    with torch.inference_mode():
        network(x)
    return seen


@pytest.mark.parametrize(
    ("maps", "paths"),
    [
        ("stages", ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]),
        ("stem", ["bn1", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]),
        ("expanded", ["blocks.1.0.bn1", "blocks.2.0.bn1", "blocks.3.0.bn1", "blocks.5.0.bn1", "bn2"]),
    ],
)
@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_lite0"])
def test_maps_of_an_efficientnet(name: str, maps: str, paths: list[str]) -> None:
    torch.manual_seed(0)
    encoder = Encoder(name, in_channels=1, maps=maps).eval()
    whole = timm.create_model(name, in_chans=1).eval()
    assert whole.load_state_dict(encoder.network.state_dict(), strict=False).unexpected_keys == []
    x = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        found = encoder(x)
    assert [y.shape[1] for y in found] == list(encoder.channels)
    assert [tuple(y.shape[2:]) for y in found] == [(64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)]
    for mine, other in zip(found, captured(whole, paths, x), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_channels_of_efficientnet_b4() -> None:
    with torch.device("meta"):
        channels = {
            maps: Encoder("efficientnet_b4.ra2_in1k", maps=maps).channels for maps in ("stages", "stem", "expanded")
        }
    assert channels == {
        "stages": (24, 32, 56, 160, 448),
        "stem": (48, 32, 56, 160, 448),
        "expanded": (144, 192, 336, 960, 1792),
    }


def test_the_stem_of_a_dilated_efficientnet() -> None:
    encoder = Encoder("efficientnet_b0", output_stride=16, maps="stem").eval()
    assert [tuple(y.shape[1:]) for y in encoder(torch.randn(1, 3, 64, 64))] == [
        (32, 32, 32),
        (24, 16, 16),
        (40, 8, 8),
        (112, 4, 4),
        (320, 4, 4),
    ]


def test_maps_that_an_encoder_does_not_have() -> None:
    with pytest.raises(UnknownNameError, match="unknown encoder maps 'stages2': did you mean 'stages'"):
        Encoder(TINY, maps="stages2")
    for maps in ("stem", "expanded"):
        with pytest.raises(InputError) as caught:
            Encoder(TINY, maps=maps)
        assert str(caught.value) == f"maps is '{maps}': '{TINY}' is not an EfficientNet, use maps='stages'"
    with pytest.raises(InputError, match=r"output_stride is 16: maps='expanded' needs 32"):
        Encoder("efficientnet_b0", output_stride=16, maps="expanded")


@pytest.mark.parametrize(
    ("name", "output_stride", "expected"),
    [
        ("resnet18", 32, {}),
        ("resnet18", 16, {"layer4.0.conv1": 2}),
        ("resnet18", 8, {"layer3.0.conv1": 2, "layer4.0.conv1": 4}),
        ("tf_efficientnet_lite0", 16, {"blocks.5.0.conv_dw": 2}),
    ],
)
def test_the_first_convolution_of_a_level_can_be_dilated(
    name: str, output_stride: int, expected: dict[str, int]
) -> None:
    plain = dict(Encoder(name, output_stride=output_stride).network.named_modules())
    encoder = Encoder(name, output_stride=output_stride, dilate_first=True).eval()
    found = {
        path: module.dilation[0]
        for path, module in encoder.network.named_modules()
        if isinstance(module, nn.Conv2d) and module.dilation != plain[path].dilation
    }
    assert found == expected
    maps = encoder(torch.randn(1, 3, 64, 96))
    assert [tuple(y.shape[2:]) for y in maps] == [(64 // stride, 96 // stride) for stride in encoder.strides]


# --- pooled features -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", TINY, "efficientnet_b0", "densenet121"])
def test_pooled_features_are_those_of_timm(name: str) -> None:
    torch.manual_seed(0)
    features = PooledFeatures(name, in_channels=1).eval()
    whole = timm.create_model(name, in_chans=1, num_classes=0).eval()
    whole.load_state_dict(features.network.state_dict())
    x = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        found = features(x)
        torch.testing.assert_close(found, whole(x))
    assert found.shape == (2, features.channels)
    assert sum(isinstance(module, GlobalAverage) for module in features.modules()) == 1
    if name != "densenet121":
        assert Encoder(name).state_dict().keys() <= features.state_dict().keys()


def test_pooled_features_of_networks_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"encoder 'shvit_s1' has feature maps at strides \(16, 32, 64\), expected five at \(2, 4, 8, 16, 32\), or"
    with pytest.raises(InputError, match=message):
        PooledFeatures("shvit_s1")
    message = "encoder 'mambaout_femto' cannot be used for classification: it does not average its feature maps; use an"
    with pytest.raises(InputError, match=message):
        PooledFeatures("mambaout_femto")
    with pytest.raises(UnknownNameError, match="unknown encoder 'resnet17': did you mean 'resnet18'"):
        PooledFeatures("resnet17")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, global_pool="max", **options))
    message = "encoder 'resnet18' cannot be used for classification: it does not average its feature maps; use an"
    with pytest.raises(InputError, match=message):
        PooledFeatures("resnet18")


def test_pooled_features_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(DownloadError, match=r"the ImageNet weights of resnet18 could not be downloaded \(no route"):
        PooledFeatures("resnet18", weights="imagenet")
    with pytest.raises(InputError, match="encoder 'resnet18' cannot be used for classification: no route to host"):
        PooledFeatures("resnet18")


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [*itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 2))])
def test_the_padding_of_tensorflow_is_that_of_timm(kernel: int, stride: int, dilation: int) -> None:
    layer, own = (kind(2, 3, kernel, stride=stride, dilation=dilation) for kind in (Conv2dSame, _Conv2dSame))
    own.load_state_dict(layer.state_dict())
    for size in itertools.product((5, 8, 9), (6, 7)):
        images = torch.randn(2, 2, *size)
        assert torch.equal(own(images), layer(images)), size


def test_an_exporter_sees_constant_paddings() -> None:
    """With timm's own formula, an export of EfficientNet-Lite with any size took more than ten minutes."""

    class Eighth(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*(_Conv2dSame(1, 1, kernel, stride=2) for kernel in (3, 5, 3)))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.shape[-2] % 8 or images.shape[-1] % 8:
                raise ValueError("expected multiples of 8")
            return self.layers(images)

    sizes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Eighth(), (torch.zeros(1, 1, 32, 48),), dynamic_shapes={"images": sizes})
    paddings = [node.args[1] for node in program.graph.nodes if "pad" in str(node.target)]
    assert paddings == [[0, 1, 0, 1], [1, 2, 1, 2], [0, 1, 0, 1]]
    assert program.module()(torch.zeros(1, 1, 64, 16)).shape == (1, 1, 8, 2)
