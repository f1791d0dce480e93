"""Validation of pairs of masks, and cropping to their common foreground."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.metrics._arrays import to_array

Mask = npt.NDArray[np.bool_]
# A boolean array, or an array or a PyTorch tensor of another type whose values are 0 and 1.
AnyMask: TypeAlias = npt.ArrayLike | Any


def as_masks(prediction: AnyMask, truth: AnyMask) -> tuple[Mask, Mask]:
    """Return two masks of the same shape as boolean arrays (H, W).

    Args:
        prediction: array or PyTorch tensor (H, W) of booleans, or of numbers that are 0 or 1.
        truth: likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.
    """
    predicted, true = _as_mask(prediction, "prediction"), _as_mask(truth, "truth")
    if predicted.shape != true.shape:
        raise InputError(
            f"the prediction's shape is {predicted.shape} and the truth's {true.shape}: expected the same shape, "
            "resize the prediction to the original size of the image first"
        )
    return predicted, true


def _as_mask(values: AnyMask, name: str) -> Mask:
    mask = to_array(values)
    if mask.ndim != 2 or mask.dtype.kind not in "biuf":
        raise InputError(
            f"the {name} is {mask.dtype} of shape {mask.shape}: expected a boolean mask (H, W), for example `mask > 0`"
        )
    if mask.dtype == np.bool_:
        return mask
    foreground = mask == 1
    if not (foreground | (mask == 0)).all():
        raise InputError(
            f"the {name} has values from {mask.min():g} to {mask.max():g}: expected a mask of 0 and 1, for example "
            "`mask > 0`, or `probability > 0.5`"
        )
    return foreground


def crop_to_foreground(prediction: Mask, truth: Mask) -> tuple[Mask, Mask]:
    """Crop two masks (H, W), not both empty, to the bounding box of their union."""
    foreground = prediction | truth
    rows = np.flatnonzero(foreground.any(axis=1))
    columns = np.flatnonzero(foreground.any(axis=0))
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return prediction[window], truth[window]
