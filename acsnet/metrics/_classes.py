"""What every metric of classes asks of labels and probabilities."""

from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError

# Probabilities read back from a table with four decimals, or computed in half precision, do not sum to 1 exactly.
SUM_TOLERANCE = 1e-2


def check_probabilities(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, classes: int | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Give true class indices (N,) and class probabilities (N, K) as arrays; K is `classes` where that is given.

    Raises:
        InputError: shapes do not fit, a label is out of range, or the probabilities of an image are not in 0 to 1 with
            sum 1.
    """
    truth = np.asarray(labels)
    scores = np.asarray(probabilities, dtype=np.float64)
    if truth.ndim != 1 or truth.size == 0 or not np.issubdtype(truth.dtype, np.integer):
        raise InputError(
            f"the labels are {truth.dtype} of shape {truth.shape}: expected integers of shape (N,), N at least 1"
        )
    if classes is None:
        classes = scores.shape[-1] if scores.ndim else 0
    if scores.shape != (truth.size, classes):
        raise InputError(
            f"the probabilities' shape is {scores.shape}: expected {(truth.size, classes)}, "
            "a row for each label and a column for each class"
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise InputError(f"the labels range from {truth.min()} to {truth.max()}: expected 0 to {classes - 1}")
    in_range = ((scores >= 0) & (scores <= 1)).all(axis=1)
    wrong = np.flatnonzero(~(in_range & (np.abs(scores.sum(axis=1) - 1) <= SUM_TOLERANCE)))
    if wrong.size:
        raise InputError(
            f"the probabilities of image {wrong[0]} are {scores[wrong[0]].tolist()} ({wrong.size} such images): "
            "expected values in 0 to 1 with sum 1; apply a softmax to logits first"
        )
    return truth, scores
