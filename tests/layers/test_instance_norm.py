import pytest
import torch
from torch.nn import functional

from acsnet.layers import InstanceNorm2d


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_gradients_and_layout(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    layer = InstanceNorm2d(3).double()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(4, 3, 5, 6, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    ours = layer(x)
    expected = functional.instance_norm(x, None, None, layer.weight, layer.bias)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    assert ours.is_contiguous(memory_format=memory_format)
    weights = torch.randn_like(expected)
    arguments = (x, layer.weight, layer.bias)
    for found, reference in zip(
        torch.autograd.grad((ours * weights).sum(), arguments),
        torch.autograd.grad((expected * weights).sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(found, reference, rtol=1e-9, atol=1e-9)


def test_evaluation_is_training() -> None:
    layer, x = InstanceNorm2d(2), torch.randn(2, 2, 4, 4).to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer.eval()(x), layer.train()(x))
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_a_single_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        InstanceNorm2d(2)(torch.randn(2, 2, 1, 1).to(memory_format=torch.channels_last))
