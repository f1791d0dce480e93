import pytest
import torch
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.layers import GateUnit


@pytest.fixture
def gate() -> GateUnit:
    """Return a gate in which every parameter, including the normalizations, differs from its initial value."""
    torch.manual_seed(0)
    unit = GateUnit(32).double()
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return unit


def reference(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute the published gate unit: x * average + x * maximum, then a convolution."""
    channels = x.shape[1]
    hidden = functional.conv2d(x, p["score.0.0.weight"], p["score.0.0.bias"], padding=1)
    assert hidden.shape[1] == channels // 8
    hidden = functional.group_norm(hidden, channels // 16, p["score.0.1.weight"], p["score.0.1.bias"]).relu()
    maps = functional.conv2d(hidden, p["score.1.weight"], p["score.1.bias"], padding=1).sigmoid()
    average = maps[:, 0].flatten(1).mean(1)
    maximum = maps[:, 1].flatten(1).max(1).values
    gated = torch.stack([x[i] * average[i] + x[i] * maximum[i] for i in range(len(x))])
    merged = functional.conv2d(gated, p["merge.0.weight"], p["merge.0.bias"], padding=1)
    return functional.group_norm(merged, channels // 4, p["merge.1.weight"], p["merge.1.bias"]).relu()


def test_gate_unit_is_the_published_formula(gate: GateUnit) -> None:
    x = torch.randn(3, 32, 5, 7, dtype=torch.float64)
    expected = reference(x, dict(gate.named_parameters()))
    assert expected.std() > 0.1
    torch.testing.assert_close(gate(x), expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_the_formula(gate: GateUnit) -> None:
    x = torch.randn(2, 32, 4, 4, dtype=torch.float64, requires_grad=True)
    inputs = [x, *gate.parameters()]
    ours = torch.autograd.grad(gate(x).square().sum(), inputs)
    theirs = torch.autograd.grad(reference(x, dict(gate.named_parameters())).square().sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-10)


def test_the_two_scalars_are_computed_per_image(gate: GateUnit) -> None:
    x = torch.randn(2, 32, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(gate(x)[1:], gate(x[1:]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [0, -16, 8, 24, 100])
def test_channels_have_to_be_a_multiple_of_16(channels: int) -> None:
    with pytest.raises(InputError, match=f"a gate unit takes a multiple of 16 channels, got {channels}$"):
        GateUnit(channels)
