import pytest
import torch
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.layers import GateUnit, SkipGate


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


# --- the gate of the study on curated BUSI ---------------------------------------------------------------------------


def skip_gate(channels: int, per_channel: bool) -> SkipGate:
    """Return a gate in evaluation mode whose parameters, means and variances all differ from their initial values."""
    torch.manual_seed(0)
    gate = SkipGate(channels, per_channel).double()
    for key, value in gate.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.normal_(std=0.5)
    return gate.eval()


def convolve(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    return functional.conv2d(x, p[f"{prefix}.weight"], p[f"{prefix}.bias"], padding=1)


def normalize(x: torch.Tensor, p: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    mean, variance, weight, bias = (
        p[f"{prefix}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def test_the_skip_gate_is_that_of_the_diagram() -> None:
    gate = skip_gate(5, per_channel=False)
    p = gate.state_dict()
    assert {key: tuple(value.shape) for key, value in p.items()} == {
        "average.0.weight": (1, 5, 3, 3),
        "average.0.bias": (1,),
        "maximum.0.weight": (1, 5, 3, 3),
        "maximum.0.bias": (1,),
        "merge.weight": (5, 5, 3, 3),
        "merge.bias": (5,),
    }
    x = torch.randn(3, 5, 6, 7, dtype=torch.float64)
    average = 1 / (1 + (-convolve(x, p, "average.0")).exp())
    maximum = 1 / (1 + (-convolve(x, p, "maximum.0")).exp())
    gated = torch.stack([x[i] * average[i].mean() + x[i] * maximum[i].max() for i in range(3)])
    expected = convolve(gated, p, "merge")
    assert expected.std() > 0.1
    torch.testing.assert_close(gate(x), expected, rtol=1e-10, atol=1e-10)


def test_the_skip_gate_per_channel_is_that_of_the_code() -> None:
    gate = skip_gate(5, per_channel=True)
    p = gate.state_dict()
    assert sum(parameter.numel() for parameter in gate.parameters()) == 3 * (9 * 5 * 5 + 5 + 2 * 5)
    x = torch.randn(3, 5, 6, 7, dtype=torch.float64)
    average = 1 / (1 + (-normalize(convolve(x, p, "average.0"), p, "average.1")).exp())
    maximum = 1 / (1 + (-normalize(convolve(x, p, "maximum.0"), p, "maximum.1")).exp())
    gated = torch.zeros_like(x)
    for i in range(3):
        for channel in range(5):
            gates = average[i, channel].mean(), maximum[i, channel].max()
            gated[i, channel] = x[i, channel] * gates[0] + x[i, channel] * gates[1]
    expected = normalize(convolve(gated, p, "merge.0"), p, "merge.1").clamp(min=0)
    assert expected.std() > 0.1
    torch.testing.assert_close(gate(x), expected, rtol=1e-10, atol=1e-10)
