"""The mask threshold that is best on the validation subset."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from acsnet.data import Record
from acsnet.evaluation.batches import read_batches
from acsnet.inference.decision import Probabilities
from acsnet.inference.predictor import Predictor
from acsnet.metrics.segmentation import dice_score

logger = logging.getLogger(__name__)

_STEPS = 20
THRESHOLDS = tuple(step / _STEPS for step in range(1, _STEPS))


def choose_threshold(
    predictor: Predictor, records: Sequence[Record], batch_size: int = 8, progress: bool = True
) -> float:
    """Choose from 0.05, 0.1, ..., 0.95 the threshold with the best mean Dice over images, and log it.

    Masks are compared at the images' own sizes after everything that the predictor is configured to do with them. Each
    image is predicted once.

    Args:
        predictor: of a network with masks.
        records: of the validation subset.
        batch_size: images a forward pass.
        progress: show a progress bar.
    """
    scores: list[npt.NDArray[np.float64]] = []
    score = partial(_score, predictor)
    with ThreadPoolExecutor() as pool:
        for batch in read_batches(records, batch_size, "choosing the threshold", progress):
            scores += pool.map(score, predictor.probabilities(batch.images), batch.masks)
    means = np.mean(scores, axis=0)
    best = best_step(means)
    logger.info(
        "threshold %.2f: mean Dice %.4f on the %d images of the validation subset (%.4f at 0.5)",
        THRESHOLDS[best],
        means[best],
        len(records),
        means[_MIDDLE],
    )
    return THRESHOLDS[best]


_MIDDLE = THRESHOLDS.index(0.5)


def best_step(means: npt.NDArray[np.float64]) -> int:
    """The position in :data:`THRESHOLDS` of the best mean; of equals the nearest to 0.5, of two as near the lower."""
    return max(range(len(means)), key=lambda step: (means[step], -abs(step - _MIDDLE)))


def _score(predictor: Predictor, probabilities: Probabilities, truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The Dice of one image at each threshold."""
    masks = (predictor.decide(probabilities, threshold).mask for threshold in THRESHOLDS)
    return np.array([dice_score(mask, truth) for mask in masks if mask is not None])
