"""Confidence intervals by a bootstrap over groups of images.

Images of one group (copies of a scan, images of one patient) resemble each other, so resampling single images gives
intervals that are too narrow. The cluster bootstrap draws whole groups with replacement, as many as there are (Field
and Welsh 2007, Journal of the Royal Statistical Society B 69, 369-390). The bounds are percentiles of the resamples
(Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13).

scipy.stats.bootstrap draws single images, and draws again for every metric. Here all metrics share the same draws of
groups, so that differences between networks are paired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import Float64Array
from acsnet.errors import InputError
from acsnet.statistics.estimators import Estimator, estimate_once, mean_of
from acsnet.statistics.results import Interval

# The largest fraction of undefined resamples (those without a malignant case, for example) for which the others still
# represent the distribution. Three groups with the class give about this fraction.
MAX_UNDEFINED_FRACTION = 0.05
# 32 MB of float64.
_VALUES_PER_CHUNK = 4_000_000


@dataclass(frozen=True)
class BootstrapInterval(Interval):
    """A bootstrap confidence interval.

    Attributes:
        resamples: the number of resamples that the interval is based on.
        undefined: the number of further resamples for which the metric is undefined.
        groups: the number of groups.
    """

    resamples: int
    undefined: int
    groups: int


@dataclass(frozen=True)
class Resampled:
    """A metric on all images and on each resample.

    The difference of two of them, drawn by the same :class:`ClusterBootstrap`, is the paired difference of the metrics.

    Attributes:
        estimate: the metric on all images.
        distribution: the metric on each resample (R,), NaN where undefined.
        groups: the number of groups.
        reason: why the estimate is NaN, if known; otherwise "".
    """

    estimate: float
    distribution: Float64Array
    groups: int
    reason: str = ""

    def __sub__(self, other: "Resampled") -> "Resampled":
        return Resampled(
            estimate=self.estimate - other.estimate,
            distribution=self.distribution - other.distribution,
            groups=self.groups,
            reason=self.reason or other.reason,
        )

    def interval(self, level: float = 0.95) -> BootstrapInterval:
        """Compute the percentile interval; its bounds are NaN, with the reason, if it is undefined.

        Args:
            level: the confidence level, between 0 and 1.

        Raises:
            InputError: if the level is out of range.
        """
        if not 0 < level < 1:
            raise InputError(f"the confidence level is {level}: expected a number between 0 and 1, such as 0.95")
        defined = self.distribution[~np.isnan(self.distribution)]
        undefined = len(self.distribution) - len(defined)
        reason = self._why_undefined(undefined)
        if reason:
            low = high = math.nan
        else:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
            if np.ptp(defined) == 0:
                reason = "all resamples have the same value: an interval of width 0 does not mean certainty"
        return BootstrapInterval(
            self.estimate, low, high, level, reason, resamples=len(defined), undefined=undefined, groups=self.groups
        )

    def _why_undefined(self, undefined: int) -> str:
        if math.isnan(self.estimate):
            return self.reason or "undefined for these images"
        if self.groups == 1:
            return "all images are of one group: there is nothing to resample"
        if undefined > MAX_UNDEFINED_FRACTION * len(self.distribution):
            return f"undefined for {undefined} of {len(self.distribution)} resamples: too few groups have such images"
        return ""


class ClusterBootstrap:
    """Resamples of whole groups of images, the same for every metric.

    Args:
        groups: the group of each image (N,).
        resamples: the number of resamples. With 2000, the bounds of a 95 % interval vary by about 2 % of its width.
        seed: the seed of the draws.

    Raises:
        InputError: if there are no images or no resamples.

    Example:
        >>> from acsnet.statistics.estimators import auroc_of
        >>> bootstrap = ClusterBootstrap(["a", "a", "b", "c", "d", "e", "f", "g"])
        >>> malignant = [1, 1, 0, 1, 0, 1, 0, 0]
        >>> interval = bootstrap.interval(auroc_of(malignant, [0.9, 0.8, 0.3, 0.6, 0.7, 0.9, 0.2, 0.1]))
        >>> f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
        '0.94 [0.60, 1.00]'
    """

    def __init__(self, groups: Sequence[str], resamples: int = 2000, seed: int = 0) -> None:
        if not len(groups) or resamples < 1:
            raise InputError(f"received {len(groups)} images and {resamples} resamples: expected at least one of each")
        self._images = len(groups)
        names, self._group = np.unique(np.asarray(groups), return_inverse=True)
        self._groups = len(names)
        drawn = np.random.default_rng(seed).integers(self._groups, size=(resamples, self._groups))
        self._counts = np.stack([np.bincount(row, minlength=self._groups) for row in drawn]).astype(np.int32)

    def resample(self, estimator: Estimator) -> Resampled:
        """Compute a metric on all images and on each resample."""
        rows = max(1, _VALUES_PER_CHUNK // self._images)
        chunks = [
            estimator(self._counts[start : start + rows, self._group].astype(np.float64))
            for start in range(0, len(self._counts), rows)
        ]
        return Resampled(estimate_once(estimator, self._images), np.concatenate(chunks), self._groups)

    def interval(self, estimator: Estimator, level: float = 0.95) -> BootstrapInterval:
        """Compute the percentile interval of a metric; its bounds are NaN, with the reason, if it is undefined.

        Raises:
            InputError: if the level is not between 0 and 1.
        """
        return self.resample(estimator).interval(level)


def bootstrap_mean(
    values: npt.ArrayLike, groups: Sequence[str], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> BootstrapInterval:
    """Compute the mean of one value per image, such as Dice, with a confidence interval.

    Args:
        values: one value per image (N,); NaN is left out.
        groups: the group of each image (N,); groups are resampled as a whole.
        level: the confidence level, between 0 and 1.
        resamples: the number of resamples.
        seed: the seed of the draws.

    Raises:
        InputError: if the lengths differ, there are no images or no resamples, or the level is out of range.

    Example:
        >>> dice = [0.9, 0.85, 0.7, 0.95, 0.4, 0.8]
        >>> interval = bootstrap_mean(dice, ["a", "a", "b", "c", "d", "e"])
        >>> f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
        '0.767 [0.570, 0.886]'
    """
    known = np.asarray(values, np.float64)
    if known.shape != (len(groups),):
        raise InputError(
            f"received values of shape {known.shape} and {len(groups)} groups: expected one of each per image"
        )
    return ClusterBootstrap(groups, resamples, seed).interval(mean_of(known), level)
