"""Optimizer and learning-rate schedule from the configuration."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from timm.scheduler import CosineLRScheduler, PolyLRScheduler, StepLRScheduler
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from acsnet.config import OptimizerConfig, ScheduleConfig
from acsnet.errors import InputError
from acsnet.models._layers import encoder_distances
from acsnet.training.optimizers import create_optimizer
from acsnet.training.parameter_names import check_pattern, matches

# timm's schedules multiply the rate of a group of parameters by this entry.
_FACTOR = "lr_scale"


def rate_factors(network: nn.Module, config: OptimizerConfig) -> dict[str, float]:
    """Return the factor of the learning rate of each parameter, from ``layer_decay`` times ``rates``.

    Raises:
        InputError: if the network has no encoder whose layers could be counted for ``layer_decay``.
        UnknownNameError: if a pattern of ``rates`` matches no parameter, with the nearest names.
    """
    factors = dict.fromkeys((name for name, _ in network.named_parameters()), 1.0)
    chosen = dict(factors)
    for pattern, factor in config.rates.items():
        check_pattern(network, pattern, "optimizer.rates")
        chosen |= {name: factor for name in chosen if matches(name, pattern)}
    if config.layer_decay is not None:
        distances = encoder_distances(network)
        if not distances:
            raise InputError(
                f"optimizer.layer_decay: {type(network).__name__} has no module encoder whose layers could be counted: "
                "set it to null, and use optimizer.rates"
            )
        factors |= {name: config.layer_decay**distance for name, distance in distances.items()}
    return {name: factor * chosen[name] for name, factor in factors.items()}


def full_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the learning rate of parameters whose factor is 1."""
    group = optimizer.param_groups[0]
    return float(group["lr"] / group.get(_FACTOR, 1.0))


def build_optimizer(network: nn.Module, loss: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer for the parameters of the network and of the loss, the latter without weight decay.

    Parameters of the network with one factor of the learning rate are one group, the highest factor first.

    Raises:
        UnknownNameError: for an unknown optimizer, with near matches; see also :func:`rate_factors`.
        ConfigError: if the optimizer cannot be built with the configured arguments, or this package cannot use it.
        InputError: see :func:`rate_factors`.
    """
    groups = _group_by_factor(network, rate_factors(network, config))
    for group in groups:
        group["weight_decay"] = config.weight_decay
    learned = list(loss.parameters())
    if learned:
        groups.append({"params": learned, "weight_decay": 0.0})
    # One pass over the weights instead of a dozen: 20 instead of 80 ms per step for ACSNet on two cores.
    fused = {parameter.device.type for parameter in network.parameters()} <= {"cpu", "cuda"}
    own: dict[str, Any] = {}
    if config.name in ("adam", "adamw"):
        own = {"eps": config.epsilon, "fused": fused}
    elif config.name == "sgd":
        own = {"nesterov": config.momentum > 0, "fused": fused}
    return create_optimizer(
        config.name, groups, config.learning_rate, config.weight_decay, config.momentum, own | config.arguments
    )


def _group_by_factor(network: nn.Module, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    if set(factors.values()) <= {1.0}:
        return [{"params": list(network.parameters())}]
    parameters = dict(network.named_parameters())
    return [
        {"params": [parameters[name] for name in parameters if factors[name] == factor], _FACTOR: factor}
        for factor in sorted(set(factors.values()), reverse=True)
    ]


class Schedule:
    """Learning rate of each epoch.

    Warm-up rises linearly, epoch by epoch, to the full rate. Then ``cosine`` falls by half a cosine and ``poly`` by a
    power of the remaining epochs, so that the last epoch has ``final_fraction`` of the full rate; ``plateau`` is
    ``ReduceLROnPlateau`` of torch on the selection score, never below that fraction; ``constant`` keeps the rate.

    Args:
        optimizer: all groups have the full rate, without their factors; the rate of the first epoch is set here.
        config: the schedule section of the configuration.
        epochs: epochs of the whole training.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: ScheduleConfig, epochs: int) -> None:
        rate = optimizer.param_groups[0]["lr"]
        self._config = config
        # Not timm's PlateauLRScheduler: its state lacks the count of epochs without improvement, so that a resumed run
        # would continue with other rates.
        self._plateau = ReduceLROnPlateau(
            optimizer,
            mode="max",
            factor=config.factor,
            patience=config.patience,
            # Set before each step: with the relative threshold of torch, a constant score below 0 (as for -loss) would
            # improve every time.
            threshold=0.0,
            threshold_mode="abs",
            min_lr=[rate * config.final_fraction * group.get(_FACTOR, 1.0) for group in optimizer.param_groups],
        )
        self._curve = _build_curve(optimizer, config, rate, epochs)

    def step(self, epoch: int, score: float) -> None:
        """Set the rate of the next epoch after ``epoch`` epochs; ``score`` is that of the last one."""
        if self._config.name == "plateau" and epoch > self._config.warmup_epochs:
            best = self._plateau.best
            self._plateau.threshold = self._config.threshold * abs(best) if math.isfinite(best) else 0.0
            self._plateau.step(score)
        else:
            self._curve.step(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that resuming needs in addition to the state of the optimizer."""
        return self._plateau.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`; the rate itself is part of the state of the optimizer."""
        self._plateau.load_state_dict(state)


def _build_curve(
    optimizer: torch.optim.Optimizer, config: ScheduleConfig, rate: float, epochs: int
) -> CosineLRScheduler | PolyLRScheduler | StepLRScheduler:
    """Build the warm-up and the curve after it, a function of the epoch alone."""
    warmup: dict[str, Any] = {
        "warmup_t": config.warmup_epochs,
        "warmup_lr_init": rate / (config.warmup_epochs + 1),
        "warmup_prefix": True,
    }
    if config.name in ("plateau", "constant"):
        return StepLRScheduler(optimizer, decay_t=1, decay_rate=1.0, **warmup)
    # The last epoch has the final rate. A cycle decay has no effect within the only cycle; without it, timm warns that
    # a training of two epochs has no schedule, which is not the case.
    curve = {"t_initial": max(1, epochs - 1 - config.warmup_epochs), "lr_min": rate * config.final_fraction}
    curve["cycle_decay"] = 0.5
    if config.name == "poly":
        return PolyLRScheduler(optimizer, power=config.power, **curve, **warmup)
    return CosineLRScheduler(optimizer, **curve, **warmup)
