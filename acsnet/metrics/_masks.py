"""What every metric of masks asks of them, and the part of them that holds all there is to measure."""

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError

Mask = npt.NDArray[np.bool_]


def check_masks(prediction: Mask, truth: Mask) -> None:
    """Refuse what is not two boolean masks (H, W) of one shape.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise InputError(
                f"the {name} is {mask.dtype} of shape {mask.shape}: "
                "expected a boolean mask (H, W), for example `mask > 0`"
            )
    if prediction.shape != truth.shape:
        raise InputError(
            f"the prediction's shape is {prediction.shape} and the truth's {truth.shape}: expected the same, "
            "bring the prediction to the image's original size first"
        )


def crop_to_foreground(prediction: Mask, truth: Mask) -> tuple[Mask, Mask]:
    """Cut two masks (H, W), not both empty, to the smallest box around what is foreground in either."""
    foreground = prediction | truth
    rows = np.flatnonzero(foreground.any(axis=1))
    columns = np.flatnonzero(foreground.any(axis=0))
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return prediction[window], truth[window]
