import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import acsnet
from acsnet.errors import InputError
from acsnet.layers.prediction_refinement import BLACK
from acsnet.models import model_entry

NAMES = ["unetpp", "unetpp_refined", "unetpp_lesion_weighted"]
CODE = {"deep_supervision": False, "single_channel_classifier": True}


def tiny(name: str = "unetpp", **arguments: Any) -> Any:
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

# The study's network by hand, width 16, one channel: each row is (inputs, outputs) of the 3x3 convolutions of a stage.
STAGES = {
    "X00": [(1, 16), (16, 16)],
    "X10": [(16, 32), (32, 32)],
    "X20": [(32, 64), (64, 64)],
    "X30": [(64, 128), (128, 128), (128, 128)],
    "X40": [(128, 256), (256, 256), (256, 256)],
    "X01": [(16 + 32, 16), (16, 16), (16, 16)],
    "X11": [(32 + 64, 32), (32, 32), (32, 32)],
    "X21": [(64 + 128, 64), (64, 64), (64, 64)],
    "X31": [(128 + 256, 128), (128, 128), (128, 128)],
    "X02": [(2 * 16 + 32, 16), (16, 16), (16, 16)],
    "X12": [(2 * 32 + 64, 32), (32, 32), (32, 32)],
    "X22": [(2 * 64 + 128, 64), (64, 64), (64, 64)],
    "X03": [(3 * 16 + 32, 16), (16, 16), (16, 16)],
    "X13": [(3 * 32 + 64, 32), (32, 32), (32, 32)],
    "X04": [(4 * 16 + 32, 16)],
}


def blocks_by_hand(scale: int, in_channels: int) -> int:
    """Weights and biases of the convolutions, and scale and shift of the normalizations; ``scale`` times the width."""
    total = 0
    for convolutions in STAGES.values():
        for before, after in convolutions:
            inputs = in_channels if before == 1 else scale * before
            total += 9 * inputs * scale * after + scale * after + 2 * scale * after
    return total


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_parameters_of_the_form_of_the_code(name: str, in_channels: int) -> None:
    with torch.device("meta"):
        network = acsnet.create_model(name, in_channels=in_channels, **CODE)
    mask = 9 * 16 + 1
    reduced = (9 * 128 + 1) + (9 * 256 + 1) + (9 * 128 + 1)
    dense = (3 * 32 + 32) + (32 * 3 + 3)
    expected = blocks_by_hand(1, in_channels) + mask + reduced + dense
    assert size_of(network) == expected
    if in_channels == 1:
        assert expected == 3_291_495


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "in_channels", "number"), [(16, 1, 3_303_607), (64, 1, 52_557_127), (16, 3, None)])
def test_parameters_of_the_form_of_the_diagram(name: str, width: int, in_channels: int, number: int | None) -> None:
    with torch.device("meta"):
        network = acsnet.create_model(name, in_channels=in_channels, width=width)
    scale = width // 16
    masks = 4 * (9 * 16 * scale + 1)
    dense = (128 + 256 + 128) * scale * 32 + 32 + 32 * 3 + 3
    expected = blocks_by_hand(scale, in_channels) + masks + dense
    assert size_of(network) == expected
    assert number in (expected, None)


def test_defaults_are_those_of_the_study() -> None:
    entry = model_entry("unetpp")
    assert entry.input_size == (256, 256)
    assert "EEE402_Project" in entry.publication
    with torch.device("meta"):
        assert acsnet.create_model("unetpp").divisor == 16


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_nodes_and_their_channels(depth: int) -> None:
    nodes = tiny(depth=depth, down_blocks=[1] * (depth + 1), node_blocks=2).decoder.nodes
    assert sorted(nodes) == sorted(f"{i}_{j}" for i in range(depth) for j in range(1, depth - i + 1))
    for i in range(depth):
        for j in range(1, depth - i + 1):
            blocks, channels = nodes[f"{i}_{j}"].merge, 3 << i
            assert len(blocks) == (1 if j == depth else 2)
            assert (blocks[0][0].in_channels, blocks[0][0].out_channels) == ((j + 2) * channels, channels)


@pytest.mark.parametrize(
    ("depth", "expected"), [(1, [2, 2]), (3, [2, 2, 2, 3]), (4, [2, 2, 2, 3, 3]), (5, [2, 2, 2, 3, 3, 3])]
)
def test_blocks_of_the_encoder(depth: int, expected: list[int]) -> None:
    assert [len(level) for level in tiny(depth=depth, width=1).encoder.levels] == expected


# --- what is computed ------------------------------------------------------------------------------------------------


