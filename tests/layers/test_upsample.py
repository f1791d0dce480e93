"""Upsampling, and the convolution that is computed before it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from acsnet.layers import UpsampleConv2d, upsample_twice


def plain(layer: UpsampleConv2d, x: torch.Tensor) -> torch.Tensor:
    """Compute the two operations one after the other."""
    enlarged = functional.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=True)
    return functional.conv2d(enlarged, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def test_upsample_twice_by_hand() -> None:
    x = torch.tensor([[[[0.0, 3.0], [6.0, 9.0]]]])
    row = torch.tensor([0.0, 1.0, 2.0, 3.0])
    expected = torch.stack([row + 2 * i for i in range(4)])
    torch.testing.assert_close(upsample_twice(x)[0, 0], expected)


def test_upsample_twice_preserves_planes_and_shapes() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 3), torch.linspace(0, 1, 5), indexing="ij")
    plane = 2 * rows - 3 * columns
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 6), torch.linspace(0, 1, 10), indexing="ij")
    torch.testing.assert_close(upsample_twice(plane.expand(2, 3, 3, 5)), (2 * rows - 3 * columns).expand(2, 3, 6, 10))


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 3, 2, 7), (3, 3, 1, 4), (2, 3, 4, 1), (0, 3, 4, 4)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolution_of_the_upsampled_map_and_its_gradients(
    shape: tuple[int, ...], kernel_size: int, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = UpsampleConv2d(3, 4, kernel_size).double()
    x = torch.randn(*shape, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    ours, theirs = layer(x), plain(layer, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(ours)
    arguments = (x, layer.weight, layer.bias)
    for found, expected in zip(
        torch.autograd.grad((ours * weights).sum(), arguments),
        torch.autograd.grad((theirs * weights).sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    layer = UpsampleConv2d(2, 3).double()
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, layer.weight, layer.bias))


def test_an_input_without_gradient_and_a_layer_without_bias() -> None:
    layer = UpsampleConv2d(2, 3)
    layer.bias = None
    x = torch.randn(2, 2, 4, 4)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any()
    torch.testing.assert_close(layer(x), plain(layer, x))


def test_bfloat16_autocast_is_as_accurate_as_the_plain_order() -> None:
    torch.manual_seed(0)
    layer, x = UpsampleConv2d(32, 32), torch.randn(2, 32, 16, 16, requires_grad=True)
    exact = plain(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = layer(x), plain(layer, x)
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).square().mean().sqrt() < 2 * (theirs - exact).square().mean().sqrt()
    ours.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_a_constant_stays_one_in_bfloat16() -> None:
    layer = UpsampleConv2d(1, 1, kernel_size=1).bfloat16()
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    assert (layer(torch.full((1, 1, 13, 13), 3.0, dtype=torch.bfloat16)) == 3).all()


def test_training_after_inference() -> None:
    layer, x = UpsampleConv2d(2, 2), torch.randn(1, 2, 11, 4)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_a_second_derivative_raises() -> None:
    layer, x = UpsampleConv2d(1, 1), torch.randn(1, 1, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
