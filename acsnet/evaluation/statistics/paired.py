"""Paired tests of two networks on the same images, by scipy and statsmodels; two-sided, images taken as independent."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.evaluation.statistics.results import PairedTest


def check_pairs(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    """Check that there is one value an image on both sides.

    Raises:
        InputError: for other ranks than 1, or different lengths.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(f"received shapes {first.shape} and {second.shape}: expected (N,) twice, a value an image")


def wilcoxon_test(first: npt.ArrayLike, second: npt.ArrayLike) -> PairedTest:
    """Wilcoxon's signed-rank test of a value an image, as Dice.

    Images where both are equal keep their ranks and stand on neither side (Pratt 1959): leaving them out, as Wilcoxon
    did, hides how often the networks agree. Where all are equal, the p-value is 1.

    Args:
        first, second: (N,) the values of the two networks; NaN stands for none, and leaves the image out.

    Returns:
        The difference is that of the means; the statistic is the smaller sum of ranks.

    Raises:
        InputError: for other shapes.
    """
    from scipy.stats import wilcoxon

    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    check_pairs(one, other)
    differences = one - other
    differences = differences[~np.isnan(differences)]
    n, left_out = len(differences), len(one) - len(differences)
    if n == 0:
        return PairedTest(math.nan, math.nan, math.nan, 0, left_out, "no image has a value of both")
    if not differences.any():
        return PairedTest(0.0, 0.0, 1.0, n, left_out, "both are equal on every image")
    result = wilcoxon(differences, zero_method="pratt")
    return PairedTest(float(differences.mean()), float(result.statistic), float(result.pvalue), n, left_out, "")


def mcnemar_test(first: npt.ArrayLike, second: npt.ArrayLike) -> PairedTest:
    """McNemar's test of which images are classified right, exact (binomial), so that few images are no matter.

    Args:
        first, second: (N,) whether each of the two networks is right.

    Returns:
        The difference is that of the accuracies; the statistic is the smaller number of images that only one of the two
        has right. Without such an image the p-value is 1.

    Raises:
        InputError: for other shapes.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    one, other = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    check_pairs(one, other)
    if not len(one):
        return PairedTest(math.nan, math.nan, math.nan, 0, 0, "there is no image")
    only_first, only_second = np.count_nonzero(one & ~other), np.count_nonzero(other & ~one)
    difference = (only_first - only_second) / len(one)
    if only_first == only_second == 0:
        return PairedTest(difference, 0.0, 1.0, len(one), 0, "both are right on the same images")
    result = mcnemar([[0, only_first], [only_second, 0]], exact=True)
    return PairedTest(difference, float(result.statistic), float(result.pvalue), len(one), 0, "")
