from typing import Any

import pytest
import timm
import torch
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
# The library's own encoders where it has them, timm's through it where not (its EfficientNet-B4 has other levels).
LIBRARY_ENCODERS = {
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "wide_resnet50": "tu-wide_resnet50_2",
    "efficientnet_b4": "tu-efficientnet_b4",
}
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
    assert type(model.decoder).__name__ == DECODER_CLASSES[decoder]
    assert model.divisor == (16 if decoder == "deeplabv3plus" else 32)
    entry = model_entry(name)
    assert entry.input_size == (448, 448)
    assert "2401.07326" in entry.publication
    assert entry.adds == f"{DECODERS[decoder].title} decoder on {ENCODERS[encoder][1]}, pooled linear classifier"


@pytest.mark.parametrize(("decoder", "encoder"), PAIRS)
def test_parameters_equal_those_of_the_library(decoder: str, encoder: str) -> None:
    with torch.device("meta"):
        ours = acsnet.create_model(f"{decoder}_{encoder}", tasks=("segmentation",))
        theirs = LIBRARY[decoder](LIBRARY_ENCODERS[encoder], encoder_weights=None, classes=1)
    assert size_of(ours) == size_of(theirs)
    assert shapes(ours.decoder) == shapes(theirs.decoder)


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
def test_each_task_alone(decoder: str) -> None:
    both = tiny(decoder)
    segmentation = tiny(decoder, tasks=("segmentation",))
    classification = tiny(decoder, tasks=("classification",))
    assert not hasattr(segmentation, "cls_head")
    assert not hasattr(classification, "decoder")
    assert size_of(segmentation) + size_of(classification) == size_of(both) + size_of(both.encoder)
    segmentation.load_state_dict({key: both.state_dict()[key] for key in segmentation.state_dict()})
    classification.load_state_dict({key: both.state_dict()[key] for key in classification.state_dict()})
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        mask, label, aux = both(images)
        deepest = both.encoder(images)[-1].mean(dim=(2, 3))
        assert aux == ()
        assert mask.shape == (2, 1, 96, 64)
        assert segmentation(images).label is None
        assert classification(images).mask is None
        torch.testing.assert_close(segmentation(images).mask, mask)
        torch.testing.assert_close(classification(images).label, label)
        linear = both.cls_head.classify[-1]
        torch.testing.assert_close(deepest @ linear.weight.T + linear.bias, label)


def test_the_classifier_drops_a_fifth_in_training() -> None:
    for arguments, rate in (({}, 0.2), ({"dropout": 0.5}, 0.5)):
        head = tiny("fpn", **arguments).cls_head
        assert [module.p for module in head.modules() if isinstance(module, nn.Dropout)] == [rate]
    with pytest.raises(InputError, match=r"dropout is 1\.5"):
        tiny("fpn", dropout=1.5)


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
    with pytest.raises(InputError, match=r"'convnext_atto' has feature maps at strides \(4, 8, 16, 32\), expected"):
        acsnet.create_model("fpn_resnet50", encoder="convnext_atto")
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
