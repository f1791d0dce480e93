"""The variance of an area under the ROC curve, and the test of two of the same images, by DeLong's method.

DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44, 837-845), computed from midranks in O(n log n) as Sun and Xu 2014
(IEEE Signal Processing Letters 21, 1389-1393) showed; neither scipy nor statsmodels has it. Images that come in groups
are not independent: their parts of the variance are added up group by group (Obuchowski 1997, Biometrics 53, 567-578),
which with one image a group is DeLong's variance.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.statistics.paired import check_pairs, group_numbers
from acsnet.statistics.results import FloatArray, Interval, PairedTest

_TOO_FEW = "needs images of the class, and of the others, of two groups each, has"


def auroc_covariance(
    positive: npt.ArrayLike, scores: npt.ArrayLike, groups: Sequence[str] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Give the areas under the ROC curves of several networks on the same images, and their covariance.

    Args:
        positive: (N,) which images are of the class.
        scores: (M, N) finite; higher speaks for the class. Equal scores count half.
        groups: (N,) the group of each image; by default each is alone.

    Returns:
        The areas (M,), NaN without an image of the class or without another, and their covariance (M, M), NaN where
        less than two groups have either.

    Raises:
        InputError: for other shapes, or a score that is not finite.
    """
    from scipy.stats import rankdata

    is_positive, values = np.asarray(positive, np.bool_), np.asarray(scores, np.float64)
    if is_positive.ndim != 1 or values.ndim != 2 or values.shape[1] != len(is_positive):
        raise InputError(f"received shapes {is_positive.shape} and {values.shape}: expected (N,) and (M, N)")
    if not np.isfinite(values).all():
        raise InputError("a score is not a finite number: every image needs one of each network")
    of_class, others = values[:, is_positive], values[:, ~is_positive]
    networks, n_class, n_others = len(values), of_class.shape[1], others.shape[1]
    if not n_class or not n_others:
        return np.full(networks, math.nan), np.full((networks, networks), math.nan)
    ranks = rankdata(values, axis=1)
    # The share of the others that an image of the class is above, and of the class that another is below.
    above = (ranks[:, is_positive] - rankdata(of_class, axis=1)) / n_others
    below = 1 - (ranks[:, ~is_positive] - rankdata(others, axis=1)) / n_class
    areas = above.mean(axis=1)
    numbers = group_numbers(groups, len(is_positive))
    if min(len(np.unique(numbers[is_positive])), len(np.unique(numbers[~is_positive]))) < 2:
        return areas, np.full((networks, networks), math.nan)
    of_class = _group_sums((above - areas[:, None]) / n_class, numbers[is_positive], numbers)
    others = _group_sums((below - areas[:, None]) / n_others, numbers[~is_positive], numbers)
    mixed = _product(of_class, others, numbers)
    covariance = _product(of_class, of_class, numbers[is_positive]) + _product(others, others, numbers[~is_positive])
    return areas, covariance + mixed + mixed.T


def _group_sums(parts: FloatArray, numbers: npt.NDArray[np.intp], of_all: npt.NDArray[np.intp]) -> FloatArray:
    """The sums (M, G) of each network's parts (M, n) over the images of each group."""
    return np.stack([np.bincount(numbers, row, minlength=int(of_all.max()) + 1) for row in parts])


def _product(first: FloatArray, second: FloatArray, numbers: npt.NDArray[np.intp]) -> FloatArray:
    """The sum over groups of products (M, M), as an unbiased estimate from as many groups as there are numbers."""
    groups = len(np.unique(numbers))
    return groups / (groups - 1) * first @ second.T


def delong_interval(
    positive: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95, groups: Sequence[str] | None = None
) -> Interval:
    """The area under the ROC curve with its interval by the normal distribution, cut off at 0 and 1.

    Args:
        positive: (N,) which images are of the class.
        scores: (N,) finite; higher speaks for the class.
        level: of confidence, 0-1, both excluded.
        groups: (N,) the group of each image; by default each is alone.

    Raises:
        InputError: for other shapes, a score that is not finite, or another level.
    """
    from scipy.stats import norm

    if not 0 < level < 1:
        raise InputError(f"the level of confidence is {level}: expected a number between 0 and 1, as 0.95")
    (area,), ((variance,),) = auroc_covariance(positive, np.asarray(scores)[None], groups)
    if math.isnan(variance):
        return Interval(float(area), math.nan, math.nan, level, _too_few(positive, groups))
    half = float(norm.ppf((1 + level) / 2) * math.sqrt(variance))
    reason = "" if variance > 0 else "the estimated variance is 0: that the interval is a point is no sign of certainty"
    return Interval(float(area), max(0.0, float(area) - half), min(1.0, float(area) + half), level, reason)


def delong_test(
    positive: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, groups: Sequence[str] | None = None
) -> PairedTest:
    """Test whether two networks have the same area under the ROC curve.

    Args:
        positive: (N,) which images are of the class.
        first, second: (N,) finite scores of the two networks; higher speaks for the class.
        groups: (N,) the group of each image; by default each is alone.

    Returns:
        The statistic is the standardized difference z. Networks that order the images alike have p-value 1.

    Raises:
        InputError: for other shapes, or a score that is not finite.
    """
    from scipy.stats import norm

    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    check_pairs(one, other)
    areas, covariance = auroc_covariance(positive, np.stack([one, other]), groups)
    images, difference = len(np.asarray(positive)), float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance):
        return PairedTest(difference, math.nan, math.nan, images, 0, _too_few(positive, groups))
    # What is left of a variance that is 0 but for rounding.
    if variance <= 1e-12:
        if abs(difference) <= 1e-12:
            return PairedTest(0.0, 0.0, 1.0, images, 0, "both order the images alike")
        return PairedTest(difference, math.nan, math.nan, images, 0, "the estimated variance is 0")
    by_group = groups is not None and len(set(groups)) < images
    z = difference / math.sqrt(variance)
    return PairedTest(difference, z, float(2 * norm.sf(abs(z))), images, 0, "", by_group)


def _too_few(positive: npt.ArrayLike, groups: Sequence[str] | None) -> str:
    is_positive = np.asarray(positive, np.bool_)
    numbers = group_numbers(groups, len(is_positive))
    return f"{_TOO_FEW} {len(np.unique(numbers[is_positive]))} and {len(np.unique(numbers[~is_positive]))}"
