"""Losses and weightings by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from acsnet._utils.naming import look_up
from acsnet._utils.plugins import look_up_registered
from acsnet._utils.registration import register
from acsnet.errors import InputError
from acsnet.labels import Task
from acsnet.losses._checks import check_range
from acsnet.losses.classification import ClassFocalLoss, CrossEntropyLoss
from acsnet.losses.segmentation import BCELoss, DiceForegroundBackgroundLoss, DiceLoss, FocalLoss
from acsnet.losses.weighting import FixedWeighting, UncertaintyWeighting

SEGMENTATION_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "dice": DiceLoss,
    "dice_foreground_background": DiceForegroundBackgroundLoss,
    "bce": BCELoss,
    "focal": FocalLoss,
}
CLASSIFICATION_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "cross_entropy": CrossEntropyLoss,
    "focal": ClassFocalLoss,
}
WEIGHTINGS: dict[str, Callable[..., nn.Module]] = {"fixed": FixedWeighting, "uncertainty": UncertaintyWeighting}

LOSSES = {"segmentation": SEGMENTATION_LOSSES, "classification": CLASSIFICATION_LOSSES}

_Builder = TypeVar("_Builder", bound=Callable[..., nn.Module])


def register_loss(name: str, task: Task) -> Callable[[_Builder], _Builder]:
    """Return a decorator that registers a class or function as a loss of a task.

    The loss is called with the logits and the target of a batch, and returns a scalar. A segmentation loss gets mask
    logits (B, 1, H, W) and a mask of 0 and 1, float (B, 1, H, W). A classification loss gets class logits (B, K) and
    class indices, int64 (B,).

    Args:
        name: its name in the configuration.
        task: ``"segmentation"`` or ``"classification"``.

    Raises:
        UnknownNameError: for an unknown task, with near matches.
        InputError: if the task already has a loss of that name.

    Example:
        >>> import torch
        >>> import acsnet
        >>> @acsnet.register_loss("squared_error", "segmentation")
        ... class SquaredError(torch.nn.Module):
        ...     def forward(self, logits, mask):
        ...         return (logits.sigmoid() - mask).square().mean()
        >>> loss = acsnet.losses.build_loss("segmentation", [("squared_error", 1.0, {})])
        >>> loss(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
        tensor(0.2500)
    """
    losses = look_up("task of a loss", task, LOSSES, "")

    def add(builder: _Builder) -> _Builder:
        register(f"{task} loss", name, builder, losses)
        return builder

    return add


class WeightedSum(nn.Module):
    """Weighted sum of losses of the same logits and target.

    Args:
        losses: at least one loss; each is called with logits and target and returns a scalar.
        weights: one factor of at least 0 per loss.

    Raises:
        InputError: if there is no loss, if a weight is negative, or if the numbers of losses and weights differ; when
            called, if a loss returns another thing than a scalar.

    Example:
        >>> import torch
        >>> from acsnet.losses import BCELoss, DiceLoss, WeightedSum
        >>> loss = WeightedSum([DiceLoss(), BCELoss()], [1.0, 0.5])
        >>> mask = torch.ones(1, 1, 8, 8)
        >>> round(loss(torch.zeros(1, 1, 8, 8), mask).item(), 2)
        0.68
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        if not losses or len(losses) != len(weights):
            raise InputError(
                f"received {len(losses)} losses and {len(weights)} weights: expected at least one loss, "
                "and one weight per loss"
            )
        self.losses = nn.ModuleList(losses)
        self.weights = [check_range("the weight of a loss", weight, 0) for weight in weights]

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the weighted sum, a scalar."""
        values = [_checked_scalar(loss, loss(logits, target)) for loss in self.losses]
        return torch.stack([weight * value for weight, value in zip(self.weights, values, strict=True)]).sum()


def _checked_scalar(loss: nn.Module, value: Any) -> Tensor:
    if isinstance(value, Tensor) and value.dim() == 0:
        return value
    found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise InputError(f"the loss {type(loss).__name__} returned {found}: expected a scalar tensor, as by .mean()")


def build_loss(kind: Task, terms: Sequence[tuple[str, float, Mapping[str, Any]]]) -> nn.Module:
    """Build a weighted sum of losses by their names.

    Args:
        kind: ``"segmentation"`` or ``"classification"``.
        terms: for each loss its name, a key of `SEGMENTATION_LOSSES` or `CLASSIFICATION_LOSSES`, its weight, and its
            arguments.

    Returns:
        A :class:`WeightedSum`.

    Raises:
        UnknownNameError: for an unknown kind or name, with near matches.
        InputError: if a loss does not have one of its arguments, if a value is out of range, or if there is no term.

    Example:
        >>> import torch
        >>> from acsnet.losses import build_loss
        >>> loss = build_loss("segmentation", [("dice", 1.0, {}), ("focal", 0.5, {"gamma": 2.0})])
        >>> round(loss(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)).item(), 3)
        0.417
    """
    known = look_up("kind of loss", kind, LOSSES, "")
    losses = [_build(f"{kind} loss", known, name, arguments) for name, _, arguments in terms]
    return WeightedSum(losses, [weight for _, weight, _ in terms])


def build_weighting(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a weighting of the two tasks by its name.

    Args:
        name: a key of `WEIGHTINGS`: ``"fixed"`` with the argument ``segmentation_weight``, or ``"uncertainty"``.
        arguments: arguments of the weighting.

    Raises:
        UnknownNameError: for an unknown name, with near matches.
        InputError: if the weighting does not have one of the arguments, or if a value is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import build_weighting
        >>> weighting = build_weighting("fixed", {"segmentation_weight": 0.75})
        >>> weighting(torch.tensor(1.0), torch.tensor(2.0))
        tensor(1.2500)
    """
    return _build("weighting", WEIGHTINGS, name, arguments)


def _build(
    kind: str, known: Mapping[str, Callable[..., nn.Module]], name: str, arguments: Mapping[str, Any]
) -> nn.Module:
    builder = look_up_registered(kind, name, known, "")
    signature = inspect.signature(builder)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        names = ", ".join(signature.parameters) or "none"
        raise InputError(f"{kind} {name!r}: {error}; its arguments are: {names}") from error
    return builder(**arguments)
