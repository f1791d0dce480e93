import io
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from timm.optim import list_optimizers as list_optimizers_of_timm
from torch import nn

from acsnet.config import OptimizerConfig, ScheduleConfig, build_config
from acsnet.errors import ConfigError, UnknownNameError
from acsnet.training import optimizers, prepare_training
from acsnet.training.optimization import Schedule, build_optimizer
from acsnet.training.optimizers import check_optimizer, list_optimizers, register_optimizer

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


# --- optimizers of timm and of plugins -------------------------------------------------------------------------------

# They need a GPU, or compile for a minute.
_NOT_HERE = ("bnb", "fused", "kron")
_FAMILIES = ["adabelief", "adafactor", "adopt", "lamb", "lars", "lion", "madgrad", "rmsproptf", "sgdp"]


def step_thrice(optimizer: torch.optim.Optimizer, network: nn.Module, loss: LearnedScales) -> None:
    for seed in range(3):
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        (network(images).square().mean() * loss.scales.square().sum()).backward()
        optimizer.step()
        optimizer.zero_grad()


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


@pytest.mark.parametrize(
    ("name", "direct"),
    [
        ("adam", lambda groups: torch.optim.Adam(groups, lr=0.01, eps=1e-6, fused=True)),
        ("adamw", lambda groups: torch.optim.AdamW(groups, lr=0.01, eps=1e-6, fused=True)),
        ("sgd", lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.8, nesterov=True, fused=True)),
    ],
)
def test_the_factory_builds_the_optimizers_of_torch(name: str, direct: Any) -> None:
    """Bit for bit, as the published configurations use them."""
    weights = []
    for by_name in (True, False):
        network, loss = make_network(), LearnedScales()
        config = OptimizerConfig(name=name, learning_rate=0.01, weight_decay=0.05, epsilon=1e-6, momentum=0.8)
        groups = [
            {"params": list(network.parameters()), "weight_decay": 0.05},
            {"params": [loss.scales], "weight_decay": 0.0},
        ]
        optimizer = build_optimizer(network, loss, config) if by_name else direct(groups)
        step_thrice(optimizer, network, loss)
        weights.append([*network.state_dict().values(), loss.scales.detach()])
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


@pytest.mark.parametrize("names", [_FAMILIES, pytest.param(None, marks=pytest.mark.slow)], ids=["families", "all"])
def test_optimizers_of_timm_train_and_can_be_resumed(names: list[str] | None) -> None:
    """Also with the scales of a loss, and with the state in last.pt, which is read without unpickling objects."""
    for name in names or [name for name in list_optimizers() if not name.startswith(_NOT_HERE)]:
        network, loss = make_network(), LearnedScales()
        before = network[0].weight.detach().clone()
        optimizer = build_optimizer(network, loss, OptimizerConfig(name=name, learning_rate=0.01))
        step_thrice(optimizer, network, loss)
        assert not torch.equal(network[0].weight, before), name
        buffer = io.BytesIO()
        torch.save(optimizer.state_dict(), buffer)
        buffer.seek(0)
        optimizer.load_state_dict(torch.load(buffer, weights_only=True))


def test_arguments_of_an_optimizer() -> None:
    config = OptimizerConfig(name="lion", arguments={"betas": [0.8, 0.9]})
    (group,) = build_optimizer(make_network(), nn.Module(), config).param_groups
    assert tuple(group["betas"]) == (0.8, 0.9)
    # Today's names keep their keys, and take arguments as well.
    config = OptimizerConfig(name="adam", epsilon=1e-5, arguments={"amsgrad": True})
    (group,) = build_optimizer(make_network(), nn.Module(), config).param_groups
    assert (group["eps"], group["amsgrad"], group["fused"]) == (1e-5, True, True)
    config = OptimizerConfig(name="rmsprop", momentum=0.7)
    assert build_optimizer(make_network(), nn.Module(), config).param_groups[0]["momentum"] == 0.7


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"name": "Adma"}, UnknownNameError, r"^unknown optimizer 'Adma': did you mean '.*'\? timm\.optim\.list_opti"),
        ({"name": "lionn"}, UnknownNameError, r"did you mean 'lion'"),
        ({"name": "ADAM"}, UnknownNameError, r"did you mean 'adam'"),
        (
            {"name": "adahessian"},
            ConfigError,
            r"^optimizer\.name is adahessian, which needs second derivatives; .*choose",
        ),
        (
            {"name": "lion", "arguments": {"beta": 1}},
            ConfigError,
            r"^the optimizer lion cannot be built: .*'beta'; opt",
        ),
        ({"name": "lion", "arguments": {"beta": 1}}, ConfigError, r"optimizer\.arguments may have: lr, betas, "),
        ({"name": "adam", "arguments": {"betas": [2, 3]}}, ConfigError, r"built: Invalid beta parameter at index 0: 2"),
        ({"name": "sgd", "arguments": {"lr": 0.1}}, ConfigError, r"multiple values for keyword argument 'lr'"),
    ],
)
def test_an_optimizer_that_cannot_be_built(
    settings: dict[str, Any], error: type[Exception], message: str, tiny_settings: dict[str, Any]
) -> None:
    """Found before any image is decoded."""
    content = {**tiny_settings, "data": {"root": "/nowhere"}, "optimizer": settings}
    with pytest.raises(error, match=message) as caught:
        prepare_training(build_config(content, [], "example"), progress=False)
    assert "\n" not in str(caught.value)


def test_an_optimizer_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "_OPTIMIZERS", {})

    @register_optimizer("slow_descent")
    def slow_descent(groups: Any, lr: float, factor: float = 0.5) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=factor * lr)

    check_optimizer("slow_descent")
    assert set(list_optimizers()) - set(list_optimizers_of_timm()) == {"slow_descent"}
    config = OptimizerConfig(name="slow_descent", learning_rate=0.1, weight_decay=0.3, arguments={"factor": 0.1})
    first, second = build_optimizer(make_network(), LearnedScales(), config).param_groups
    assert (first["lr"], first["weight_decay"], second["weight_decay"]) == (pytest.approx(0.01), 0.3, 0.0)
    with pytest.raises(UnknownNameError, match="unknown optimizer 'slow_decent': did you mean 'slow_descent'"):
        check_optimizer("slow_decent")
    with pytest.raises(
        ConfigError, match=r"slow_descent cannot be built: .*; optimizer\.arguments may have: lr, factor$"
    ):
        build_optimizer(make_network(), nn.Module(), config.model_copy(update={"arguments": {"speed": 1}}))
