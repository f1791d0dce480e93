import io
import math
import re
from itertools import pairwise
from typing import Any

import pytest
import torch
from timm.optim import list_optimizers as list_optimizers_of_timm
from torch import nn

from acsnet import create_model
from acsnet.config import OptimizerConfig, ScheduleConfig, build_config
from acsnet.errors import ConfigError, InputError, UnknownNameError
from acsnet.training import optimizers, prepare_training
from acsnet.training.optimization import Schedule, build_optimizer, full_rate, rate_factors
from acsnet.training.optimizers import check_optimizer, list_optimizers, register_optimizer

RATE = 0.1
_IN_ENCODER = re.compile(r"((segmentation|classification)\.)?encoder\.")


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


# --- rates of layers -------------------------------------------------------------------------------------------------


def small_unet() -> nn.Module:
    return create_model("unet", width=4, depth=2)


def factors_of(network: nn.Module, **settings: Any) -> dict[str, float]:
    return rate_factors(network, OptimizerConfig(**settings))


def test_layer_decay_of_a_u_net_by_hand() -> None:
    factors = factors_of(small_unet(), layer_decay=0.5)
    for name, factor in factors.items():
        level = name.removeprefix("encoder.levels.")[0] if name.startswith("encoder.") else "3"
        assert factor == {"0": 0.125, "1": 0.25, "2": 0.5, "3": 1.0}[level], name
    assert set(factors.values()) == {0.125, 0.25, 0.5, 1.0}


def test_layer_decay_of_a_resnet_follows_the_blocks_of_timm() -> None:
    with torch.device("meta"):
        network = create_model("fpn_resnet50", encoder="resnet18")
    factors = factors_of(network, layer_decay=0.5)
    expected = {"encoder.network.conv1.weight": 9, "encoder.network.bn1.bias": 9}
    expected |= {
        f"encoder.network.layer{stage}.{block}.conv1.weight": 8 - 2 * (stage - 1) - block
        for stage in (1, 2, 3, 4)
        for block in (0, 1)
    }
    assert {name: factors[name] for name in expected} == {name: 0.5**distance for name, distance in expected.items()}
    assert {factor for name, factor in factors.items() if not name.startswith("encoder.")} == {1.0}


@pytest.mark.parametrize(
    ("name", "arguments", "layers"),
    [
        ("acsnet", {"encoder": "mobilenetv3_small_050"}, None),
        ("unet_resnet50", {"encoder": "pvt_v2_b0"}, None),
        ("unet_resnet50", {"encoder": "tu-convnext_atto", "tasks": ["classification"]}, None),
        ("mt_unetpp", {"widths": [4] * 6}, 5),
        ("mt_nnunet", {"width": 4}, 5),
        ("two_networks", {"network": "unet", "arguments": {"width": 4, "depth": 2}}, 3),
    ],
)
def test_layer_decay_reaches_every_parameter_of_every_encoder(
    name: str, arguments: dict[str, Any], layers: int | None
) -> None:
    with torch.device("meta"):
        network = create_model(name, **arguments)
    factors = factors_of(network, layer_decay=0.75)
    encoder = {key: factor for key, factor in factors.items() if _IN_ENCODER.match(key)}
    assert encoder
    assert all(factor < 1 for factor in encoder.values())
    assert all(factor == 1 for key, factor in factors.items() if key not in encoder)
    found = sorted({round(math.log(factor, 0.75)) for factor in encoder.values()})
    assert found == [*range(1, len(found) + 1)]
    assert len(found) == (layers or len(found))
    assert len(found) > 2


def test_rates_by_pattern() -> None:
    network = small_unet()
    factors = factors_of(network, rates={"encoder.*": 0.1, "encoder.levels.2": 0.5, "cls_head": 2.0})
    for name, factor in factors.items():
        expected = 0.5 if name.startswith("encoder.levels.2.") else 0.1 if name.startswith("encoder.") else 1.0
        assert factor == (2.0 if name.startswith("cls_head.") else expected), name
    both = factors_of(network, layer_decay=0.5, rates={"encoder.levels.2": 0.5})
    assert (both["encoder.levels.2.0.0.weight"], both["encoder.levels.1.0.0.weight"]) == (0.25, 0.25)
    with pytest.raises(UnknownNameError, match=r"unknown parameters in optimizer\.rates 'cls_haed': did you mean 'c"):
        factors_of(network, rates={"cls_haed": 0.1})


def test_a_network_without_an_encoder_has_no_layer_decay() -> None:
    with pytest.raises(InputError, match=r"optimizer\.layer_decay: Linear has no module encoder .*use opti"):
        factors_of(nn.Linear(2, 2), layer_decay=0.5)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "poly", "plateau", "constant"])
def test_the_rates_of_all_groups_follow_the_schedule(name: Any, schedule: Any) -> None:
    network, loss = small_unet(), LearnedScales()
    config = OptimizerConfig(name=name, learning_rate=RATE, rates={"encoder": 0.25, "cls_head": 2.0})
    optimizer = build_optimizer(network, loss, config)
    curve = Schedule(
        optimizer, ScheduleConfig(name=schedule, warmup_epochs=1, final_fraction=0.3, patience=1, factor=0.1), 6
    )
    plain = rates(6, [0.0] * 6, name=schedule, warmup_epochs=1, final_fraction=0.3, patience=1, factor=0.1)
    for epoch in range(6):
        found = [group["lr"] for group in optimizer.param_groups]
        expected = [RATE * plain[epoch] * factor for factor in (2.0, 1.0, 0.25, 1.0)]
        assert found == pytest.approx(expected, rel=1e-12)
        assert full_rate(optimizer) == pytest.approx(RATE * plain[epoch])
        curve.step(epoch + 1, 0.0)
    *own, learned = optimizer.param_groups
    assert sum(len(group["params"]) for group in own) == len(list(network.parameters()))
    assert [group["weight_decay"] for group in own] == [config.weight_decay] * 3
    assert (learned["weight_decay"], learned["params"]) == (0.0, [loss.scales])


def test_the_default_is_one_group_as_before() -> None:
    for rates_of in ({}, {"encoder": 1.0}):
        (group,) = build_optimizer(small_unet(), nn.Module(), OptimizerConfig(rates=rates_of)).param_groups
        assert "lr_scale" not in group


def test_adamw_with_a_factor_by_hand() -> None:
    """The first step of a tenth of the rate is a tenth as long, and so is the decay."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    config = OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.5, rates={"weight": 0.1})
    optimizer = build_optimizer(network, nn.Module(), config)
    Schedule(optimizer, ScheduleConfig(name="constant"), 3)
    network.weight.grad = torch.full((1, 1), -3.0)
    optimizer.step()
    assert network.weight.item() == pytest.approx(2.0 * (1 - 0.01 * 0.5) + 0.01, rel=1e-6)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("layer_decay=0", "optimizer.layer_decay is 0"),
        ("layer_decay=1", "optimizer.layer_decay is 1"),
        ("rates={encoder: 0}", "optimizer.rates.encoder is 0"),
        ("rates=0.1", "optimizer.rates is 0.1"),
    ],
)
def test_rates_that_are_none(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"model": {"name": "unet"}}, [f"optimizer.{override}"], "test")
    assert message in str(caught.value)


def test_rates_of_a_parent_are_replaced() -> None:
    content = {"model": {"name": "unet"}, "optimizer": {"rates": {"encoder": 0.1}}}
    assert build_config(content, ["optimizer.rates={cls_head: 2}"], "test").optimizer.rates == {"cls_head": 2.0}
