import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from acsnet.config import OptimizerConfig, ScheduleConfig
from acsnet.training.optimization import Schedule, build_optimizer

RATE = 0.1


class LearnedScales(nn.Module):
    """A loss that learns two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(2))


def make_schedule(epochs: int, **settings: Any) -> tuple[Schedule, torch.optim.Optimizer]:
    groups = [{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=RATE)
    return Schedule(optimizer, ScheduleConfig(**settings), epochs), optimizer


def rate_of(optimizer: torch.optim.Optimizer) -> float:
    first, second = (group["lr"] for group in optimizer.param_groups)
    assert first == second, "all groups have the same rate"
    return float(first)


def rates(epochs: int, scores: list[float] | None = None, **settings: Any) -> list[float]:
    """Return the rate of each epoch as a fraction of the full one; ``scores`` are those of the epochs in order."""
    schedule, optimizer = make_schedule(epochs, **settings)
    found = []
    for epoch in range(epochs):
        found.append(rate_of(optimizer) / RATE)
        schedule.step(epoch + 1, scores[epoch] if scores else 0.0)
    return found


# --- schedules -------------------------------------------------------------------------------------------------------


def test_cosine_by_hand() -> None:
    """Five epochs from 1 to 0.2: half a cosine at 0, 45, 90, 135, 180 degrees."""
    root = math.sqrt(0.5)
    expected = [1.0, 0.2 + 0.4 * (1 + root), 0.6, 0.2 + 0.4 * (1 - root), 0.2]
    assert rates(5, name="cosine", final_fraction=0.2) == pytest.approx(expected, rel=1e-12)


def test_the_published_cosine_ends_at_a_tenth() -> None:
    found = rates(90, name="cosine", final_fraction=0.1)
    assert (found[0], found[-1]) == (1.0, pytest.approx(0.1))
    assert all(later < earlier for earlier, later in pairwise(found))


def test_poly_by_hand() -> None:
    """The remaining fraction, 1, 3/4, 1/2, 1/4, 0, to the power of 2, scaled to 1 to 0.2."""
    expected = [1.0, 0.2 + 0.8 * 0.5625, 0.2 + 0.8 * 0.25, 0.2 + 0.8 * 0.0625, 0.2]
    assert rates(5, name="poly", power=2.0, final_fraction=0.2) == pytest.approx(expected, rel=1e-12)


def test_constant() -> None:
    assert rates(4, name="constant") == [1.0] * 4


@pytest.mark.parametrize(
    ("name", "rest"), [("cosine", [1.0, 0.6, 0.2]), ("poly", [1.0, 0.6, 0.2]), ("constant", [1.0] * 3)]
)
def test_warm_up_climbs_in_equal_steps_to_the_full_rate(name: str, rest: list[float]) -> None:
    found = rates(6, name=name, warmup_epochs=3, final_fraction=0.2, power=1.0)
    assert found == pytest.approx([0.25, 0.5, 0.75, *rest], rel=1e-12)


def test_a_warm_up_longer_than_the_training() -> None:
    assert rates(3, name="cosine", warmup_epochs=4) == pytest.approx([0.2, 0.4, 0.6], rel=1e-12)


def test_one_epoch() -> None:
    assert rates(1, name="cosine") == [1.0]


def test_plateau_by_hand() -> None:
    """patience 1: a second epoch in a row without a better score halves the rate; never below a fifth."""
    scores = [0.5, 0.4, 0.6, 0.6, 0.5, 0.3, 0.2, 0.1, 0.1, 0.1, 0.7, 0.1]
    found = rates(12, scores, name="plateau", factor=0.5, patience=1, final_fraction=0.2)
    # epoch:       1    2    3    4    5    6    7    8     9     10   11   12
    expected = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("score", [0.5, 0.0, -2.0, -math.inf, math.nan])
def test_a_plateau_is_detected_for_any_sign_of_the_score(score: float) -> None:
    """A constant score of -loss is a plateau."""
    found = rates(4, [score] * 4, name="plateau", factor=0.5, patience=1, final_fraction=0.1)
    first = 1 if score == -math.inf or math.isnan(score) else 0
    assert found == ([1.0, 1.0, 0.5, 0.5] if first else [1.0, 1.0, 1.0, 0.5])


def test_a_plateau_counts_the_smallest_step_up_as_better() -> None:
    scores = [0.5 + 1e-6 * epoch for epoch in range(6)]
    assert rates(6, scores, name="plateau", patience=1) == [1.0] * 6


@pytest.mark.parametrize("sign", [1, -1])
def test_the_threshold_of_a_plateau_is_relative(sign: int) -> None:
    """From 0.5 a threshold of 10 % asks for more than 0.05, and from -0.5 as well."""
    better = [sign * 0.5 + 0.04, sign * 0.5 + 0.049, sign * 0.5 + 0.051]
    scores = [sign * 0.5, *better, *[0.0 if sign > 0 else -1.0] * 3]
    found = rates(7, scores, name="plateau", threshold=0.1, factor=0.5, patience=1, final_fraction=0.1)
    # The third epoch is the second one in a row that is not better enough; the fourth is.
    assert found == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_a_plateau_begins_after_the_warm_up() -> None:
    found = rates(6, [0.9, 0.9, 0.1, 0.1, 0.1, 0.1], name="plateau", warmup_epochs=2, factor=0.5, patience=1)
    # The scores of the first two epochs, at low rates, count for nothing: 0.1 is the best so far.
    assert found == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0, 1.0, 0.5], rel=1e-12)


@pytest.mark.parametrize("name", ["cosine", "plateau"])
def test_a_resumed_schedule_continues(name: str) -> None:
    scores = [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    settings = {"name": name, "factor": 0.5, "patience": 2, "warmup_epochs": 1}
    whole = rates(6, scores, **settings)
    schedule, optimizer = make_schedule(6, **settings)
    for epoch in range(3):
        schedule.step(epoch + 1, scores[epoch])
    state, optimizer_state = schedule.state_dict(), optimizer.state_dict()
    schedule, optimizer = make_schedule(6, **settings)
    schedule.load_state_dict(state)
    optimizer.load_state_dict(optimizer_state)
    found = []
    for epoch in range(3, 6):
        found.append(rate_of(optimizer) / RATE)
        schedule.step(epoch + 1, scores[epoch])
    assert found == whole[3:]


def test_the_state_is_of_plain_values() -> None:
    """last.pt is read without unpickling objects."""
    schedule, _ = make_schedule(3, name="plateau")
    schedule.step(1, 0.5)
    plain = (int, float, str, bool, type(None))
    assert all(
        isinstance(item, plain)
        for value in schedule.state_dict().values()
        for item in (value if isinstance(value, list) else [value])
    )


# --- optimizers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_the_configured_optimizer(name: Any, kind: type) -> None:
    config = OptimizerConfig(name=name, learning_rate=0.01, weight_decay=0.05, momentum=0.8)
    optimizer = build_optimizer(nn.Linear(2, 2), nn.Module(), config)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.01, 0.05, 2)
    assert group.get("momentum", 0.8) == 0.8
    assert group.get("nesterov", True)
    assert group["fused"]


def test_sgd_without_momentum_is_plain() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), nn.Module(), OptimizerConfig(name="sgd", momentum=0.0))
    assert (optimizer.param_groups[0]["momentum"], optimizer.param_groups[0]["nesterov"]) == (0.0, False)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_scales_that_the_loss_learns_do_not_decay(name: Any) -> None:
    network, loss = nn.Linear(2, 2), LearnedScales()
    optimizer = build_optimizer(network, loss, OptimizerConfig(name=name, weight_decay=0.5))
    decays = [(group["weight_decay"], group["params"]) for group in optimizer.param_groups]
    assert [decay for decay, _ in decays] == [0.5, 0.0]
    assert [id(parameter) for parameter in decays[0][1]] == [id(parameter) for parameter in network.parameters()]
    assert [id(parameter) for parameter in decays[1][1]] == [id(loss.scales)]
    for parameter in (*network.parameters(), loss.scales):
        parameter.grad = torch.zeros_like(parameter)
    before = network.weight.detach().clone()
    optimizer.step()
    assert torch.equal(loss.scales, torch.ones(2))
    assert not torch.equal(network.weight, before)


def test_adamw_by_hand() -> None:
    """The first step: rate * sign of the gradient, after the weight has shrunk by rate * decay."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    optimizer = build_optimizer(
        network, nn.Module(), OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.5)
    )
    network.weight.grad = torch.full((1, 1), -3.0)
    optimizer.step()
    assert network.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5) + 0.1, rel=1e-6)
