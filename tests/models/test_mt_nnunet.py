"""MT nnU-Net against a restatement in plain PyTorch and the published parameter count."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import acsnet
from acsnet.errors import InputError
from acsnet.models import MTNNUNet


def test_published_parameter_count() -> None:
    with torch.device("meta"):
        model = acsnet.create_model("mt_nnunet", num_classes=3, in_channels=1)
    assert sum(parameter.numel() for parameter in model.parameters()) == 15_819_799


def block(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    for weight in weights:
        x = functional.leaky_relu(functional.instance_norm(functional.conv2d(x, weight, padding=1)), 0.01)
    return x


def restated(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """The forward pass in plain functions, with the network's weights."""
    w = dict(model.named_parameters())

    def up(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        return functional.conv_transpose2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride=stride)

    skips, x = [], images
    for level in range(5):
        x = block(
            x if level == 0 else functional.max_pool2d(x, 2),
            [w[f"encoder.levels.{level}.{i}.0.weight"] for i in (0, 1)],
        )
        skips.append(x)
    bottleneck = block(functional.max_pool2d(x, 2), [w[f"bottleneck.1.{i}.0.weight"] for i in (0, 1)])
    decoded = {5: bottleneck}
    for level in (4, 3, 2, 1, 0):
        merged = torch.cat([skips[level], up(decoded[level + 1], f"decode{level}.upsample", 2)], dim=1)
        decoded[level] = block(merged, [w[f"decode{level}.merge.{i}.0.weight"] for i in (0, 1)])
    mask = functional.conv2d(decoded[0], w["seg_head.weight"], w["seg_head.bias"])
    aux = [
        functional.conv2d(
            up(decoded[level], f"aux_heads.{level - 1}.0", 2**level),
            w[f"aux_heads.{level - 1}.1.weight"],
            w[f"aux_heads.{level - 1}.1.bias"],
        )
        for level in (1, 2, 3)
    ]
    maps = [
        block(skips[4], [w["cls_head.encoder.0.weight"]]),
        up(bottleneck, "decode4.upsample", 2),
        block(decoded[4], [w["cls_head.decoder.0.weight"]]),
    ]
    pooled = block(torch.cat(maps, dim=1), [w["cls_head.merge.0.weight"]]).mean(dim=(2, 3))
    head = "cls_head.classify.classify"
    hidden = functional.relu(functional.linear(pooled, w[f"{head}.1.weight"], w[f"{head}.1.bias"]))
    return mask, functional.linear(hidden, w[f"{head}.3.weight"], w[f"{head}.3.bias"]), aux


def test_the_network_equals_its_restatement() -> None:
    torch.manual_seed(0)
    model = MTNNUNet(num_classes=3, in_channels=1, width=4).double().train()
    images = torch.randn(2, 1, 64, 96, dtype=torch.float64)
    output = model(images)
    mask, label, aux = restated(model, images)
    torch.testing.assert_close(output.mask, mask)
    torch.testing.assert_close(output.label, label)
    for one, other in zip(output.aux, aux, strict=True):
        torch.testing.assert_close(one, other)


def test_aux_masks_are_of_full_size_and_belong_to_training() -> None:
    model = MTNNUNet(num_classes=3, in_channels=1, width=4)
    images = torch.randn(1, 1, 64, 64)
    assert [mask.shape for mask in model.train()(images).aux] == 3 * [(1, 1, 64, 64)]
    assert model.eval()(images).aux == ()


@pytest.mark.parametrize("width", [0, 3, 2.0])
def test_the_width_is_even(width: int) -> None:
    with pytest.raises(InputError, match=f"width is {width}: expected a positive multiple of 2"):
        MTNNUNet(num_classes=3, in_channels=1, width=width)


def test_a_bottleneck_of_one_pixel_is_refused() -> None:
    with pytest.raises(InputError, match=r"images are 32x32 .* is one pixel: use 64x64"):
        MTNNUNet(num_classes=3, in_channels=1, width=4)(torch.randn(1, 1, 32, 32))
