from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import acsnet
from acsnet.errors import InputError, UnknownNameError
from acsnet.layers import CBAM
from acsnet.models import EfficientNetCBAM, model_entry

TINY: dict[str, Any] = {"encoder": "mobilenetv3_small_050", "width": 2, "reduction": 2}
Weights = dict[str, torch.Tensor]


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(**arguments: Any) -> EfficientNetCBAM:
    torch.manual_seed(0)
    return EfficientNetCBAM(**(TINY | arguments))


# --- parameters, by hand ---------------------------------------------------------------------------------------------


def convolution(size: int, inputs: int, outputs: int) -> int:
    return size**2 * inputs * outputs + outputs


def cbam(channels: int) -> int:
    hidden = channels // 16
    return (channels * hidden + hidden) + (hidden * channels + channels) + convolution(7, 2, 1)


def norm(channels: int) -> int:
    return 2 * channels


def block(inputs: int, outputs: int) -> int:
    shortcut = 0 if inputs == outputs else convolution(1, inputs, outputs) + norm(outputs)
    convolutions = convolution(3, inputs, outputs) + convolution(3, outputs, outputs) + 2 * norm(outputs)
    return convolutions + shortcut + cbam(outputs)


def stage(inputs: int, skip: int, outputs: int) -> int:
    skipped = convolution(1, skip, outputs) + norm(outputs) + cbam(outputs)
    return skipped + block(inputs + outputs, outputs) + block(outputs, outputs)


def parts(skips: tuple[int, ...], deepest: int, classes: int) -> dict[str, int]:
    return {
        "context": 4 * (convolution(1, deepest, 128) + norm(128)),
        "bottleneck": block(deepest + 512, 512) + block(512, 512),
        "decoder": stage(512, skips[3], 256)
        + stage(256, skips[2], 128)
        + stage(128, skips[1], 64)
        + stage(64, skips[0], 32),
        "seg_head": convolution(3, 32, 1),
        "cls_head": sum(convolution(1, *pair) for pair in ((960, 512), (512, 256), (256, 128), (128, classes))),
    }


@pytest.mark.parametrize(
    ("encoder", "skips", "deepest"),
    [
        (None, (144, 192, 336, 960), 1792),
        ("tf_efficientnet_b7.aa_in1k", (192, 288, 480, 1344), 2560),
        ("resnet18", (64, 64, 128, 256), 512),
    ],
)
def test_parameters_besides_the_encoder(encoder: str | None, skips: tuple[int, ...], deepest: int) -> None:
    with torch.device("meta"):
        model = acsnet.create_model("efficientnet_cbam", **({} if encoder is None else {"encoder": encoder}))
    assert model.encoder.channels == (*skips, deepest)
    found = {name: size_of(part) for name, part in model.named_children() if name != "encoder"}
    assert found == parts(skips, deepest, classes=3)


def test_parameters_of_the_default() -> None:
    with torch.device("meta"):
        model = acsnet.create_model("efficientnet_cbam")
    # EfficientNet-B4 has 19,341,616 parameters with a last layer of 1000 classes.
    assert size_of(model.encoder) == 19_341_616 - (1792 * 1000 + 1000)
    assert size_of(model) == 43_384_400
    entry = model_entry("efficientnet_cbam")
    assert entry.publication == "multi-task study on curated BUSI, 2025 (code: EEE402_Project)"
    assert (entry.input_size, entry.pretrained) == ((256, 256), True)


# --- a restatement of the forward pass -------------------------------------------------------------------------------


