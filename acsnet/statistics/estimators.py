"""Estimators of metrics on sets of images, evaluated on many resamples at once.

An :class:`Estimator` takes the number of times that each image is in each resample, an array (R, N) of floats with
integer values, and returns the metric of each resample, floats (R,), NaN where undefined. A mean over images is then
one matrix product for all R resamples.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import BoolArray, Float64Array, IndexArray


@dataclass(frozen=True)
class Estimator:
    """A metric of sets of images.

    Attributes:
        estimate: takes the counts (R, N) and returns the metric of each resample (R,), NaN where undefined.
        needs: kinds of images, booleans (N,) each, of which the metric needs at least one each; empty for any image.
            The rarest kind limits how much the images tell about the metric.
    """

    estimate: Callable[[Float64Array], Float64Array]
    needs: tuple[BoolArray, ...] = ()

    def __call__(self, counts: Float64Array) -> Float64Array:
        """Return the metric of each resample (R,) from the counts (R, N)."""
        return self.estimate(counts)


def mean_of(values: npt.ArrayLike) -> Estimator:
    """Return the estimator of the mean of one value per image (N,), ignoring NaN."""
    known = np.asarray(values, np.float64)
    defined = ~np.isnan(known)
    sums = np.column_stack([np.where(defined, known, 0.0), defined])

    def estimate(counts: Float64Array) -> Float64Array:
        total, number = (counts @ sums).T
        return _divide(total, number)

    return Estimator(estimate, (defined,))


def macro_f1_of(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> Estimator:
    """Return the estimator of the mean F1 over classes.

    As in :func:`acsnet.metrics.classification_metrics`, a class without cases is left out, and a class with cases that
    is never predicted has an F1 of 0.

    Args:
        labels: the true classes (N,), indices or names.
        predicted: the predicted classes (N,).
    """
    truth, guesses = np.asarray(labels), np.asarray(predicted)
    classes = np.unique(truth)

    def estimate(counts: Float64Array) -> Float64Array:
        f1, support = _f1_per_class(truth, guesses, classes, counts)
        return _divide(f1.sum(axis=1, where=support > 0), (support > 0).sum(axis=1))

    return Estimator(estimate)


def weighted_f1_of(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> Estimator:
    """Return the estimator of the mean F1 over classes, weighted by their number of cases; see :func:`macro_f1_of`."""
    truth, guesses = np.asarray(labels), np.asarray(predicted)
    classes = np.unique(truth)

    def estimate(counts: Float64Array) -> Float64Array:
        f1, support = _f1_per_class(truth, guesses, classes, counts)
        return _divide((f1 * support).sum(axis=1), support.sum(axis=1))

    return Estimator(estimate)


def class_f1_of(labels: npt.ArrayLike, predicted: npt.ArrayLike, name: int | str) -> Estimator:
    """Return the estimator of the F1 of one class against the rest, undefined without a case of the class.

    Args:
        labels: the true classes (N,), indices or names.
        predicted: the predicted classes (N,).
        name: the class.
    """
    truth, guesses = np.asarray(labels), np.asarray(predicted)

    def estimate(counts: Float64Array) -> Float64Array:
        f1, support = _f1_per_class(truth, guesses, np.array([name]), counts)
        return np.where(support > 0, f1, math.nan)[:, 0]

    return Estimator(estimate, (truth == name,))


def _f1_per_class(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: npt.NDArray[Any], counts: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the F1 and the number of cases of each class in each resample: (R, C) each."""
    is_class, predicted_class = truth[:, None] == classes, predicted[:, None] == classes
    support, predictions = counts @ is_class, counts @ predicted_class
    return 2 * (counts @ (is_class & predicted_class)) / np.maximum(support + predictions, 1), support


def auroc_of(positive: npt.ArrayLike, scores: npt.ArrayLike) -> Estimator:
    """Return the estimator of the area under the ROC curve.

    The area is the fraction of pairs of a positive and a negative image in which the positive image has the higher
    score, with ties counted half. It is undefined without a positive or a negative image.

    Args:
        positive: whether each image is positive (N,).
        scores: the score of each image (N,); higher means more likely positive.
    """
    is_positive, values = np.asarray(positive, np.bool_), np.asarray(scores, np.float64)
    order = np.argsort(values, kind="stable")
    ordered_positive = is_positive[order]
    # The first position of each run of equal scores.
    starts = np.flatnonzero(np.diff(values[order], prepend=-math.inf) > 0)

    def estimate(counts: Float64Array) -> Float64Array:
        ordered = counts[:, order]
        positives = np.add.reduceat(ordered * ordered_positive, starts, axis=1)
        negatives = np.add.reduceat(ordered * ~ordered_positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        return _divide((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))

    return Estimator(estimate, (is_positive, ~is_positive))


def estimator_of(metric: Callable[[IndexArray], float]) -> Estimator:
    """Return the estimator of any metric of a set of images.

    Args:
        metric: takes the positions of the images, in which an image may occur several times, and returns the metric,
            NaN if undefined. It is called once per resample.
    """

    def estimate(counts: Float64Array) -> Float64Array:
        positions = np.arange(counts.shape[1])
        return np.array([metric(np.repeat(positions, row.astype(np.intp))) for row in counts], np.float64)

    return Estimator(estimate)


def estimate_once(estimator: Estimator, images: int) -> float:
    """Return the metric of all images, each counted once."""
    return float(estimator(np.ones((1, images)))[0])


def _divide(numerator: Float64Array, denominator: npt.NDArray[np.generic]) -> Float64Array:
    result = np.full(len(numerator), math.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result
