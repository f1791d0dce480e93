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
from acsnet.models import RefinedUNetPlusPlus, UNetPlusPlus

NAMES = ["unetpp", "unetpp_refined"]


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


def images(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def parameters_of_unetpp(width: int, depth: int, in_channels: int, masks: int, norm: int = 2) -> int:
    """Parameters of the published network; ``norm`` per channel after each 3x3 convolution."""
    total = masks * (width + 1)
    for i in range(depth + 1):
        c = width << i
        for j in range(depth + 1 - i):
            before = (j + 1) * c if j else (c // 2 if i else in_channels)
            total += 9 * (before + c) * c + 2 * norm * c
            total += 4 * 2 * c * c + c if j else 0  # the transposed convolution from the level below
    return total


# --- size and structure ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "depth", "in_channels"), [(32, 4, 3), (32, 4, 1), (3, 5, 2), (6, 1, 3)])
@pytest.mark.parametrize("deep_supervision", [True, False])
def test_parameters_are_those_of_the_formula(width: int, depth: int, in_channels: int, deep_supervision: bool) -> None:
    arguments = {"width": width, "depth": depth, "deep_supervision": deep_supervision}
    with torch.device("meta"):
        network = acsnet.create_model("unetpp", in_channels=in_channels, tasks=["segmentation"], **arguments)
    masks = depth if deep_supervision else 1
    assert size_of(network) == parameters_of_unetpp(width, depth, in_channels, masks)


def test_published_sizes() -> None:
    with torch.device("meta"):
        network, refined = UNetPlusPlus(), RefinedUNetPlusPlus()
    assert size_of(network) == size_of(refined) == 9_178_023
    # Zhou et al. 2018, table 2: "UNet++, 9.04 M", without batch normalization.
    assert round(parameters_of_unetpp(32, 4, 3, masks=4, norm=1) / 1e6, 2) == 9.04


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_nodes_and_their_channels(depth: int) -> None:
    network = tiny(depth=depth)
    nodes = network.decoder.nodes
    assert sorted(nodes) == sorted(f"{i}_{j}" for i in range(depth) for j in range(1, depth - i + 1))
    assert len(nodes) == depth * (depth + 1) // 2
    for i in range(depth):
        for j in range(1, depth - i + 1):
            node, channels = nodes[f"{i}_{j}"], 3 << i
            assert (node.upsample.in_channels, node.upsample.out_channels) == (2 * channels, channels)
            assert (node.merge[0].in_channels, node.merge[0].out_channels) == ((j + 1) * channels, channels)


def double_conv(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    for conv, norm in ((0, 1), (3, 4)):
        x = functional.conv2d(x, p[f"{prefix}.{conv}.weight"], padding=1)
        mean, variance = p[f"{prefix}.{norm}.running_mean"], p[f"{prefix}.{norm}.running_var"]
        x = functional.batch_norm(x, mean, variance, p[f"{prefix}.{norm}.weight"], p[f"{prefix}.{norm}.bias"]).relu()
    return x


def reference(p: dict[str, torch.Tensor], images: torch.Tensor, depth: int) -> dict[tuple[int, int], torch.Tensor]:
    """Every node from its definition, by recursion: X(i,j) = H([X(i,0) ... X(i,j-1), U(X(i+1,j-1))])."""

    @functools.cache
    def node(i: int, j: int) -> torch.Tensor:
        if j == 0:
            name = "bottleneck.1" if i == depth else f"encoder.levels.{i}"
            return double_conv(functional.max_pool2d(node(i - 1, 0), 2) if i else images, p, name)
        weight, bias = (p[f"decoder.nodes.{i}_{j}.upsample.{kind}"] for kind in ("weight", "bias"))
        upsampled = functional.conv_transpose2d(node(i + 1, j - 1), weight, bias, stride=2)
        inputs = [node(i, k) for k in range(j)] + [upsampled]
        return double_conv(torch.cat(inputs, dim=1), p, f"decoder.nodes.{i}_{j}.merge")

    return {(i, j): node(i, j) for i in range(depth + 1) for j in range(depth + 1 - i)}


def test_the_network_equals_the_published_recursion() -> None:
    network = tiny().double()
    p = network.state_dict()
    nodes = reference(p, images().double(), depth=3)
    mask = functional.conv2d(nodes[0, 3], p["seg_head.weight"], p["seg_head.bias"])
    pooled = nodes[3, 0].flatten(2).mean(2)
    hidden = functional.linear(pooled, p["cls_head.classify.1.weight"], p["cls_head.classify.1.bias"]).relu()
    label = functional.linear(hidden, p["cls_head.classify.3.weight"], p["cls_head.classify.3.bias"])
    output = network(images().double())
    assert mask.std() > 0.1
    torch.testing.assert_close(output.mask, mask, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(output.label, label, rtol=1e-10, atol=1e-10)


# --- deep supervision ------------------------------------------------------------------------------------------------


def without_batch_statistics(network: Any) -> Any:
    """Training mode except for normalizations, so that results are comparable with those of evaluation mode."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return network


def test_aux_is_finest_first_and_only_in_training() -> None:
    network = tiny().double()
    p = network.state_dict()
    assert network(images().double()).aux == ()
    nodes = reference(p, images().double(), depth=3)
    aux = without_batch_statistics(network)(images().double()).aux
    assert len(aux) == 2
    for mask, j in zip(aux, (2, 1), strict=True):
        head = (p[f"aux_heads.{j - 1}.weight"], p[f"aux_heads.{j - 1}.bias"])
        torch.testing.assert_close(mask, functional.conv2d(nodes[0, j], *head), rtol=1e-10, atol=1e-10)
        assert mask.shape == (2, 1, 16, 24)


@pytest.mark.parametrize("name", NAMES)
def test_without_deep_supervision_aux_is_empty(name: str) -> None:
    network = tiny(name, deep_supervision=False).train()
    assert network(images()).aux == ()
    assert not any(key.startswith("aux_heads") for key in network.state_dict())


# --- pruning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_a_pruned_network_returns_the_auxiliary_mask(name: str, depth: int, training: bool) -> None:
    network = tiny(name)
    if training:  # with the statistics of the batch, which are the same in both
        network.train()
    expected = (network if training else without_batch_statistics(copy.deepcopy(network)))(images()).aux[2 - depth]
    pruned = network.pruned(depth)
    assert pruned.training == training
    output = pruned(images())
    torch.testing.assert_close(output.mask, expected, rtol=1e-5, atol=1e-6)
    assert (output.label, output.aux) == (None, ())


@pytest.mark.parametrize("deep_supervision", [True, False])
def test_pruning_to_the_full_depth_removes_only_the_classifier(deep_supervision: bool) -> None:
    network = tiny(deep_supervision=deep_supervision)
    pruned = network.pruned(3)
    assert torch.equal(pruned(images()).mask, network(images()).mask)
    assert {key for key in network.state_dict() if not key.startswith(("cls_head", "aux_heads"))} == set(
        pruned.state_dict()
    )


def test_a_pruned_network_is_minimal_and_shares_its_weights() -> None:
    network = tiny()
    pruned = network.pruned(2)
    assert sorted(pruned.decoder.nodes) == ["0_1", "0_2", "1_1"]
    assert size_of(pruned) == parameters_of_unetpp(3, 2, 3, masks=1)
    owned = {parameter.data_ptr() for parameter in network.parameters()}
    assert all(parameter.data_ptr() in owned for parameter in pruned.parameters())
    assert pruned.divisor == 4
    assert pruned(torch.zeros(1, 3, 4, 12)).mask.shape == (1, 1, 4, 12)
    assert len(network.encoder.levels) == 3, "the network itself stays whole"
    assert network(images()).label is not None


def test_a_pruned_network_is_a_network_of_its_own() -> None:
    network = tiny()
    alone = acsnet.create_model("unetpp", width=3, depth=2, tasks=["segmentation"], deep_supervision=False).eval()
    alone.load_state_dict(network.pruned(2).state_dict())
    assert torch.equal(alone(images()).mask, network.pruned(2)(images()).mask)


@pytest.mark.parametrize(
    ("arguments", "depth", "message"),
    [
        ({}, 0, r"depth is 0: expected a whole number from 1 to 3"),
        ({}, 4, r"depth is 4: expected a whole number from 1 to 3"),
        (
            {"deep_supervision": False},
            2,
            r"there is no mask at depth 2 without deep supervision: .* deep_supervision=True",
        ),
        ({"tasks": ["classification"]}, 2, r"the tasks \('classification',\) has no mask to prune"),
    ],
)
def test_invalid_pruning_is_refused(arguments: dict[str, Any], depth: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny(**arguments).pruned(depth)


# --- the refined network ---------------------------------------------------------------------------------------------


def twins(**arguments: Any) -> tuple[Any, Any]:
    plain, refined = tiny("unetpp"), tiny("unetpp_refined", **arguments)
    refined.load_state_dict(plain.state_dict())
    return plain, refined


@pytest.mark.parametrize("normal_index", [0, 2])
def test_in_training_the_mask_is_multiplied_by_the_probability_of_a_lesion(normal_index: int) -> None:
    plain, refined = (network.train() for network in twins(normal_index=normal_index))
    before, after = plain(images()), refined(images())
    assert torch.equal(before.label, after.label)
    assert all(torch.equal(a, b) for a, b in zip(before.aux, after.aux, strict=True))
    logits = before.label.detach().double().numpy()
    normal = np.exp(logits[:, normal_index]) / np.exp(logits).sum(axis=1)
    expected = (1 - normal)[:, None, None, None] / (1 + np.exp(-before.mask.detach().double().numpy()))
    np.testing.assert_allclose(after.mask.sigmoid().detach().numpy(), expected, rtol=1e-5)


def test_the_mask_loss_trains_the_classifier() -> None:
    plain, refined = (network.train() for network in twins())
    for network, learns in ((plain, False), (refined, True)):
        network(images()).mask.mean().backward()
        gradient = network.cls_head.classify[-1].weight.grad
        assert (gradient is not None and bool(gradient.any())) is learns


def test_at_inference_only_masks_of_images_classified_as_normal_are_emptied() -> None:
    plain, refined = twins()
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
    network = tiny("unetpp_refined").train()
    with torch.autocast("cpu", torch.bfloat16):
        assert network(images()).mask.dtype == torch.float32


# --- errors and compilers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("unetpp", {"width": 0}, r"width is 0: expected a whole number of at least 1"),
        ("unetpp", {"depth": 6}, r"depth is 6: expected a whole number from 1 to 5"),
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


@pytest.mark.parametrize("training", [True, False])
def test_export_and_compile(training: bool) -> None:
    network = tiny("unetpp_refined", depth=2).train(training)
    torch._dynamo.reset()
    runs: list[Any] = [torch.compile(copy.deepcopy(network), fullgraph=True, backend="eager")]
    if not training:
        shapes = {"images": {0: torch.export.Dim("batch")}}
        runs.append(torch.export.export(network, (images(),), dynamic_shapes=shapes).module())
    with torch.no_grad():
        expected = network(images(3))
        for run in runs:
            torch.testing.assert_close(tuple(run(images(3))), tuple(expected), rtol=1e-4, atol=1e-5)
