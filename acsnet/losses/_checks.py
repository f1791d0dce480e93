"""Checks of the arguments and inputs of losses, without a synchronization of the GPU."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from acsnet.errors import InputError


def check_mask_logits(logits: Tensor, mask: Tensor) -> None:
    """Raise InputError unless logits and mask are both (B, 1, H, W) and, on the CPU, the mask is in 0 to 1."""
    if logits.ndim != 4 or logits.shape[1] != 1 or logits.shape != mask.shape:
        raise InputError(
            f"mask logits have shape {tuple(logits.shape)} and the mask {tuple(mask.shape)}: "
            "expected (B, 1, H, W) with the same sizes"
        )
    # On a GPU this would synchronize in every step. NaN passes neither comparison.
    if mask.device.type == "cpu" and mask.numel() and not bool((mask.min() >= 0) & (mask.max() <= 1)):
        raise InputError(
            f"the mask has values from {float(mask.min()):g} to {float(mask.max()):g}: expected 0 to 1; divide a mask "
            "of 0 and 255 by 255"
        )


def check_class_logits(logits: Tensor, label: Tensor) -> None:
    """Raise InputError unless logits are (B, K) and labels are int64 (B,) and, on the CPU, in 0 to K-1."""
    if logits.ndim != 2 or label.shape != logits.shape[:1] or label.dtype != torch.int64:
        raise InputError(
            f"class logits have shape {tuple(logits.shape)} and the labels are {label.dtype} of shape "
            f"{tuple(label.shape)}: expected (B, K) and torch.int64 of shape (B,)"
        )
    # On a GPU this would synchronize in every step; CUDA has its own assertion.
    if label.device.type == "cpu" and not bool(((label >= 0) & (label < logits.shape[1])).all()):
        raise InputError(
            f"the labels range from {int(label.min())} to {int(label.max())}: expected 0 to {logits.shape[1] - 1}"
        )


def check_range(name: str, value: object, low: float, high: float = math.inf) -> float:
    """Return the value, or raise InputError unless it is a finite number from `low` to `high`."""
    if not isinstance(value, (int, float)) or not math.isfinite(value) or not low <= value <= high:
        upper = "" if math.isinf(high) else f" and at most {high:g}"
        raise InputError(f"{name} is {value!r}: expected a finite number of at least {low:g}{upper}")
    return float(value)


def to_class_weights(name: str, values: Sequence[float] | Tensor | None) -> Tensor | None:
    """Return one weight per class, float32 (K,), or None; raise InputError unless all are finite and above 0."""
    if values is None:
        return None
    expected = "expected a list of finite numbers above 0, one per class"
    try:
        weights = torch.as_tensor(values, dtype=torch.float32).detach().clone()
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {values!r}: {expected}") from error
    # With a weight of 0, the weighted mean over a batch of only that class would be 0/0.
    if weights.ndim != 1 or not bool((torch.isfinite(weights) & (weights > 0)).all()):
        raise InputError(f"{name} is {weights.tolist()}: {expected}")
    return weights


def check_class_weights(name: str, weights: Tensor | None, logits: Tensor) -> None:
    """Raise InputError if the number of weights (K,) differs from that of the class logits (B, K)."""
    if weights is not None and len(weights) != logits.shape[1]:
        raise InputError(f"{name} has {len(weights)} values: expected {logits.shape[1]}, one for each class logit")
