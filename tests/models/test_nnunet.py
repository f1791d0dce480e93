from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import acsnet
from acsnet.errors import InputError
from acsnet.models import NNUNet


def tiny(**arguments: Any) -> Any:
    torch.manual_seed(0)
    network = acsnet.create_model("nnunet", **({"width": 2} | arguments))
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.5)
    return network.eval()


def images(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --- size and structure ----------------------------------------------------------------------------------------------


def block(before: int, after: int) -> int:
    return 9 * before * after + 2 * after


def parameters_of_nnunet(in_channels: int, classes: int) -> tuple[int, int]:
    """Parameters of the mask network and of the classifier, at the published widths."""
    widths = [32, 64, 128, 256, 320, 320]
    total = sum(block(a, b) + block(b, b) for a, b in zip([in_channels, *widths], widths, strict=False))
    for coarse, fine in zip(widths[1:], widths, strict=False):
        total += 4 * coarse * fine + fine + block(2 * fine, fine) + block(fine, fine)
    masks = sum(width + 1 for width in widths[:4])
    head = 3 * block(320, 320) + block(960, 512) + 512 * 256 + 256 + (256 + 1) * classes
    return total + masks, head


@pytest.mark.parametrize(("in_channels", "classes"), [(3, 3), (1, 2)])
def test_parameters_are_those_of_the_formula(in_channels: int, classes: int) -> None:
    with torch.device("meta"):
        both = acsnet.create_model("nnunet", classes, in_channels)
        masks = acsnet.create_model("nnunet", classes, in_channels, tasks=["segmentation"])
    expected = parameters_of_nnunet(in_channels, classes)
    assert (size_of(masks), size_of(both)) == (expected[0], sum(expected))


def test_size_of_the_published_network() -> None:
    with torch.device("meta"):
        assert size_of(NNUNet()) == 18_030_055


def test_levels_and_blocks() -> None:
    with torch.device("meta"):
        network: Any = NNUNet()
    assert [level[0][0].out_channels for level in network.encoder.levels] == [32, 64, 128, 256, 320]
    assert network.bottleneck[1][0][0].out_channels == 320
    assert [level.merge[0][0].in_channels for level in network.decoder.values()] == [64, 128, 256, 512, 640]
    assert [head.in_channels for head in network.aux_heads] == [64, 128, 256]
    norms = [module for module in network.modules() if isinstance(module, nn.InstanceNorm2d)]
    acts = [module for module in network.modules() if isinstance(module, nn.LeakyReLU)]
    assert len(norms) == len(acts) == 2 * (5 + 1 + 5) + 4
    assert all(norm.affine for norm in norms)
    assert {act.negative_slope for act in acts} == {0.01}
    kernels = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)]
    assert all(convolution.bias is None for convolution in kernels)


# --- what is computed ------------------------------------------------------------------------------------------------


def conv(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    x = functional.conv2d(x, p[f"{prefix}.0.weight"], padding=1)
    mean, variance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), keepdim=True, unbiased=False)
    scale, shift = (p[f"{prefix}.1.{kind}"][:, None, None] for kind in ("weight", "bias"))
    x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
    return torch.where(x > 0, x, 0.01 * x)


def twice(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    return conv(conv(x, p, f"{prefix}.0"), p, f"{prefix}.1")


def reference(p: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Masks, finest first, and class logits."""
    maps = [twice(x, p, "encoder.levels.0")]
    for i in range(1, 5):
        maps.append(twice(functional.max_pool2d(maps[-1], 2), p, f"encoder.levels.{i}"))
    bottom = twice(functional.max_pool2d(maps[-1], 2), p, "bottleneck.1")
    decoded, masks, x = {}, [], bottom
    for i in (4, 3, 2, 1, 0):
        x = functional.conv_transpose2d(x, p[f"decoder.{i}.upsample.weight"], p[f"decoder.{i}.upsample.bias"], stride=2)
        decoded[i] = x = twice(torch.cat([maps[i], x], dim=1), p, f"decoder.{i}.merge")
        head = {0: "seg_head", 1: "aux_heads.0", 2: "aux_heads.1", 3: "aux_heads.2"}.get(i)
        if head:
            masks.insert(0, functional.conv2d(x, p[f"{head}.weight"], p[f"{head}.bias"]))
    enlarged = functional.interpolate(bottom, size=maps[4].shape[2:], mode="bilinear", align_corners=True)
    deep = {"encoder": maps[4], "bottleneck": enlarged, "decoder": decoded[4]}
    merged = conv(torch.cat([conv(y, p, f"cls_head.{key}") for key, y in deep.items()], dim=1), p, "cls_head.merge")
    pooled, prefix = merged.flatten(2).mean(2), "cls_head.classify.classify"
    hidden = functional.linear(pooled, p[f"{prefix}.1.weight"], p[f"{prefix}.1.bias"]).relu()
    return masks, functional.linear(hidden, p[f"{prefix}.3.weight"], p[f"{prefix}.3.bias"])


def test_the_network_equals_a_plain_implementation() -> None:
    network = tiny().double()
    masks, label = reference(network.state_dict(), images().double())
    output = network.train()(images().double())
    assert [tuple(mask.shape) for mask in output.aux] == [(2, 1, 32, 48), (2, 1, 16, 24), (2, 1, 8, 12)]
    for found, expected in zip((output.mask, *output.aux), masks, strict=True):
        assert expected.std() > 0.01
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(output.label, label, rtol=1e-9, atol=1e-9)
    at_inference = network.eval()(images().double())
    assert torch.equal(at_inference.mask, output.mask)
    assert at_inference.aux == ()


def test_without_deep_supervision_aux_is_empty() -> None:
    network = tiny(deep_supervision=False).train()
    assert network(images()).aux == ()
    assert not any(key.startswith("aux_heads") for key in network.state_dict())


def test_a_classifier_alone_ends_at_the_deepest_decoder_level() -> None:
    network = tiny(tasks=["classification"])
    assert [key for key, _ in network.named_children()] == ["encoder", "bottleneck", "decoder", "cls_head"]
    assert list(network.decoder) == ["4"]
    both = tiny()
    network.load_state_dict({key: value for key, value in both.state_dict().items() if key in network.state_dict()})
    assert torch.equal(network(images()).label, both(images()).label)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_a_single_pixel_in_the_bottleneck_is_refused() -> None:
    with pytest.raises(InputError, match=r"images are 32x32 .* the deepest map of nnunet is one pixel, use 64x64"):
        tiny()(torch.zeros(2, 3, 32, 32))
    assert tiny()(torch.zeros(2, 3, 32, 64)).mask.shape == (2, 1, 32, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, r"width is 0: expected a whole number of at least 1"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        acsnet.create_model("nnunet", **arguments)
