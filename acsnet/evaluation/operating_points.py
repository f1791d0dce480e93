"""Choice of temperature and operating points, and their sensitivity and specificity on tested images."""

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import BoolArray, Float64Array
from acsnet.checkpoints import OperatingPoint, OperatingPoints, Rate
from acsnet.checkpoints.operating_points import MAX_TEMPERATURE, MIN_TEMPERATURE
from acsnet.errors import InputError
from acsnet.inference.class_decision import adjust_probabilities
from acsnet.labels import POSITIVE_CLASS
from acsnet.metrics._classes import check_probabilities
from acsnet.statistics.wilson import wilson_interval

DEFAULT_POINTS = ("specificity_90", "sensitivity_95")
# With fewer images, one image more or less changes a rate by more than a tenth.
MIN_IMAGES = 10
_NAME = re.compile(r"(sensitivity|specificity)_(\d{1,2}|100)")
_DECIMALS = 4
# For rounding errors of rates that are exactly the target.
_TOLERANCE = 1e-9
_SMALLEST_PROBABILITY = 1e-12


class Target(NamedTuple):
    """The rate that an operating point demands, and its value, 0 to 1."""

    aim: Literal["sensitivity", "specificity"]
    value: float


def parse_point(name: str) -> Target:
    """Return the target that the name of an operating point stands for.

    Raises:
        InputError: if it is not a name such as "specificity_90".

    Example:
        >>> from acsnet.evaluation.operating_points import parse_point
        >>> parse_point("sensitivity_95")
        Target(aim='sensitivity', value=0.95)
    """
    match = _NAME.fullmatch(name)
    if match is None or int(match[2]) == 0:
        raise InputError(
            f"the operating point is {name!r}: expected sensitivity_N or specificity_N with a percentage N from 1 to "
            "100, such as specificity_90"
        )
    return Target("sensitivity" if match[1] == "sensitivity" else "specificity", int(match[2]) / 100)


def choose_operating_points(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    class_names: Sequence[str],
    points: Sequence[str] = DEFAULT_POINTS,
    source: str = "",
    level: float = 0.95,
) -> OperatingPoints:
    """Choose a temperature and operating points on predictions for images that the networks have not seen.

    The temperature, :data:`MIN_TEMPERATURE` to :data:`MAX_TEMPERATURE`, minimizes the mean negative log-likelihood of
    the true class (Guo et al. 2017, "On Calibration of Modern Neural Networks"). An operating point
    ``specificity_90`` is the threshold with the highest sensitivity among those with a specificity of at least 0.9; if
    several have it, the one with the highest specificity. ``sensitivity_95`` is the reverse. Only thresholds between
    two neighboring probabilities are considered, halfway, so that images with equal probabilities are on one side. The
    order of the images does not matter.

    Args:
        labels: true class indices (N,).
        probabilities: class probabilities (N, K), before any temperature.
        class_names: the K classes; one of them is "malignant".
        points: names of the operating points.
        source: the predictions in words, for the result.
        level: confidence level of the intervals, which are Wilson's and treat images as independent.

    Raises:
        InputError: if values are not probabilities or NaN, if there are fewer than :data:`MIN_IMAGES` malignant or
            other images, if a name is unknown, or if no useful threshold reaches a target.

    Example:
        >>> from acsnet.evaluation import choose_operating_points
        >>> malignant = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.6]
        >>> malignant += [0.3, 0.5, 0.55, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
        >>> chosen = choose_operating_points(
        ...     [0] * 10 + [1] * 10, [[1 - p, p] for p in malignant], ["benign", "malignant"], ["specificity_90"]
        ... )
        >>> point = chosen.points["specificity_90"]
        >>> point.sensitivity.value, point.specificity.value, chosen.images
        (0.9, 0.9, 20)
    """
    names = list(class_names)
    if POSITIVE_CLASS not in names:
        raise InputError(f"the classes are {', '.join(names)}: operating points need the class {POSITIVE_CLASS!r}")
    targets = {name: parse_point(name) for name in points}
    truth, values = check_probabilities(labels, probabilities, len(names))
    positive = truth == names.index(POSITIVE_CLASS)
    _check_enough(positive)
    # Sorted: sums of floats depend on the order.
    order = np.lexsort((*values.T, truth))
    truth, values, positive = truth[order], values[order], positive[order]
    temperature = _fit_temperature(truth, values)
    scores = adjust_probabilities(values, temperature)[:, names.index(POSITIVE_CLASS)]
    return OperatingPoints(
        temperature=temperature,
        negative_log_likelihood=(_loss(truth, values, 1.0), _loss(truth, values, temperature)),
        points={name: _choose_point(name, target, positive, scores, level) for name, target in targets.items()},
        classes={name: int((truth == index).sum()) for index, name in enumerate(names)},
        source=source,
        level=level,
    )


