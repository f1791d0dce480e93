import pytest
import torch
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.layers import (
    GlobalAverage,
    LinearHead,
    MaskWeightedAverage,
    MultiScaleAttentionHead,
    PooledLinearHead,
    PooledMapsHead,
)


def test_global_average_of_maps_of_any_sizes() -> None:
    small, large = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2), torch.arange(12.0).view(1, 2, 2, 3)
    assert GlobalAverage()(small, large).tolist() == [[2.0, 2.5, 8.5]]
    assert not GlobalAverage().state_dict()


# --- averages weighted by the mask -----------------------------------------------------------------------------------


def logits(*probabilities: list[float]) -> torch.Tensor:
    """Return the logits of one mask of probabilities, (1, 1, H, W)."""
    return torch.tensor(probabilities, dtype=torch.float64).logit()[None, None]


def test_mask_weighted_average_by_hand() -> None:
    # Cells of 2x1 pixels: mean probabilities 0.5, 0 and 0.25, to which 0.001 is added.
    mask = logits([0.75, 0.25, 0.0, 0.0, 0.0, 0.5])
    mask = torch.cat((mask, mask), dim=2)
    x = torch.tensor([[[[1.0, 5.0, 9.0]], [[0.0, 1.0, 0.0]]]], dtype=torch.float64)
    total = 0.501 + 0.001 + 0.251
    expected = [5.0, 1 / 3, (0.501 * 1 + 0.001 * 5 + 0.251 * 9) / total, 0.001 / total]
    found = MaskWeightedAverage(strides=[2])(x, mask=mask)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_mask_weighted_average_of_maps_of_two_sizes() -> None:
    fine, coarse = torch.randn(2, 3, 4, 6), torch.randn(2, 5, 2, 3)
    mask = torch.full((2, 1, 8, 12), -99.0)
    mask[0, :, :4, 4:8] = 99  # fine cells (0..1, 2..3), the coarse cell (0, 1)
    mask[1, :, 7, 11] = 99  # a quarter of the last fine cell, a sixteenth of the last coarse one
    pool = MaskWeightedAverage(strides=[2, 4])
    found = pool(fine, coarse, mask=mask)
    assert found.shape == (2, 16)
    torch.testing.assert_close(found[:, :8], GlobalAverage()(fine, coarse))
    torch.testing.assert_close(found[0, 8:11], fine[0, :, :2, 2:4].mean(dim=(1, 2)), rtol=0, atol=0.02)
    torch.testing.assert_close(found[0, 11:], coarse[0, :, 0, 1], rtol=0, atol=0.03)
    torch.testing.assert_close(found[1, 8:11], (0.25 * fine[1, :, -1, -1] + 0.024 * fine[1].mean(dim=(1, 2))) / 0.274)


@pytest.mark.parametrize("logit", [-99.0, -20.0, 0.0, 99.0])
def test_a_constant_mask_gives_the_global_average(logit: float) -> None:
    x = torch.randn(2, 4, 3, 5)
    found = MaskWeightedAverage(strides=[4])(x, mask=torch.full((2, 1, 12, 20), logit))
    torch.testing.assert_close(found[:, 4:], found[:, :4])
    torch.testing.assert_close(found[:, :4], x.mean(dim=(2, 3)))


def test_the_average_changes_smoothly_as_the_mask_empties() -> None:
    x = torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]]])
    pool = MaskWeightedAverage(strides=[1])
    mask = torch.full((1, 1, 1, 4), -99.0)
    found = []
    for logit in torch.arange(-20, 5, 0.25).tolist():
        mask[..., 3] = logit
        found.append(pool(x, mask=mask)[0, 1].item())
    steps = torch.tensor(found).diff()
    assert found[0] == pytest.approx(0.25, abs=1e-4)
    assert found[-1] == pytest.approx(1, abs=0.01)
    assert (steps >= 0).all()
    assert steps.max() < 0.07


@pytest.mark.parametrize("mask_gradient", [False, True])
def test_the_gradient_into_the_mask_is_stopped_by_default(mask_gradient: bool) -> None:
    x = torch.randn(2, 4, 3, 5, requires_grad=True)
    mask = torch.randn(2, 1, 6, 10, requires_grad=True)
    pool = MaskWeightedAverage([2], mask_gradient) if mask_gradient else MaskWeightedAverage([2])
    pool(x, mask=mask).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert (mask.grad is not None) == mask_gradient
    if mask_gradient:
        assert mask.grad.abs().sum() > 0


def test_a_missing_mask() -> None:
    with pytest.raises(InputError, match=r"MaskWeightedAverage needs the mask: pass its logits \(B, 1, H, W\) as"):
        MaskWeightedAverage([2])(torch.zeros(1, 4, 3, 5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_average_has_the_type_of_the_maps(dtype: torch.dtype) -> None:
    x, mask = torch.randn(1, 4, 8, 8).to(dtype), torch.randn(1, 1, 16, 16)
    found = MaskWeightedAverage([2])(x, mask=mask)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), MaskWeightedAverage([2])(x.float(), mask=mask), rtol=0, atol=0.01)


# --- heads -----------------------------------------------------------------------------------------------------------


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