def convolve(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    weight = w[f"{name}.weight"]
    return functional.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[2] // 2)


def normalize(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    scaled = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    return scaled * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def attend(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    def perceptron(vector: torch.Tensor) -> torch.Tensor:
        hidden = (vector @ w[f"{name}.weigh.0.weight"].T + w[f"{name}.weigh.0.bias"]).clamp(min=0)
        return hidden @ w[f"{name}.weigh.2.weight"].T + w[f"{name}.weigh.2.bias"]

    channels = perceptron(x.flatten(2).mean(2)) + perceptron(x.flatten(2).max(2).values)
    x = x / (1 + (-channels).exp())[:, :, None, None]
    pixels = convolve(torch.stack((x.mean(1), x.max(1).values), dim=1), w, f"{name}.weigh_pixels")
    return x / (1 + (-pixels).exp())


def two_blocks(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    for i in range(2):
        y = swish(normalize(convolve(x, w, f"{name}.{i}.convolve.0"), w, f"{name}.{i}.convolve.1"))
        y = normalize(convolve(y, w, f"{name}.{i}.convolve.4"), w, f"{name}.{i}.convolve.5")
        if f"{name}.{i}.shortcut.0.weight" in w:
            x = normalize(convolve(x, w, f"{name}.{i}.shortcut.0"), w, f"{name}.{i}.shortcut.1")
        x = swish(attend(y + x, w, f"{name}.{i}.attention"))
    return x


def enlarge(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")


def restate(maps: list[torch.Tensor], w: Weights) -> tuple[torch.Tensor, torch.Tensor]:
    x = maps[-1]
    pyramid = [x]
    for i, cells in enumerate((1, 2, 3, 6)):
        pooled = swish(
            normalize(
                convolve(functional.adaptive_avg_pool2d(x, cells), w, f"context.project.{i}.0"),
                w,
                f"context.project.{i}.1",
            )
        )
        pyramid.append(functional.interpolate(pooled, x.shape[2:], mode="bilinear"))
    x = two_blocks(torch.cat(pyramid, 1), w, "bottleneck")
    averages = [x.mean((2, 3))]
    for i in range(4):
        name = f"decoder.{i}"
        skip = swish(normalize(convolve(maps[3 - i], w, f"{name}.skip.0"), w, f"{name}.skip.1"))
        skip = attend(skip, w, f"{name}.skip.3")
        x = two_blocks(torch.cat((skip, enlarge(x)), 1), w, f"{name}.merge")
        if i < 3:
            averages.append(x.mean((2, 3)))
    vector = torch.cat(averages, 1)
    for i in (0, 3, 6):
        vector = swish(vector @ w[f"cls_head.classify.{i}.weight"].T + w[f"cls_head.classify.{i}.bias"])
    label = vector @ w["cls_head.classify.8.weight"].T + w["cls_head.classify.8.bias"]
    return convolve(enlarge(x), w, "seg_head"), label


def test_the_network_is_the_published_one() -> None:
    model = tiny().double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in (module.running_mean, module.bias):
                    value.normal_(std=0.3)
                for value in (module.running_var, module.weight):
                    value.uniform_(0.5, 1.5)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        mask, label = restate(model.encoder(images), model.state_dict())
        found = model(images)
    assert mask.std() > 1e-4
    torch.testing.assert_close(found.mask, mask, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found.label, label, rtol=1e-9, atol=1e-11)


def test_activations_and_dropout() -> None:
    model = tiny()
    head = [type(module) for module in model.cls_head.classify]
    assert head == [
        *(nn.Linear, nn.SiLU, nn.Dropout),
        *(nn.Linear, nn.SiLU, nn.Dropout),
        *(nn.Linear, nn.SiLU),
        nn.Linear,
    ]
    assert [module.p for module in model.cls_head.modules() if isinstance(module, nn.Dropout)] == [0.3, 0.2]
    blocks = [*model.bottleneck, *(block for stage in model.decoder for block in stage.merge)]
    assert len(blocks) == 10
    assert [[m.p for m in block.modules() if isinstance(m, nn.Dropout)] for block in blocks] == [[0.1]] * 10
    assert sum(isinstance(module, CBAM) for module in model.modules()) == 14


def test_any_probability_is_possible() -> None:
    """The code ends with batch normalization; here the convolution is the last layer, without activation."""
    mask = tiny()(torch.randn(2, 3, 64, 64)).mask
    assert mask.min() < 0 < mask.max()


# --- tasks, encoders, errors -----------------------------------------------------------------------------------------


def test_classification_alone_has_three_decoder_stages() -> None:
    both, masks, labels = tiny(), tiny(tasks=["segmentation"]), tiny(tasks=["classification"])
    assert (len(both.decoder), len(masks.decoder), len(labels.decoder)) == (4, 4, 3)
    labels.load_state_dict({key: both.state_dict()[key] for key in labels.state_dict()})
    masks.load_state_dict({key: both.state_dict()[key] for key in masks.state_dict()})
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        mask, label, _ = both.eval()(images)
        torch.testing.assert_close(labels.eval()(images).label, label)
        torch.testing.assert_close(masks.eval()(images).mask, mask)


def test_an_efficientnet_passes_its_expanded_maps() -> None:
    assert tiny(encoder="efficientnet_b0").encoder.channels == (96, 144, 240, 672, 1280)
    assert tiny().encoder.channels == (16, 8, 16, 24, 288)


def test_a_single_image_in_training_is_refused() -> None:
    message = (
        r"the batch size is 1: expected at least 2 in training, since pyramid pooling normalizes one value per image "
        r"over the batch \(in a configuration: training\.batch_size\)"
    )
    images = torch.randn(1, 3, 64, 64)
    with pytest.raises(InputError, match=message):
        tiny().train()(images)
    assert tiny().eval()(images).mask.shape == (1, 1, 64, 64)


@pytest.mark.parametrize("name", ["width", "reduction"])
def test_counts_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is 0: expected a whole number of at least 1"):
        tiny(**{name: 0})


def test_encoders_that_do_not_fit() -> None:
    with pytest.raises(UnknownNameError, match="unknown encoder 'efficientnet_b44': did you mean 'efficientnet_b4'"):
        tiny(encoder="efficientnet_b44")
