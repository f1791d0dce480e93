"""Paired tests of two networks on the same images, two-sided: by scipy and statsmodels where images are independent.

Images of one group are not, and taken as if they were, networks that are equal come out different far too often. Where
groups hold several images, each group's sum of signs or signed ranks is taken as independent of the others': under the
null hypothesis it is as likely to have the opposite sign, so that the variance of the total is the sum of the squares.
These are the tests of Rosner, Glynn and Lee 2006 (Biometrics 62, 185-192) and of Durkalski et al. 2003 (Statistics in
Medicine 22, 2417-2428), each without its weights for groups of different sizes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.statistics.results import PairedTest


def check_pairs(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    """Check that there is one value an image on both sides.

    Raises:
        InputError: for other ranks than 1, or different lengths.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(f"received shapes {first.shape} and {second.shape}: expected (N,) twice, a value an image")


def group_numbers(groups: Sequence[str] | None, images: int) -> npt.NDArray[np.intp]:
    """Number the groups of images: (N,) from 0; without groups each image is alone.

    Raises:
        InputError: for another number of groups than of images.
    """
    if groups is None:
        return np.arange(images)
    if len(groups) != images:
        raise InputError(f"received {images} images and the groups of {len(groups)}: expected one an image")
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def _test_sums(signed: npt.NDArray[np.float64], numbers: npt.NDArray[np.intp]) -> tuple[float, float]:
    """The standardized total of signed values (N,) whose sums of a group are independent, and its p-value."""
    from scipy.stats import norm

    sums = np.bincount(numbers, signed)
    spread = math.sqrt(float((sums**2).sum()))
    z = float(sums.sum()) / spread if spread else 0.0
    return z, float(2 * norm.sf(abs(z)))


def wilcoxon_test(first: npt.ArrayLike, second: npt.ArrayLike, groups: Sequence[str] | None = None) -> PairedTest:
    """Wilcoxon's signed-rank test of a value an image, as Dice.

    Images where both are equal keep their ranks and stand on neither side (Pratt 1959): leaving them out, as Wilcoxon
    did, hides how often the networks agree. Where all are equal, the p-value is 1.

    Args:
        first, second: (N,) the values of the two networks; NaN stands for none, and leaves the image out.
        groups: (N,) the group of each image; by default each is alone.

    Returns:
        The difference is that of the means; the statistic is the smaller sum of ranks, by group the standardized z.

    Raises:
        InputError: for other shapes.
    """
    from scipy.stats import rankdata, wilcoxon

    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    check_pairs(one, other)
    differences = one - other
    defined = ~np.isnan(differences)
    differences, numbers = differences[defined], group_numbers(groups, len(one))[defined]
    n, left_out = len(differences), len(one) - len(differences)
    if n == 0:
        return PairedTest(math.nan, math.nan, math.nan, 0, left_out, "no image has a value of both")
    if not differences.any():
        return PairedTest(0.0, 0.0, 1.0, n, left_out, "both are equal on every image")
    if len(np.unique(numbers)) < n:
        z, p_value = _test_sums(np.sign(differences) * rankdata(np.abs(differences)), numbers)
        return PairedTest(float(differences.mean()), z, p_value, n, left_out, "", by_group=True)
    result = wilcoxon(differences, zero_method="pratt")
    return PairedTest(float(differences.mean()), float(result.statistic), float(result.pvalue), n, left_out, "")


def mcnemar_test(first: npt.ArrayLike, second: npt.ArrayLike, groups: Sequence[str] | None = None) -> PairedTest:
    """McNemar's test of which images are classified right, exact (binomial), so that few images are no matter.

    Args:
        first, second: (N,) whether each of the two networks is right.
        groups: (N,) the group of each image; by default each is alone.

    Returns:
        The difference is that of the accuracies; the statistic is the smaller number of images that only one of the two
        has right, by group the standardized z. Without such an image the p-value is 1.

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
    numbers = group_numbers(groups, len(one))
    if len(np.unique(numbers)) < len(one):
        z, p_value = _test_sums(one.astype(float) - other, numbers)
        return PairedTest(difference, z, p_value, len(one), 0, "", by_group=True)
    result = mcnemar([[0, only_first], [only_second, 0]], exact=True)
    return PairedTest(difference, float(result.statistic), float(result.pvalue), len(one), 0, "")
