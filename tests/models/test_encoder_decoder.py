from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

import acsnet
from acsnet.errors import InputError, UnknownNameError
from acsnet.models import model_entry
from acsnet.models.encoder_decoder import DECODERS, ENCODERS, EncoderDecoder

smp = pytest.importorskip("segmentation_models_pytorch")

TINY_ENCODER = "mobilenetv3_small_050"
TINY_WIDTHS = {"unet": (32, 16, 16, 8, 8), "unetpp": (32, 16, 16, 8, 8), "fpn": (16, 32), "deeplabv3plus": (16,)}
DECODER_CLASSES = {
    "unet": "UnetDecoder",
    "unetpp": "UnetPlusPlusDecoder",
    "fpn": "FPNDecoder",
    "deeplabv3plus": "DeepLabV3PlusDecoder",
}
LIBRARY = {"unet": smp.Unet, "unetpp": smp.UnetPlusPlus, "fpn": smp.FPN, "deeplabv3plus": smp.DeepLabV3Plus}
# The names in the publication's code: the library's own encoders where it has them, timm's through it where not.
LIBRARY_ENCODERS = {
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "wide_resnet50": "tu-wide_resnet50_2",
    "efficientnet_b4": "efficientnet-b4",
}
CLASSIFICATION_HEAD = {"pooling": "avg", "dropout": 0.5, "classes": 3}
# The last 1x1 convolution and its normalization, which the library's EfficientNet-B4 has and its networks never use.
UNUSED = {"resnet50": 0, "resnext50": 0, "wide_resnet50": 0, "efficientnet_b4": 448 * 1792 + 2 * 1792}
PAIRS = [(decoder, encoder) for decoder in DECODERS for encoder in ENCODERS]


def tiny(decoder: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    arguments = {"encoder": TINY_ENCODER, "decoder_channels": TINY_WIDTHS[decoder]} | arguments
    return acsnet.create_model(f"{decoder}_resnet50", **arguments).eval()


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in module.state_dict().items()}


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("decoder", "encoder"), PAIRS)
def test_names_give_encoder_and_decoder(decoder: str, encoder: str) -> None:
    name = f"{decoder}_{encoder}"
    with torch.device("meta"):
        model = acsnet.create_model(name)
        features = timm.create_model(ENCODERS[encoder][0], features_only=True)
    assert isinstance(model, EncoderDecoder)
    assert shapes(model.encoder.network) == shapes(features)
    assert model.encoder.channels[0] == (48 if encoder == "efficientnet_b4" else 64)
    assert ENCODERS[encoder][0].partition(".")[2] == ("ra2_in1k" if encoder == "efficientnet_b4" else "tv_in1k")
    assert timm.is_model_pretrained(ENCODERS[encoder][0])
    assert type(model.decoder).__name__ == DECODER_CLASSES[decoder]
    assert model.divisor == (16 if decoder == "deeplabv3plus" else 32)
    entry = model_entry(name)
    assert entry.input_size == (448, 448)
    assert "2401.07326" in entry.publication
    assert entry.adds == f"{DECODERS[decoder].title} decoder on {ENCODERS[encoder][1]}, pooled linear classifier"


@pytest.mark.parametrize(("decoder", "encoder"), PAIRS)
def test_parameters_equal_those_of_the_library(decoder: str, encoder: str) -> None:
    with torch.device("meta"):
        alone = acsnet.create_model(f"{decoder}_{encoder}", tasks=("segmentation",))
        both = acsnet.create_model(f"{decoder}_{encoder}")
        theirs = LIBRARY[decoder](LIBRARY_ENCODERS[encoder], encoder_weights=None, aux_params=CLASSIFICATION_HEAD)
    linear = both.encoder.channels[-1] * 3 + 3
    assert size_of(theirs.classification_head) == linear
    assert size_of(both) == size_of(theirs) - UNUSED[encoder]
    assert size_of(alone) == size_of(both) - linear
    assert shapes(both.decoder) == shapes(alone.decoder) == shapes(theirs.decoder)


def test_the_unused_parameters_of_the_library_are_those_without_a_gradient() -> None:
    network = smp.Unet("efficientnet-b4", encoder_weights=None, aux_params=CLASSIFICATION_HEAD)
    mask, label = network(torch.randn(2, 3, 64, 64))
    (mask.mean() + label.mean()).backward()
    unused = {name: parameter.numel() for name, parameter in network.named_parameters() if parameter.grad is None}
    assert sum(unused.values()) == UNUSED["efficientnet_b4"]
    assert unused.keys() == {"encoder._conv_head.weight", "encoder._bn1.weight", "encoder._bn1.bias"}


