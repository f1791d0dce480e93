from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import acsnet
from acsnet.errors import InputError
from acsnet.layers import SkipGate
from acsnet.models import TASKS, UNet, model_entry

NAMES = ["unet", "gated_unet"]
# The forms of the study's code; the defaults are those of its diagrams.
CODE: dict[str, dict[str, Any]] = {
    "unet": {"down_blocks": (2, 2, 2, 3, 3), "up_blocks": (3, 3, 3, 1), "single_channel_classifier": True},
    "gated_unet": {
        "down_blocks": (1, 2, 3, 4, 3),
        "up_blocks": (2, 2, 2, 1),
        "single_channel_classifier": True,
        "per_channel": True,
    },
}


def tiny(name: str = "unet", **arguments: Any) -> Any:
    """A network with strong signals, whose weights, means and variances all differ from their initial values."""
    torch.manual_seed(0)
    network = acsnet.create_model(name, **({"width": 3, "depth": 3} | arguments))
    for key, value in network.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.normal_(std=0.2)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim > 1:
            nn.init.kaiming_normal_(value)
    return network.eval()


def images(batch: int = 2, size: tuple[int, int] = (16, 24)) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --- size ------------------------------------------------------------------------------------------------------------

# The study's networks by hand, width 32, one channel: (inputs, outputs) of each 3x3 convolution in a block.
DIAGRAM_BLOCKS = [
    *[(1, 32)],
    *[(32, 64), (64, 64)],
    *[(64, 128), (128, 128), (128, 128)],
    *[(128, 256), (256, 256), (256, 256)],
    *[(256, 512), (512, 512), (512, 512)],
    *[(256 + 512, 256), (256, 256), (256, 256)],
    *[(128 + 256, 128), (128, 128), (128, 128)],
    *[(64 + 128, 64), (64, 64)],
    *[(32 + 64, 32)],
]
UNET_CODE_BLOCKS = [
    *[(1, 32), (32, 32)],
    *[(32, 64), (64, 64)],
    *[(64, 128), (128, 128)],
    *[(128, 256), (256, 256), (256, 256)],
    *[(256, 512), (512, 512), (512, 512)],
    *[(256 + 512, 256), (256, 256), (256, 256)],
    *[(128 + 256, 128), (128, 128), (128, 128)],
    *[(64 + 128, 64), (64, 64), (64, 64)],
    *[(32 + 64, 32)],
]
GATED_CODE_BLOCKS = [
    *[(1, 32)],
    *[(32, 64), (64, 64)],
    *[(64, 128), (128, 128), (128, 128)],
    *[(128, 256), (256, 256), (256, 256), (256, 256)],
    *[(256, 512), (512, 512), (512, 512)],
    *[(256 + 512, 256), (256, 256)],
    *[(128 + 256, 128), (128, 128)],
    *[(64 + 128, 64), (64, 64)],
    *[(32 + 64, 32)],
]
SKIPS = [32, 64, 128, 256]


def convolution(before: int, after: int) -> int:
    return 9 * before * after + after


def linear(before: int, after: int) -> int:
    return before * after + after


def blocks(convolutions: list[tuple[int, int]]) -> int:
    """Parameters of blocks; the normalization has a scale and a shift per channel."""
    return sum(convolution(before, after) + 2 * after for before, after in convolutions)


MASK = convolution(32, 1)
DIAGRAM_CLASSIFIER = linear(256 + 512 + 256, 32) + linear(32, 3)
CODE_CLASSIFIER = convolution(256, 1) + convolution(512, 1) + convolution(256, 1) + linear(3, 32) + linear(32, 3)
DIAGRAM_GATES = sum(2 * convolution(c, 1) + convolution(c, c) for c in SKIPS)
CODE_GATES = sum(blocks([(c, c)] * 3) for c in SKIPS)


