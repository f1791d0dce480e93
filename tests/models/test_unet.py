from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import acsnet
from acsnet.errors import InputError
from acsnet.layers import GateUnit
from acsnet.models import GatedUNet, UNet

NAMES = ["unet", "gated_unet"]
TINY: dict[str, dict[str, Any]] = {"unet": {"width": 3, "depth": 3}, "gated_unet": {"width": 16, "depth": 2}}


def tiny(name: str = "unet", **arguments: Any) -> Any:
    """A network with strong signals, whose weights, means and variances all differ from their initial values."""
    torch.manual_seed(0)
    network = acsnet.create_model(name, **(TINY[name] | arguments))
    for key, value in network.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.normal_(std=0.2)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim > 1:
            nn.init.kaiming_normal_(value)
    return network.eval()


def images(batch: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, 16, 24, generator=torch.Generator().manual_seed(1))


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def parameters_of_unet(width: int, depth: int, in_channels: int, norm: int = 2) -> int:
    """Parameters of the U-Net with one mask logit; ``norm`` per channel after each 3x3 convolution."""

    def double(before: int, after: int) -> int:
        return 9 * before * after + 9 * after * after + 2 * norm * after

    total = double(in_channels, width)
    for level in range(depth):
        fine, coarse = width << level, width << level + 1
        total += double(fine, coarse)  # down
        total += 4 * coarse * fine + fine + double(2 * fine, fine)  # up
    return total + width + 1


def parameters_of_head(channels: int, classes: int) -> int:
    return channels * (channels // 2) + channels // 2 + (channels // 2 + 1) * classes


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "depth", "in_channels", "classes"),
    [(64, 4, 3, 3), (64, 4, 1, 2), (32, 4, 1, 3), (5, 1, 3, 3), (3, 5, 2, 4)],
)
def test_parameters_are_those_of_the_formula(width: int, depth: int, in_channels: int, classes: int) -> None:
    with torch.device("meta"):
        network = acsnet.create_model("unet", classes, in_channels, width=width, depth=depth)
    head = parameters_of_head(width << depth, classes)
    assert size_of(network) == parameters_of_unet(width, depth, in_channels) + head


def test_published_sizes() -> None:
    with torch.device("meta"):
        full = acsnet.create_model("unet", tasks=["segmentation"])
        both = acsnet.create_model("unet")
    # The figure that is known for the plain U-Net with batch normalization, three channels in and one map out.
    assert size_of(full) == 31_037_633
    assert size_of(both) == 31_563_972
    # Zhou et al. 2018, table 2: "U-Net, 7.76 M", from 32 channels on and without batch normalization.
    assert round(parameters_of_unet(32, 4, 3, norm=1) / 1e6, 2) == 7.76


def test_widths_double_from_level_to_level() -> None:
    with torch.device("meta"):
        network: Any = UNet()
    assert [level[0].out_channels for level in network.encoder.levels] == [64, 128, 256, 512]
    assert network.bottleneck[1][0].out_channels == 1024
    assert [level.merge[0].in_channels for level in network.decoder] == [128, 256, 512, 1024]


# --- what is computed ------------------------------------------------------------------------------------------------


