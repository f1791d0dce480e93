"""Names -> losses and balances."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
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


class WeightedSum(nn.Module):
    """Sum of losses on the same logits and target, each with its weight.

    Args:
        losses: called with (logits, target), each gives a scalar.
        weights: a factor of at least 0 for each.

    Raises:
        InputError: there is no loss, a weight is negative, or there is not one weight a loss.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        if not losses or len(losses) != len(weights):
            raise InputError(
                f"received {len(losses)} losses and {len(weights)} weights: expected at least one, and as many"
            )
        self.losses = nn.ModuleList(losses)
        self.weights = [check_range("the weight of a loss", weight, 0) for weight in weights]

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Give the weighted sum, a scalar."""
        values = [weight * loss(logits, target) for loss, weight in zip(self.losses, self.weights, strict=True)]
        return torch.stack(values).sum()


def build_loss(
    kind: Literal["segmentation", "classification"], terms: Sequence[tuple[str, float, Mapping[str, Any]]]
) -> nn.Module:
    """Build the weighted sum of losses, each given by name, weight and arguments.

    For example `build_loss("segmentation", [("dice", 1.0, {}), ("focal", 0.5, {"gamma": 2.0})])`. Names are the keys
    of `SEGMENTATION_LOSSES` or `CLASSIFICATION_LOSSES`.

    Raises:
        UnknownNameError: another kind or name.
        InputError: arguments that the loss does not take, values out of range, or no term.
    """
    known = look_up("kind of loss", kind, LOSSES, "")
    losses = [_build(f"{kind} loss", known, name, arguments) for name, _, arguments in terms]
    return WeightedSum(losses, [weight for _, weight, _ in terms])


def build_weighting(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a weighting of the two tasks by its name in `WEIGHTINGS`: `fixed` (`segmentation_weight`) or `uncertainty`.

    Raises:
        UnknownNameError: another name.
        InputError: arguments that it does not take or values out of range.
    """
    return _build("weighting", WEIGHTINGS, name, arguments)


def _build(
    kind: str, known: Mapping[str, Callable[..., nn.Module]], name: str, arguments: Mapping[str, Any]
) -> nn.Module:
    builder = look_up(kind, name, known, "")
    signature = inspect.signature(builder)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        taken = ", ".join(signature.parameters) or "none"
        raise InputError(f"{kind} {name!r}: {error}; its arguments are: {taken}") from error
    return builder(**arguments)
