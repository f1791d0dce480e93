"""Figures of a set of images, computed for many resamples of it at once.

A :data:`Statistic` takes how often each image is in each resample, floats (R, N) of whole numbers, and gives the figure
of each resample, floats (R,), NaN where it is undefined. So a mean over images is one matrix product, whatever R.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.statistics.results import FloatArray

Statistic = Callable[[FloatArray], FloatArray]


def mean_of(values: npt.ArrayLike) -> Statistic:
    """The mean of a value an image (N,); NaN stands for none, and is left out."""
    known = np.asarray(values, np.float64)
    defined = ~np.isnan(known)
    sums = np.column_stack([np.where(defined, known, 0.0), defined])

    def statistic(counts: FloatArray) -> FloatArray:
        total, number = (counts @ sums).T
        return _ratio(total, number)

    return statistic


def macro_f1_of(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> Statistic:
    """The mean F1 of the classes, of true and predicted classes (N,): indices or names.

    As in :func:`acsnet.metrics.classification_metrics`, a class without a case is left out, and a class with cases that
    is never predicted has 0.
    """
    truth, called = np.asarray(labels), np.asarray(predicted)
    classes = np.unique(truth)

    def statistic(counts: FloatArray) -> FloatArray:
        f1, support = _f1_of_classes(truth, called, classes, counts)
        return _ratio(f1.sum(axis=1, where=support > 0), (support > 0).sum(axis=1))

    return statistic


def weighted_f1_of(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> Statistic:
    """As :func:`macro_f1_of`, but each class weighted by its number of cases."""
    truth, called = np.asarray(labels), np.asarray(predicted)
    classes = np.unique(truth)

    def statistic(counts: FloatArray) -> FloatArray:
        f1, support = _f1_of_classes(truth, called, classes, counts)
        return _ratio((f1 * support).sum(axis=1), support.sum(axis=1))

    return statistic


def class_f1_of(labels: npt.ArrayLike, predicted: npt.ArrayLike, name: int | str) -> Statistic:
    """The F1 of one class against the rest, of true and predicted classes (N,); undefined without a case of it."""
    truth, called = np.asarray(labels), np.asarray(predicted)

    def statistic(counts: FloatArray) -> FloatArray:
        f1, support = _f1_of_classes(truth, called, np.array([name]), counts)
        return np.where(support > 0, f1, math.nan)[:, 0]

    return statistic


def _f1_of_classes(
    truth: npt.NDArray[Any], called: npt.NDArray[Any], classes: npt.NDArray[Any], counts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The F1 of each class in each resample, and its number of cases there: (R, C) each."""
    is_class, called_class = truth[:, None] == classes, called[:, None] == classes
    support, calls = counts @ is_class, counts @ called_class
    return 2 * (counts @ (is_class & called_class)) / np.maximum(support + calls, 1), support


def auroc_of(positive: npt.ArrayLike, scores: npt.ArrayLike) -> Statistic:
    """The area under the ROC curve, of which images are positive (N,) and their scores (N,).

    It is the share of pairs of a positive and a negative image in which the positive has the higher score, ties counted
    half; undefined without a positive or a negative image.
    """
    is_positive, values = np.asarray(positive, np.bool_), np.asarray(scores, np.float64)
    order = np.argsort(values, kind="stable")
    is_positive = is_positive[order]
    # Where each run of equal scores begins.
    starts = np.flatnonzero(np.diff(values[order], prepend=-math.inf) > 0)

    def statistic(counts: FloatArray) -> FloatArray:
        ordered = counts[:, order]
        positives = np.add.reduceat(ordered * is_positive, starts, axis=1)
        negatives = np.add.reduceat(ordered * ~is_positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        return _ratio((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))

    return statistic


def figure_of(figure: Callable[[npt.NDArray[np.intp]], float]) -> Statistic:
    """Any figure of a set of images, given by their positions, in which an image may come several times.

    It is called once a resample, and gives NaN where it is undefined.
    """

    def statistic(counts: FloatArray) -> FloatArray:
        positions = np.arange(counts.shape[1])
        return np.array([figure(np.repeat(positions, row.astype(np.intp))) for row in counts], np.float64)

    return statistic


def of_all(statistic: Statistic, images: int) -> float:
    """The figure of all images, each once."""
    return float(statistic(np.ones((1, images)))[0])


def _ratio(numerator: FloatArray, denominator: npt.NDArray[np.generic]) -> FloatArray:
    result = np.full(len(numerator), math.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result
