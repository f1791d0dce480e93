"""Validation of pairs of masks, and cropping to their common foreground."""

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError

Mask = npt.NDArray[np.bool_]


def check_masks(prediction: Mask, truth: Mask) -> None:
    """Check that two masks are boolean (H, W) with the same shape.

    Raises:
        InputError: if a mask is not boolean with two dimensions, or if the shapes differ.
    """
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise InputError(
                f"the {name} is {mask.dtype} of shape {mask.shape}: "
                "expected a boolean mask (H, W), for example `mask > 0`"
            )
    if prediction.shape != truth.shape:
        raise InputError(
            f"the prediction's shape is {prediction.shape} and the truth's {truth.shape}: expected the same shape, "
            "resize the prediction to the original size of the image first"
        )


def crop_to_foreground(prediction: Mask, truth: Mask) -> tuple[Mask, Mask]:
    """Crop two masks (H, W), not both empty, to the bounding box of their union."""
    foreground = prediction | truth
    rows = np.flatnonzero(foreground.any(axis=1))
    columns = np.flatnonzero(foreground.any(axis=0))
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return prediction[window], truth[window]