def rate_operating_points(
    points: OperatingPoints,
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    class_names: Sequence[str],
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Compute the sensitivity and specificity of every operating point on tested images.

    Args:
        points: the operating points of the checkpoint.
        labels: true class indices (N,).
        probabilities: class probabilities (N, K).
        class_names: the K classes; one of them is "malignant".
        temperature: the temperature that the probabilities already have.

    Returns:
        The content of :meth:`~acsnet.checkpoints.OperatingPoints.chosen`, and for each point under ``tested`` the
        ``sensitivity`` and ``specificity`` on the tested images, with their intervals.

    Raises:
        InputError: if the probabilities are invalid.
    """
    names = list(class_names)
    truth, values = check_probabilities(labels, probabilities, len(names))
    positive = truth == names.index(POSITIVE_CLASS)
    scores = adjust_probabilities(values, points.temperature / temperature)[:, names.index(POSITIVE_CLASS)]
    content = points.chosen()
    for name, point in points.points.items():
        sensitivity, specificity = _rates(positive, scores >= point.threshold, points.level)
        tested = {"sensitivity": sensitivity.model_dump(), "specificity": specificity.model_dump()}
        content["points"][name]["tested"] = tested
    return content


def _check_enough(positive: BoolArray) -> None:
    malignant, others = int(positive.sum()), int((~positive).sum())
    if malignant < MIN_IMAGES or others < MIN_IMAGES:
        raise InputError(
            f"operating points cannot be chosen on {malignant} images of {POSITIVE_CLASS!r} and {others} of other "
            f"classes: at least {MIN_IMAGES} of each are needed; pass the tests of all folds of a cross-validation by "
            "--predictions, or name more images by --set data.root=FOLDER"
        )


def _fit_temperature(truth: npt.NDArray[Any], values: Float64Array) -> float:
    """Return the temperature with the lowest negative log-likelihood, rounded."""
    from scipy.optimize import minimize_scalar

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    result = minimize_scalar(
        lambda log: _loss(truth, values, math.exp(log)), bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    candidates = (MIN_TEMPERATURE, round(math.exp(result.x), _DECIMALS), MAX_TEMPERATURE)
    return min(candidates, key=lambda temperature: _loss(truth, values, temperature))


def _loss(truth: npt.NDArray[Any], values: Float64Array, temperature: float) -> float:
    own = adjust_probabilities(values, temperature)[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(own, _SMALLEST_PROBABILITY)).mean())


def _choose_point(name: str, target: Target, positive: BoolArray, scores: Float64Array, level: float) -> OperatingPoint:
    distinct, inverse = np.unique(scores, return_inverse=True)
    counts = len(distinct)
    positives = np.bincount(inverse[positive], minlength=counts)
    negatives = np.bincount(inverse[~positive], minlength=counts)
    # Rates if the threshold is just below distinct[i]: images from i on are malignant.
    sensitivity = positives[::-1].cumsum()[::-1] / positives.sum()
    specificity = (negatives.cumsum() - negatives) / negatives.sum()
    aimed, other = (sensitivity, specificity) if target.aim == "sensitivity" else (specificity, sensitivity)
    # A threshold below or above all images is useless: one of the rates is 0.
    useful = (sensitivity > 0) & (specificity > 0)
    reached = useful & (aimed >= target.value - _TOLERANCE)
    if not reached.any():
        best = f"{aimed[useful].max():.3f}" if useful.any() else "none"
        raise InputError(
            f"no threshold reaches the operating point {name}: with both rates above 0 the highest {target.aim} is "
            f"{best}; choose a lower target, or leave it out"
        )
    index = max(np.flatnonzero(reached).tolist(), key=lambda i: (other[i], aimed[i]))
    threshold = (distinct[index - 1] + distinct[index]) / 2
    if threshold <= distinct[index - 1]:
        threshold = distinct[index]
    rates = _rates(positive, scores >= threshold, level)
    return OperatingPoint(
        threshold=float(threshold), aim=target.aim, target=target.value, sensitivity=rates[0], specificity=rates[1]
    )


def _rates(positive: BoolArray, predicted: BoolArray, level: float) -> tuple[Rate, Rate]:
    """Return sensitivity and specificity."""
    return _rate(predicted[positive], level), _rate(~predicted[~positive], level)


def _rate(correct: BoolArray, level: float) -> Rate:
    if not len(correct):
        return Rate(value=None, low=None, high=None, n=0)
    interval = wilson_interval(int(correct.sum()), len(correct), level)
    # Rounding errors can leave the range.
    low, high = max(0.0, interval.low), min(1.0, interval.high)
    return Rate(value=interval.estimate, low=low, high=high, n=len(correct))