def block(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    x = functional.conv2d(x, p[f"{prefix}.0.weight"], p[f"{prefix}.0.bias"], padding=1)
    mean, variance = p[f"{prefix}.1.running_mean"], p[f"{prefix}.1.running_var"]
    x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    return (x * p[f"{prefix}.1.weight"][:, None, None] + p[f"{prefix}.1.bias"][:, None, None]).clamp(min=0)


def reference(p: dict[str, torch.Tensor], images: torch.Tensor, depth: int) -> dict[tuple[int, int], torch.Tensor]:
    """Every node from its definition, by recursion: X(i,j) = H([X(i,0) ... X(i,j-1), U(X(i+1,j-1))])."""

    @functools.cache
    def node(i: int, j: int) -> torch.Tensor:
        if j == 0:
            x = functional.max_pool2d(node(i - 1, 0), 2) if i else images
            prefix, count = f"encoder.levels.{i}", 2 if i < 3 else 3
        else:
            enlarged = node(i + 1, j - 1).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = torch.cat([node(i, k) for k in range(j)] + [enlarged], dim=1)
            prefix, count = f"decoder.nodes.{i}_{j}.merge", 1 if j == depth else 3
        for number in range(count):
            x = block(x, p, f"{prefix}.{number}")
        return x

    return {(i, j): node(i, j) for i in range(depth + 1) for j in range(depth + 1 - i)}


def mask_of(x: torch.Tensor, p: dict[str, torch.Tensor], j: int) -> torch.Tensor:
    return functional.conv2d(x, p[f"seg_head.{j}.weight"], p[f"seg_head.{j}.bias"], padding=1)


def dense(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    hidden = (x @ p["cls_head.classify.0.weight"].T + p["cls_head.classify.0.bias"]).clamp(min=0)
    return hidden @ p["cls_head.classify.2.weight"].T + p["cls_head.classify.2.bias"]


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_the_network_equals_the_diagram(depth: int) -> None:
    network = tiny(depth=depth).double()
    p = network.state_dict()
    batch = images(size=(16, 32)).double()
    nodes = reference(p, batch, depth)
    masks = [mask_of(nodes[0, j], p, j) for j in range(1, depth + 1)]
    averages = [nodes[position].mean(dim=(2, 3)) for position in ((depth - 1, 0), (depth, 0), (depth - 1, 1))]
    with torch.no_grad():
        output = network(batch)
    assert all(mask.std() > 0.1 for mask in masks)
    torch.testing.assert_close(output.mask, sum(masks), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(output.label, dense(torch.cat(averages, dim=1), p), rtol=1e-10, atol=1e-10)
    assert output.aux == ()


def test_the_network_equals_the_code() -> None:
    network = tiny(**CODE).double()
    p = network.state_dict()
    assert [key for key in p if key.startswith("seg_head.")] == ["seg_head.3.weight", "seg_head.3.bias"]
    nodes = reference(p, images().double(), depth=3)
    numbers = []
    for index, position in enumerate(((2, 0), (3, 0), (2, 1))):
        weight, bias = (p[f"cls_head.reduce.{index}.0.{kind}"] for kind in ("weight", "bias"))
        numbers.append(functional.conv2d(nodes[position], weight, bias, padding=1).clamp(min=0).mean(dim=(1, 2, 3)))
    three = torch.stack(numbers, dim=1)
    assert three.shape == (2, 3)
    assert three.any()
    with torch.no_grad():
        output = network(images().double())
    torch.testing.assert_close(output.mask, mask_of(nodes[0, 3], p, 3), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(output.label, dense(three, p), rtol=1e-10, atol=1e-10)


def test_mask_logits_have_both_signs() -> None:
    """The code's normalization and ReLU after the last convolution would leave no probability below 0.5."""
    mask = tiny(**CODE)(images()).mask
    assert mask.min() < 0 < mask.max()


@pytest.mark.parametrize("training", [True, False])
def test_no_mask_but_the_sum_is_returned(training: bool) -> None:
    assert tiny().train(training)(images()).aux == ()


def test_classification_needs_one_node_of_the_decoder() -> None:
    network = tiny(tasks=["classification"])
    assert list(network.decoder.nodes) == ["2_1"]
    twin = tiny()
    network.load_state_dict({key: value for key, value in twin.state_dict().items() if key in network.state_dict()})
    assert torch.equal(network(images()).label, twin(images()).label)


# --- the networks that use the class for the mask --------------------------------------------------------------------


def twins(name: str, **arguments: Any) -> tuple[Any, Any]:
    plain, other = tiny("unetpp"), tiny(name, **arguments)
    other.load_state_dict(plain.state_dict())
    return plain, other


def test_refining_changes_nothing_in_training() -> None:
    plain, refined = (network.train() for network in twins("unetpp_refined"))
    before, after = plain(images()), refined(images())
    assert torch.equal(before.mask, after.mask)
    assert torch.equal(before.label, after.label)
    after.mask.mean().backward()
    assert all(parameter.grad is None for parameter in refined.cls_head.parameters())


@pytest.mark.parametrize("normal_index", [0, 2])
def test_in_training_the_mask_is_multiplied_by_the_probability_of_a_lesion(normal_index: int) -> None:
    plain, weighted = (network.train() for network in twins("unetpp_lesion_weighted", normal_index=normal_index))
    before, after = plain(images()), weighted(images())
    assert torch.equal(before.label, after.label)
    logits = before.label.detach().double().numpy()
    normal = np.exp(logits[:, normal_index]) / np.exp(logits).sum(axis=1)
    expected = (1 - normal)[:, None, None, None] / (1 + np.exp(-before.mask.detach().double().numpy()))
    np.testing.assert_allclose(after.mask.sigmoid().detach().numpy(), expected, rtol=1e-5)


def test_the_weighted_mask_trains_the_classifier() -> None:
    plain, weighted = (network.train() for network in twins("unetpp_lesion_weighted"))
    for network, learns in ((plain, False), (weighted, True)):
        network(images()).mask.mean().backward()
        gradient = network.cls_head.classify[-1].weight.grad
        assert (gradient is not None and bool(gradient.any())) is learns


@pytest.mark.parametrize("name", NAMES[1:])
def test_at_inference_only_masks_of_images_classified_as_normal_are_emptied(name: str) -> None:
    plain, refined = twins(name)
    batch = images(6)
    with torch.no_grad():
        last = plain.cls_head.classify[-1]
        logits = plain(batch).label
        # Shifted so that half of the images are classified as normal.
        margins = (logits[:, :2].amax(dim=1) - logits[:, 2]).sort().values
        last.bias[2] += margins[2:4].mean()
        refined.load_state_dict(plain.state_dict())
        before, after = plain(batch), refined(batch)
    normal = before.label.argmax(dim=1) == 2
    assert normal.sum() == 3
    assert torch.equal(after.label, before.label)
    assert (after.mask[normal] == BLACK).all()
    assert not (after.mask[normal].sigmoid() > 1e-30).any()
    assert torch.equal(after.mask[~normal], before.mask[~normal])
    assert after.aux == ()


def test_under_autocast_the_product_is_float32() -> None:
    network = tiny("unetpp_lesion_weighted").train()
    with torch.autocast("cpu", torch.bfloat16):
        assert network(images()).mask.dtype == torch.float32


# --- errors and compilers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("unetpp", {"width": 0}, r"width is 0: expected a whole number of at least 1"),
        ("unetpp", {"depth": 6}, r"depth is 6: expected a whole number from 1 to 5"),
        ("unetpp", {"down_blocks": [1, 2, 3]}, r"down_blocks is \[1, 2, 3\]: expected 2 whole numbers, one per stage"),
        ("unetpp", {"down_blocks": 2}, r"down_blocks is 2: expected 2 whole numbers, one per stage"),
        ("unetpp", {"down_blocks": [1, 0]}, r"a value of down_blocks is 0: expected a whole number of at least 1"),
        ("unetpp", {"node_blocks": 0}, r"node_blocks is 0: expected a whole number of at least 1"),
        ("unetpp", {"last_blocks": 0}, r"last_blocks is 0: expected a whole number of at least 1"),
        (
            "unetpp_refined",
            {"num_classes": 2},
            r'needs the class "normal" and at least one other, got num_classes=2 and normal_index=2: set normal_index',
        ),
        ("unetpp_refined", {"num_classes": 1, "normal_index": 0}, r'needs the class "normal" and at least one other'),
        ("unetpp_refined", {"normal_index": -1}, r"normal_index is -1: it has to be a class index of at least 0"),
    ],
)
def test_arguments_out_of_range(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        acsnet.create_model(name, **({"width": 2, "depth": 1} | arguments))


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("training", [True, False])
def test_export_and_compile(name: str, training: bool) -> None:
    network = tiny(name, depth=2).train(training)
    torch._dynamo.reset()
    runs: list[Any] = [torch.compile(copy.deepcopy(network), fullgraph=True, backend="eager")]
    if not training:
        shapes = {"images": {0: torch.export.Dim("batch")}}
        runs.append(torch.export.export(network, (images(),), dynamic_shapes=shapes).module())
    with torch.no_grad():
        expected = network(images(3))
        for run in runs:
            torch.testing.assert_close(tuple(run(images(3))), tuple(expected), rtol=1e-4, atol=1e-5)