@pytest.mark.parametrize("decoder", DECODERS)
def test_masks_and_classes_equal_those_of_the_library_with_its_own_efficientnet(decoder: str) -> None:
    """Its padding is that of TensorFlow, as in timm's encoders with the prefix tf."""
    torch.manual_seed(0)
    ours = acsnet.create_model(f"{decoder}_efficientnet_b4", encoder="tf_efficientnet_b4").eval()
    theirs = LIBRARY[decoder]("efficientnet-b4", encoder_weights=None, aux_params=CLASSIFICATION_HEAD).eval()
    copied = [value for key, value in theirs.encoder.state_dict().items() if not key.startswith(("_conv_head", "_bn1"))]
    for mine, other in zip(copied, ours.encoder.network.state_dict().values(), strict=True):
        mine.copy_(other)
    for module in theirs.encoder.modules():
        if isinstance(module, nn.Conv2d) and (module.kernel_size[0], module.stride[0]) == (5, 2):
            # The library pads as for images of 380x380, one of whose maps has an odd size.
            module.static_padding = nn.ZeroPad2d((1, 2, 1, 2))
    assert_equal_outputs(ours, theirs)


@pytest.mark.parametrize("encoder", ["resnet50", "resnext50", "wide_resnet50"])
def test_the_dilated_encoder_is_that_of_the_library(encoder: str) -> None:
    torch.manual_seed(0)
    ours = acsnet.create_model(f"deeplabv3plus_{encoder}").eval()
    theirs = smp.DeepLabV3Plus(LIBRARY_ENCODERS[encoder], encoder_weights=None, aux_params=CLASSIFICATION_HEAD).eval()
    network = theirs.encoder.model if encoder == "wide_resnet50" else theirs.encoder
    network.load_state_dict(ours.encoder.network.state_dict())
    assert_equal_outputs(ours, theirs)


def assert_equal_outputs(ours: nn.Module, theirs: Any) -> None:
    """Compare with a network of the library that has the same encoder weights; the other weights are copied here."""
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    theirs.segmentation_head.load_state_dict(ours.seg_head.state_dict())
    theirs.classification_head[-2].load_state_dict(ours.cls_head.classify[-1].state_dict())
    images = torch.randn(2, ours.in_channels, 64, 96)
    with torch.inference_mode():
        mask, label = theirs(images)
        found = ours(images)
    torch.testing.assert_close(found.mask, mask, rtol=1e-4, atol=1e-4 * mask.abs().max().item())
    torch.testing.assert_close(found.label, label, rtol=1e-4, atol=1e-4 * label.abs().max().item())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_masks_equal_those_of_the_library(decoder: str, in_channels: int) -> None:
    ours = tiny(decoder, in_channels=in_channels)
    widths = TINY_WIDTHS[decoder]
    sizes: dict[str, Any] = {"decoder_channels": widths}
    if decoder == "fpn":
        sizes = {"decoder_pyramid_channels": widths[0], "decoder_segmentation_channels": widths[1]}
    if decoder == "deeplabv3plus":
        sizes = {"decoder_channels": widths[0]}
    theirs = LIBRARY[decoder](f"tu-{TINY_ENCODER}", encoder_weights=None, in_channels=in_channels, classes=1, **sizes)
    theirs.encoder.model.load_state_dict(ours.encoder.network.state_dict())
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    theirs.segmentation_head.load_state_dict(ours.seg_head.state_dict())
    images = torch.randn(2, in_channels, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images).mask, theirs.eval()(images))


@pytest.mark.parametrize("decoder", DECODERS)
def test_segmentation_alone_is_the_network_without_its_classifier(decoder: str) -> None:
    both = tiny(decoder)
    segmentation = tiny(decoder, tasks=("segmentation",))
    assert size_of(both) - size_of(segmentation) == size_of(both.cls_head)
    segmentation.load_state_dict({key: both.state_dict()[key] for key in segmentation.state_dict()})
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        mask, label, aux = both(images)
        deepest = both.encoder(images)[-1].mean(dim=(2, 3))
        assert aux == ()
        assert mask.shape == (2, 1, 96, 64)
        assert segmentation(images).label is None
        torch.testing.assert_close(segmentation(images).mask, mask)
        linear = both.cls_head.classify[-1]
        torch.testing.assert_close(deepest @ linear.weight.T + linear.bias, label)


@pytest.mark.parametrize(
    ("encoder", "reference"),
    [
        ("resnet50", torchvision.models.resnet50),
        ("resnext50", torchvision.models.resnext50_32x4d),
        ("wide_resnet50", torchvision.models.wide_resnet50_2),
        ("efficientnet_b4", torchvision.models.efficientnet_b4),
    ],
)
def test_classification_alone_is_the_torchvision_network_with_a_new_last_layer(encoder: str, reference: Any) -> None:
    with torch.device("meta"):
        found = {
            decoder: acsnet.create_model(f"{decoder}_{encoder}", tasks=("classification",)) for decoder in DECODERS
        }
        expected = reference(num_classes=3)
    for model in found.values():
        assert size_of(model) == size_of(expected)
        assert sorted(shapes_of_parameters(model)) == sorted(shapes_of_parameters(expected))
        assert model.divisor == 32
    assert len({tuple(model.state_dict()) for model in found.values()}) == 1


