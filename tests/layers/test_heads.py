import pytest
import torch
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.layers import GlobalAverage, LinearHead, MultiScaleAttentionHead, PooledLinearHead, PooledMapsHead


def test_global_average_of_maps_of_any_sizes() -> None:
    small, large = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2), torch.arange(12.0).view(1, 2, 2, 3)
    assert GlobalAverage()(small, large).tolist() == [[2.0, 2.5, 8.5]]
    assert not GlobalAverage().state_dict()


def attend(x: torch.Tensor, p: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    pooled = torch.cat((x.flatten(2).mean(2), x.flatten(2).max(2).values), dim=1)
    hidden = functional.linear(pooled, p[f"{name}.weigh.0.weight"], p[f"{name}.weigh.0.bias"]).relu()
    weights = functional.linear(hidden, p[f"{name}.weigh.2.weight"], p[f"{name}.weigh.2.bias"]).sigmoid()
    return (x * weights[:, :, None, None]).relu()


def reference(maps: list[torch.Tensor], p: dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute the published head: attention, coarse map upsampled, concatenation, pooling, two linear layers."""
    fine, coarse, decoder = (attend(x, p, name) for x, name in zip(maps, ("fine", "coarse", "decoder"), strict=True))
    coarse = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=True)
    pooled = functional.adaptive_avg_pool2d(torch.cat((fine, coarse, decoder), dim=1), 1).flatten(1)
    hidden = functional.linear(pooled, p["classify.0.weight"], p["classify.0.bias"]).relu()
    assert hidden.shape[1] == pooled.shape[1] // 2
    return functional.linear(hidden, p["classify.2.weight"], p["classify.2.bias"])


def test_the_head_is_the_published_formula() -> None:
    torch.manual_seed(0)
    head = MultiScaleAttentionHead(16, 48, 32, num_classes=5).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    shapes = ((3, 16, 4, 6), (3, 48, 2, 3), (3, 32, 4, 6))
    maps = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    expected = reference(maps, dict(head.named_parameters()))
    assert expected.shape == (3, 5)
    assert expected.std() > 0.1
    torch.testing.assert_close(head(*maps), expected, rtol=1e-12, atol=1e-12)


def test_every_map_counts() -> None:
    torch.manual_seed(0)
    head = MultiScaleAttentionHead(16, 16, 16, num_classes=2)
    shapes = ((1, 16, 4, 4), (1, 16, 2, 2), (1, 16, 4, 4))
    maps = [torch.randn(shape, requires_grad=True) for shape in shapes]
    gradients = torch.autograd.grad(head(*maps)[0, 0], maps)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("hidden", [None, 5])
def test_the_pooled_head_is_average_and_linear_layers(hidden: int | None) -> None:
    torch.manual_seed(0)
    head = PooledLinearHead(6, num_classes=3, hidden=hidden).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    weights = list(head.parameters())
    expected = functional.linear(functional.adaptive_avg_pool2d(x, 1).flatten(1), *weights[:2])
    if hidden is not None:
        assert expected.shape == (2, hidden)
        expected = functional.linear(expected.relu(), *weights[2:])
    assert expected.shape == (2, 3)
    torch.testing.assert_close(head(x), expected, rtol=1e-12, atol=1e-12)


def test_the_pooled_head_drops_out_while_training_only() -> None:
    torch.manual_seed(0)
    head = PooledLinearHead(64, num_classes=2, dropout=0.5)
    x = torch.randn(1, 64, 2, 2)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))
    assert head.state_dict().keys() == PooledLinearHead(64, num_classes=2).state_dict().keys()


@pytest.mark.parametrize("dropout", [-0.1, 1.0, "0.2", None])
def test_a_dropout_out_of_range(dropout: object) -> None:
    with pytest.raises(InputError, match=f"dropout is {dropout!r}: it has to be a number of at least 0 and below 1"):
        PooledLinearHead(6, num_classes=3, dropout=dropout)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"dropout is {dropout!r}: it has to be a number of at least 0 and below 1"):
        LinearHead(6, num_classes=3, dropout=dropout)  # type: ignore[arg-type]


def test_the_linear_head_has_the_names_of_the_pooled_one() -> None:
    pooled, linear = PooledLinearHead(6, num_classes=3), LinearHead(6, num_classes=3, dropout=0.5).eval()
    linear.load_state_dict(pooled.state_dict())
    x = torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(linear(x.mean(dim=(2, 3))), pooled(x))
    assert not torch.equal(linear.train()(x[:, :, 0, 0]), linear(x[:, :, 0, 0]))


@pytest.mark.parametrize("single_channel", [False, True])
def test_pooled_maps_head(single_channel: bool) -> None:
    torch.manual_seed(0)
    head = PooledMapsHead((4, 6), num_classes=3, hidden=5, single_channel=single_channel).double()
    maps = [torch.randn(2, 4, 6, 8, dtype=torch.float64), torch.randn(2, 6, 3, 4, dtype=torch.float64)]
    p = head.state_dict()
    pooled = maps
    if single_channel:
        pooled = [
            functional.conv2d(x, p[f"reduce.{i}.0.weight"], p[f"reduce.{i}.0.bias"], padding=1).clamp(min=0)
            for i, x in enumerate(maps)
        ]
    averages = torch.cat([x.sum(dim=(2, 3)) / x[0, 0].numel() for x in pooled], dim=1)
    assert averages.shape == (2, 2 if single_channel else 10)
    hidden = (averages @ p["classify.0.weight"].T + p["classify.0.bias"]).clamp(min=0)
    expected = hidden @ p["classify.2.weight"].T + p["classify.2.bias"]
    torch.testing.assert_close(head(*maps), expected, rtol=1e-10, atol=1e-10)
