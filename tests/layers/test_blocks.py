import pytest
import torch
from torch.nn import functional

from acsnet.layers import (
    ConvBatchNormAct,
    ConvBlocks,
    ConvNormAct,
    DoubleConv,
    NearestUpsampleMerge,
    PooledEncoder,
)


def block(x: torch.Tensor, p: dict[str, torch.Tensor], groups: int, prefix: str = "") -> torch.Tensor:
    weight = p[f"{prefix}0.weight"]
    y = functional.conv2d(x, weight, p[f"{prefix}0.bias"], padding=weight.shape[-1] // 2)
    return functional.group_norm(y, groups, p[f"{prefix}1.weight"], p[f"{prefix}1.bias"]).relu()


def randomize(module: torch.nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_conv_norm_act(kernel_size: int) -> None:
    layer = ConvNormAct(6, 8, groups=2, kernel_size=kernel_size).double()
    randomize(layer)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    expected = block(x, dict(layer.named_parameters()), groups=2)
    assert expected.shape == (2, 8, 5, 7)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_double_conv() -> None:
    layer = DoubleConv(8, groups=4).double()
    randomize(layer)
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    p = dict(layer.named_parameters())
    expected = block(block(x, p, 4, "0."), p, 4, "1.")
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def batch_norm_block(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str = "") -> torch.Tensor:
    x = functional.conv2d(x, p[f"{prefix}0.weight"], p[f"{prefix}0.bias"], padding=1)
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = x.var(dim=(0, 2, 3), unbiased=False, keepdim=True)
    weight, bias = (p[f"{prefix}1.{kind}"][:, None, None] for kind in ("weight", "bias"))
    return ((x - mean) / (variance + 1e-5).sqrt() * weight + bias).clamp(min=0)


def test_conv_batch_norm_act() -> None:
    layer = ConvBatchNormAct(3, 5).double()
    randomize(layer)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    p = dict(layer.named_parameters())
    assert sorted(p) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    torch.testing.assert_close(layer.train()(x), batch_norm_block(x, p), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_conv_blocks(count: int) -> None:
    layer = ConvBlocks(3, 5, count).double()
    randomize(layer)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    p = dict(layer.named_parameters())
    expected = x
    for number in range(count):
        expected = batch_norm_block(expected, p, f"{number}.")
    assert sum(value.numel() for value in p.values()) == 9 * 3 * 5 + 15 + (count - 1) * (9 * 5 * 5 + 15)
    torch.testing.assert_close(layer.train()(x), expected, rtol=1e-10, atol=1e-10)


def pointwise(in_channels: int, out_channels: int) -> torch.nn.Module:
    return torch.nn.Conv2d(in_channels, out_channels, 1)


def test_pooled_encoder_returns_one_map_per_level() -> None:
    encoder = PooledEncoder(2, (3, 4, 7), pointwise)
    images = torch.randn(2, 2, 8, 12)
    first = encoder.levels[0](images)
    second = encoder.levels[1](functional.max_pool2d(first, 2))
    third = encoder.levels[2](functional.max_pool2d(second, 2))
    maps = encoder(images)
    assert [tuple(x.shape) for x in maps] == [(2, 3, 8, 12), (2, 4, 4, 6), (2, 7, 2, 3)]
    assert all(torch.equal(found, expected) for found, expected in zip(maps, (first, second, third), strict=True))


def test_pooled_encoder_with_one_block_per_level() -> None:
    encoder = PooledEncoder(2, (3, 4), [pointwise, ConvBlocks])
    assert isinstance(encoder.levels[0], torch.nn.Conv2d)
    assert isinstance(encoder.levels[1], ConvBlocks)
    with pytest.raises(ValueError, match="zip"):
        PooledEncoder(2, (3, 4, 7), [pointwise, ConvBlocks])


@pytest.mark.parametrize("skips", [1, 3])
def test_nearest_upsample_merge(skips: int) -> None:
    torch.manual_seed(0)
    step = NearestUpsampleMerge(5, 2, skips, count=3)
    assert len(step.merge) == 3
    coarse, fine = torch.randn(2, 5, 3, 4), [torch.randn(2, 2, 6, 8) for _ in range(skips)]
    upsampled = coarse[:, :, torch.arange(6) // 2][..., torch.arange(8) // 2]
    expected = step.eval().merge(torch.cat([*fine, upsampled], dim=1))
    assert expected.shape == (2, 2, 6, 8)
    torch.testing.assert_close(step(coarse, *fine), expected)
