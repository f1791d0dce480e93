"""Validation of labels and class probabilities."""

from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.metrics._arrays import to_array

# The sum is not exactly 1 for probabilities with four decimals or in half precision.
SUM_TOLERANCE = 1e-2


def check_probabilities(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: int | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return true class indices (N,) and class probabilities (N, K) as arrays.

    Args:
        labels: true class indices (N,), an array or a PyTorch tensor.
        probabilities: class probabilities (N, K), likewise.
        classes: K; by default, it is the last dimension of the probabilities.

    Raises:
        InputError: if the shapes do not match, a label is out of range, or the probabilities of an image are not in
            0 to 1 with a sum of 1.
    """
    truth = to_array(labels)
    scores = np.asarray(to_array(probabilities), dtype=np.float64)
    if truth.ndim != 1 or truth.size == 0 or not np.issubdtype(truth.dtype, np.integer):
        raise InputError(
            f"the labels are {truth.dtype} of shape {truth.shape}: expected integers of shape (N,), N at least 1"
        )
    if classes is None:
        classes = scores.shape[-1] if scores.ndim else 0
    if scores.shape != (truth.size, classes):
        raise InputError(
            f"the probabilities' shape is {scores.shape}: expected {(truth.size, classes)}, "
            "one row per label and one column per class"
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise InputError(f"the labels range from {truth.min()} to {truth.max()}: expected 0 to {classes - 1}")
    in_range = ((scores >= 0) & (scores <= 1)).all(axis=1)
    wrong = np.flatnonzero(~(in_range & (np.abs(scores.sum(axis=1) - 1) <= SUM_TOLERANCE)))
    if wrong.size:
        raise InputError(
            f"the probabilities of image {wrong[0]} are {scores[wrong[0]].tolist()} ({wrong.size} such images): "
            "expected values in 0 to 1 with a sum of 1; apply a softmax to logits first"
        )
    return truth, scores