def shapes_of_parameters(module: nn.Module) -> list[torch.Size]:
    return [parameter.shape for parameter in module.parameters()]


def test_classification_alone_computes_what_torchvision_computes() -> None:
    """The decoder changes nothing: no dilation with DeepLabV3+."""
    torch.manual_seed(0)
    model = EncoderDecoder("efficientnet_b0", "deeplabv3plus", tasks=("classification",)).eval()
    reference = torchvision.models.efficientnet_b0(num_classes=3).eval()
    for mine, other in zip(reference.state_dict().values(), model.state_dict().values(), strict=True):
        assert mine.shape == other.shape
        mine.copy_(other)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(model(images).label, reference(images), rtol=1e-4, atol=1e-5)
        assert model(images).mask is None


def test_dropout_of_the_classifier() -> None:
    one = ("classification",)
    for arguments, rate in (
        ({}, 0.5),
        ({"dropout": 0.2}, 0.2),
        ({"tasks": one}, 0),
        ({"tasks": one, "dropout": 0.4}, 0.4),
    ):
        head = tiny("fpn", **arguments).cls_head
        assert [module.p for module in head.modules() if isinstance(module, nn.Dropout)] == [rate]
    for tasks in (one, ("segmentation", "classification")):
        with pytest.raises(InputError, match=r"dropout is 1\.5: it has to be a number of at least 0 and below 1"):
            tiny("fpn", dropout=1.5, tasks=tasks)


def test_deeplab_stops_at_stride_16_and_takes_multiples_of_it() -> None:
    model = tiny("deeplabv3plus")
    with torch.inference_mode():
        maps = model.encoder(torch.randn(1, 3, 80, 112))
        assert model(torch.randn(1, 3, 80, 112)).mask.shape == (1, 1, 80, 112)
        assert [tuple(y.shape[2:]) for y in maps[-2:]] == [(5, 7), (5, 7)]
        with pytest.raises(InputError, match=r"are 84x112 .* multiples of 16; the nearest valid size is 80x112"):
            model(torch.randn(1, 3, 84, 112))


@pytest.mark.parametrize("decoder", ["unet", "unetpp", "fpn"])
def test_the_others_take_multiples_of_32(decoder: str) -> None:
    with pytest.raises(InputError, match=r"are 80x128 .* multiples of 32; the nearest valid size is 64x128"):
        tiny(decoder)(torch.randn(1, 3, 80, 128))


def test_a_single_image_in_training_is_refused() -> None:
    images = torch.randn(1, 3, 64, 64)
    with pytest.raises(
        InputError, match=r"the batch size is 1: expected at least 2 in training, .*training\.batch_size"
    ):
        tiny("deeplabv3plus").train()(images)
    tiny("deeplabv3plus", tasks=("classification",)).train()(images)
    for decoder in ("unet", "unetpp", "fpn"):
        tiny(decoder).train()(images)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown encoder 'resnet5': did you mean 'resnet50'"):
        acsnet.create_model("unet_resnet50", encoder="resnet5")
    with pytest.raises(UnknownNameError, match=r"unknown decoder 'unet\+': did you mean 'unet' or 'unetpp'"):
        EncoderDecoder(decoder="unet+")
    with pytest.raises(UnknownNameError, match=r"unknown network 'unet_resnet5': did you mean 'unet_resnet50'"):
        acsnet.create_model("unet_resnet5")


def test_encoders_with_other_levels() -> None:
    with pytest.raises(InputError, match=r"'shvit_s1' has feature maps at strides \(16, 32, 64\), expected"):
        acsnet.create_model("fpn_resnet50", encoder="shvit_s1")
    with pytest.raises(InputError, match="'densenet121' cannot be used for feature maps with output stride 16"):
        acsnet.create_model("deeplabv3plus_resnet50", encoder="densenet121")


@pytest.mark.parametrize(
    ("decoder", "widths", "needed"),
    [
        ("unet", (16, 8), "needs a list of 5, each a whole number of at least 1, for example [256, 128, 64, 32, 16]"),
        ("unetpp", (32, 16, 16, 8, 0), "needs a list of 5"),
        ("unetpp", (32, 16, 16, 8, 2.5), "needs a list of 5"),
        (
            "fpn",
            (16, 16),
            "needs a list of 2, each a whole number of at least 1, the last a multiple of 32, for example",
        ),
        ("deeplabv3plus", 16, "needs a list of 1, each a whole number of at least 1, for example [256]"),
    ],
)
def test_widths_that_a_decoder_cannot_take(decoder: str, widths: Any, needed: str) -> None:
    with pytest.raises(InputError) as caught:
        EncoderDecoder(encoder=TINY_ENCODER, decoder=decoder, decoder_channels=widths)
    assert f"decoder_channels is {widths!r}: the decoder {decoder!r} {needed}" in str(caught.value)