@pytest.mark.parametrize(
    ("name", "arguments", "by_hand", "number"),
    [
        ("unet", {}, blocks(DIAGRAM_BLOCKS) + MASK + DIAGRAM_CLASSIFIER, 11_704_196),
        ("unet", CODE["unet"], blocks(UNET_CODE_BLOCKS) + MASK + CODE_CLASSIFIER, 11_579_271),
        ("gated_unet", {}, blocks(DIAGRAM_BLOCKS) + DIAGRAM_GATES + MASK + DIAGRAM_CLASSIFIER, 12_496_684),
        (
            "gated_unet",
            CODE["gated_unet"],
            blocks(GATED_CODE_BLOCKS) + CODE_GATES + MASK + CODE_CLASSIFIER,
            13_887_303,
        ),
    ],
)
def test_parameters_of_the_study(name: str, arguments: dict[str, Any], by_hand: int, number: int) -> None:
    with torch.device("meta"):
        network = acsnet.create_model(name, in_channels=1, **arguments)
        rgb = acsnet.create_model(name, in_channels=3, **arguments)
    assert size_of(network) == by_hand == number
    assert size_of(rgb) - size_of(network) == 2 * 9 * 32


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_study(name: str) -> None:
    entry = model_entry(name)
    assert entry.input_size == (256, 256)
    assert "EEE402_Project" in entry.publication
    with torch.device("meta"):
        network: Any = acsnet.create_model(name)
    assert [len(level) for level in network.encoder.levels] == [1, 2, 3, 3, 3]
    assert [len(level.merge) for level in network.decoder.values()] == [3, 3, 2, 1]
    assert [level[-1][0].out_channels for level in network.encoder.levels] == [32, 64, 128, 256, 512]
    assert network.divisor == 16


# --- what is computed ------------------------------------------------------------------------------------------------


