"""Choice of the mask threshold on the validation subset."""

import logging
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from acsnet.data import Record
from acsnet.data.records import lack_masks
from acsnet.errors import ConfigError
from acsnet.evaluation.batches import read_batches
from acsnet.inference.decision import Decision, Probabilities
from acsnet.inference.predictor import Predictor
from acsnet.metrics.segmentation import dice_score

logger = logging.getLogger(__name__)

_STEPS = 20
THRESHOLDS = tuple(step / _STEPS for step in range(1, _STEPS))
_HALF_STEP = THRESHOLDS.index(0.5)


def choose_threshold(
    predictor: Predictor, records: Sequence[Record], batch_size: int = 8, progress: bool = True
) -> float:
    """Return the threshold among 0.05, 0.1, ..., 0.95 with the best mean Dice over images, and log it.

    Masks are compared at the original sizes of the images, after post-processing and refining. Each image is predicted
    once.

    Args:
        predictor: a predictor with masks.
        records: records of the validation subset.
        batch_size: number of images per forward pass.
        progress: show a progress bar.

    Raises:
        ConfigError: if no image of a lesion class has a mask.
        DataError: if an image or a mask cannot be read.
    """
    if lack_masks(records):
        raise ConfigError(
            "evaluation.threshold is validation, but no image of a lesion class in the validation subset has a mask: "
            "set it to a number"
        )
    dice: list[npt.NDArray[np.float64]] = []
    compute_dice = partial(dice_per_threshold, predictor.decide)
    with ThreadPoolExecutor() as pool:
        for batch in read_batches(records, batch_size, "choosing the threshold", progress):
            dice += pool.map(compute_dice, predictor.probabilities(batch.images), batch.masks)
    means = np.mean(dice, axis=0)
    best = best_step(means)
    logger.info(
        "threshold %.2f: mean Dice %.4f on the %d images of the validation subset (%.4f at 0.5)",
        THRESHOLDS[best],
        means[best],
        len(records),
        means[_HALF_STEP],
    )
    return THRESHOLDS[best]


def best_step(means: npt.NDArray[np.float64]) -> int:
    """Return the index in :data:`THRESHOLDS` of the best mean.

    Ties go to the threshold nearest to 0.5, and then to the lower one.
    """
    return max(range(len(means)), key=lambda step: (means[step], -abs(step - _HALF_STEP)))


def stable_step(dice: npt.NDArray[np.float64]) -> int:
    """Return the index in :data:`THRESHOLDS` nearest to 0.5 whose mean Dice is not clearly worse than the best.

    A threshold is clearly worse if the mean of its differences from the best one, paired by images, is larger than
    their standard error (the one-standard-error rule of Breiman et al. 1984). On few images, the best mean is decided
    by one or two normal cases whose mask becomes empty.

    Args:
        dice: Dice per image and threshold (N, T).
    """
    means = dice.mean(axis=0)
    best = best_step(means)
    if len(dice) < 2:
        return best
    differences = dice[:, [best]] - dice
    errors = differences.std(axis=0, ddof=1) / math.sqrt(len(dice))
    candidates = np.flatnonzero(differences.mean(axis=0) <= errors).tolist()
    return min(candidates, key=lambda step: (abs(step - _HALF_STEP), -means[step]))


def dice_per_threshold(
    decide: Decision, probabilities: Probabilities, truth: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the Dice of the mask of one image at each of :data:`THRESHOLDS`."""
    masks = (decide(probabilities, threshold).mask for threshold in THRESHOLDS)
    return np.array([dice_score(mask, truth) for mask in masks if mask is not None])