def double_conv(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    for conv, norm in ((0, 1), (3, 4)):
        x = functional.conv2d(x, p[f"{prefix}.{conv}.weight"], padding=1)
        mean, variance = p[f"{prefix}.{norm}.running_mean"], p[f"{prefix}.{norm}.running_var"]
        x = functional.batch_norm(x, mean, variance, p[f"{prefix}.{norm}.weight"], p[f"{prefix}.{norm}.bias"]).relu()
    return x


def up(x: torch.Tensor, skip: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    x = functional.conv_transpose2d(x, p[f"{prefix}.upsample.weight"], p[f"{prefix}.upsample.bias"], stride=2)
    return double_conv(torch.cat([skip, x], dim=1), p, f"{prefix}.merge")


def test_the_network_equals_a_plain_implementation() -> None:
    network = tiny().double()
    p = network.state_dict()
    x = images().double()
    c0 = double_conv(x, p, "encoder.levels.0")
    c1 = double_conv(functional.max_pool2d(c0, 2), p, "encoder.levels.1")
    c2 = double_conv(functional.max_pool2d(c1, 2), p, "encoder.levels.2")
    bottom = double_conv(functional.max_pool2d(c2, 2), p, "bottleneck.1")
    d2 = up(bottom, c2, p, "decoder.2")
    d1 = up(d2, c1, p, "decoder.1")
    d0 = up(d1, c0, p, "decoder.0")
    mask = functional.conv2d(d0, p["seg_head.weight"], p["seg_head.bias"])
    pooled = functional.adaptive_avg_pool2d(bottom, 1).flatten(1)
    hidden = functional.linear(pooled, p["cls_head.classify.1.weight"], p["cls_head.classify.1.bias"]).relu()
    label = functional.linear(hidden, p["cls_head.classify.3.weight"], p["cls_head.classify.3.bias"])
    output = network(x)
    assert mask.std() > 0.1
    torch.testing.assert_close(output.mask, mask, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(output.label, label, rtol=1e-10, atol=1e-10)
    assert output.aux == ()


def test_the_gated_network_differs_only_in_its_gates() -> None:
    gated, plain = tiny("gated_unet"), tiny("unet", **TINY["gated_unet"])
    assert isinstance(gated, GatedUNet)
    assert [type(skip) for skip in gated.skips] == [GateUnit, GateUnit]
    gates = {key for key in gated.state_dict() if key.startswith("skips.")}
    assert gates
    assert gated.state_dict().keys() - gates == plain.state_dict().keys()
    assert size_of(gated) - size_of(plain) == sum(size_of(GateUnit(channels)) for channels in (16, 32))
    plain.load_state_dict({key: value for key, value in gated.state_dict().items() if key not in gates})
    with torch.no_grad():
        with_gates, without = gated(images()), plain(images())
        assert torch.equal(with_gates.label, without.label)
        assert not torch.allclose(with_gates.mask, without.mask, atol=1e-3)
        # Each gate sees its encoder map, and only through it does that map reach the decoder.
        gated.skips = plain.skips
        assert torch.equal(gated(images()).mask, without.mask)
        gated.skips = nn.ModuleList([Zero(), Zero()])
        plain.skips = gated.skips
        assert torch.equal(gated(images()).mask, plain(images()).mask)


class Zero(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_every_depth_works_on_its_smallest_size(depth: int) -> None:
    network = tiny(depth=depth)
    assert network.divisor == 2**depth
    assert UNet.divisor == 32, "the class's own is left alone"
    output = network(torch.zeros(1, 3, network.divisor, 2 * network.divisor))
    assert output.mask.shape == (1, 1, network.divisor, 2 * network.divisor)
    if depth > 1:
        with pytest.raises(
            InputError, match=f"multiples of {2**depth}; the nearest valid size is {2**depth}x{2**depth}"
        ):
            network(torch.zeros(1, 3, network.divisor, network.divisor + 1))


# --- tasks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_alone_is_encoder_bottleneck_and_head(name: str) -> None:
    labels, masks = tiny(name, tasks=["classification"]), tiny(name, tasks=["segmentation"])
    assert [key for key, _ in labels.named_children()] == ["encoder", "bottleneck", "cls_head"]
    assert [key for key, _ in masks.named_children()] == ["encoder", "bottleneck", "skips", "decoder", "seg_head"]
    assert labels(images()).mask is None
    assert masks(images()).label is None


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("unet", {"width": 0}, r"width is 0: expected a whole number of at least 1"),
        ("unet", {"width": 8.0}, r"width is 8\.0: expected a whole number"),
        ("unet", {"width": True}, r"width is True: expected a whole number"),
        ("unet", {"depth": 0}, r"depth is 0: expected a whole number from 1 to 5"),
        ("unet", {"depth": 6}, r"depth is 6: expected a whole number from 1 to 5"),
        ("unet", {"depth": "4"}, r"depth is '4': expected a whole number from 1 to 5"),
        ("gated_unet", {"width": 24}, r"width is 24: expected a positive multiple of 16"),
        ("gated_unet", {"width": 0}, r"width is 0: expected a positive multiple of 16"),
    ],
)
def test_arguments_out_of_range(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        acsnet.create_model(name, **arguments)