def convolve(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    return functional.conv2d(x, p[f"{prefix}.weight"], p[f"{prefix}.bias"], padding=1)


def normalize(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    mean, variance, weight, bias = (
        p[f"{prefix}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def stage(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str, count: int) -> torch.Tensor:
    for number in range(count):
        x = normalize(convolve(x, p, f"{prefix}.{number}.0"), p, f"{prefix}.{number}.1").clamp(min=0)
    assert f"{prefix}.{count}.0.weight" not in p
    return x


def gate(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str, per_channel: bool) -> torch.Tensor:
    scores = {}
    for kind in ("average", "maximum"):
        scores[kind] = convolve(x, p, f"{prefix}.{kind}.0")
        if per_channel:
            scores[kind] = normalize(scores[kind], p, f"{prefix}.{kind}.1")
    average = scores["average"].sigmoid().mean(dim=(2, 3), keepdim=True)
    maximum = scores["maximum"].sigmoid().amax(dim=(2, 3), keepdim=True)
    x = x * average + x * maximum
    if not per_channel:
        return convolve(x, p, f"{prefix}.merge")
    return normalize(convolve(x, p, f"{prefix}.merge.0"), p, f"{prefix}.merge.1").clamp(min=0)


def up(
    x: torch.Tensor, skip: torch.Tensor, p: dict[str, torch.Tensor], level: int, count: int, gated: bool, code: bool
) -> torch.Tensor:
    if gated:
        skip = gate(skip, p, f"skips.{level}", per_channel=code)
    x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return stage(torch.cat([skip, x], dim=1), p, f"decoder.{level}.merge", count)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", [False, True])
def test_the_network_equals_a_plain_implementation(name: str, code: bool) -> None:
    network = tiny(name, depth=4, **(CODE[name] if code else {})).double()
    p = network.state_dict()
    down, back = (1, 2, 3, 3, 3), (3, 3, 2, 1)
    if code:
        down, back = CODE[name]["down_blocks"], CODE[name]["up_blocks"]
    batch = images(size=(32, 48)).double()
    e0 = stage(batch, p, "encoder.levels.0", down[0])
    e1 = stage(functional.max_pool2d(e0, 2), p, "encoder.levels.1", down[1])
    e2 = stage(functional.max_pool2d(e1, 2), p, "encoder.levels.2", down[2])
    e3 = stage(functional.max_pool2d(e2, 2), p, "encoder.levels.3", down[3])
    e4 = stage(functional.max_pool2d(e3, 2), p, "encoder.levels.4", down[4])
    gated = name == "gated_unet"
    d3 = up(e4, e3, p, 3, back[0], gated, code)
    d2 = up(d3, e2, p, 2, back[1], gated, code)
    d1 = up(d2, e1, p, 1, back[2], gated, code)
    d0 = up(d1, e0, p, 0, back[3], gated, code)
    mask = convolve(d0, p, "seg_head")
    maps = [e3, e4, d3]
    if code:
        maps = [convolve(x, p, f"cls_head.reduce.{i}.0").clamp(min=0) for i, x in enumerate(maps)]
    pooled = torch.cat([x.mean(dim=(2, 3)) for x in maps], dim=1)
    hidden = (pooled @ p["cls_head.classify.0.weight"].T + p["cls_head.classify.0.bias"]).clamp(min=0)
    label = hidden @ p["cls_head.classify.2.weight"].T + p["cls_head.classify.2.bias"]
    with torch.no_grad():
        output = network(batch)
    assert pooled.shape == (2, 3 if code else 3 * (8 + 16 + 8))
    assert mask.std() > 0.1
    assert mask.min() < 0 < mask.max(), "no ReLU after the last convolution"
    torch.testing.assert_close(output.mask, mask, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(output.label, label, rtol=1e-10, atol=1e-10)
    assert output.aux == ()


def test_the_gated_network_differs_only_in_its_gates() -> None:
    gated, plain = tiny("gated_unet"), tiny("unet")
    assert [type(skip) for skip in gated.skips.values()] == [SkipGate] * 3
    gates = {key for key in gated.state_dict() if key.startswith("skips.")}
    assert gates
    assert gated.state_dict().keys() - gates == plain.state_dict().keys()
    plain.load_state_dict({key: value for key, value in gated.state_dict().items() if key not in gates})
    with torch.no_grad():
        assert not torch.allclose(gated(images()).mask, plain(images()).mask, atol=1e-3)
        # Each gate sees its encoder map, and only through it does that map reach the decoder.
        gated.skips = nn.ModuleDict({level: Zero() for level in gated.skips})
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
def test_a_classifier_alone_ends_at_the_deepest_decoder_level(name: str) -> None:
    labels, masks, both = (tiny(name, tasks=tasks) for tasks in (["classification"], ["segmentation"], TASKS))
    assert [key for key, _ in labels.named_children()] == ["encoder", "skips", "decoder", "cls_head"]
    assert [key for key, _ in masks.named_children()] == ["encoder", "skips", "decoder", "seg_head"]
    assert list(labels.decoder) == list(labels.skips) == ["2"]
    labels.load_state_dict({key: value for key, value in both.state_dict().items() if key in labels.state_dict()})
    output = labels(images())
    assert output.mask is None
    assert torch.equal(output.label, both(images()).label)
    assert masks(images()).label is None


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, r"width is 0: expected a whole number of at least 1"),
        ({"width": 8.0}, r"width is 8\.0: expected a whole number"),
        ({"width": True}, r"width is True: expected a whole number"),
        ({"depth": 0}, r"depth is 0: expected a whole number from 1 to 5"),
        ({"depth": 6}, r"depth is 6: expected a whole number from 1 to 5"),
        ({"depth": "4"}, r"depth is '4': expected a whole number from 1 to 5"),
        ({"down_blocks": (2, 2, 2, 3)}, r"down_blocks is \(2, 2, 2, 3\): expected 5 whole numbers, one per stage"),
        ({"up_blocks": 2}, r"up_blocks is 2: expected 4 whole numbers, one per stage"),
        ({"up_blocks": "2221"}, r"up_blocks is '2221': expected 4 whole numbers, one per stage"),
        ({"up_blocks": (3, 3, 0, 1)}, r"a value of up_blocks is 0: expected a whole number of at least 1"),
    ],
)
def test_arguments_out_of_range(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        acsnet.create_model(name, **arguments)
