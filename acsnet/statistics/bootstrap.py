"""Confidence intervals by a bootstrap over groups of images.

Images of one group (copies of a scan, images of one patient) resemble each other, so resampling single images gives
intervals that are too narrow. The cluster bootstrap draws whole groups with replacement, as many as there are (Field
and Welsh 2007, Journal of the Royal Statistical Society B 69, 369-390). The bounds are expanded percentiles of the
resamples (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American Statistician 69, 371-386).
Plain percentiles are too narrow for few groups: the variance of G resampled groups is too small by the factor
(G - 1) / G, and a normal quantile stands where a t quantile should (Cameron and Miller 2015, "A Practitioner's Guide to
Cluster-Robust Inference", Journal of Human Resources 50, 317-372). Expanded percentiles are those that are right for
the mean of G normal values. For many groups both are the same.

G is the number of groups that a metric rests on: those with a malignant case for the sensitivity, and those of the
rarer class for an AUROC. ``tests/statistics/test_coverage.py`` simulates how often 95 % intervals cover the truth, with
1 to 5 resembling images per group: for a mean Dice, 79 % with plain and 88 % with expanded percentiles at 5 groups,
88 % and 93 % at 10, and 94 % and 95 % at 40; for an AUROC, 84 % and 95 % at 10 groups. Bias-corrected percentiles (BCa)
cover less at 10 groups, and so do t intervals from the jackknife for most metrics. Means of values as skewed as the
lognormal distribution, such as distances, are covered less often: 86 % at 10 groups.

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
# With fewer groups, 95 % intervals of a mean Dice cover the truth in 84 % of the cases or less (tests/statistics/
# test_coverage.py).
FEW_GROUPS = 5
# 32 MB of float64.
_VALUES_PER_CHUNK = 4_000_000


@dataclass(frozen=True)
class BootstrapInterval(Interval):
    """A bootstrap confidence interval.

    Attributes:
        resamples: the number of resamples that the interval is based on.
        undefined: the number of further resamples for which the metric is undefined.
        groups: the number of groups that the metric rests on.
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
        groups: the number of groups that the metric rests on: those with images of the rarest kind that it needs.
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
            groups=min(self.groups, other.groups),
            reason=self.reason or other.reason,
        )

    def interval(self, level: float = 0.95) -> BootstrapInterval:
        """Compute the interval of expanded percentiles; its bounds are NaN, with the reason, if it is undefined.

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
            tail = _tail(level, self.groups)
            low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
            reason = self._why_unreliable(np.ptp(defined) == 0)
        return BootstrapInterval(
            self.estimate, low, high, level, reason, resamples=len(defined), undefined=undefined, groups=self.groups
        )

    def _why_undefined(self, undefined: int) -> str:
        if math.isnan(self.estimate):
            return self.reason or "undefined for these images"
        if self.groups < 2:
            return "the images are of one group: there is nothing to resample"
        if undefined > MAX_UNDEFINED_FRACTION * len(self.distribution):
            return f"undefined for {undefined} of {len(self.distribution)} resamples: too few groups have such images"
        return ""

    def _why_unreliable(self, constant: bool) -> str:
        if constant:
            return "all resamples have the same value: an interval of width 0 does not mean certainty"
        if self.groups < FEW_GROUPS:
            return f"the images are of only {self.groups} groups: the interval is unreliable, probably too narrow"
        return ""


def _tail(level: float, groups: int) -> float:
    """Return the fraction of resamples below the lower bound, which is also that above the upper bound."""
    # The import takes a third of a second.
    from scipy.stats import norm, t

    quantile = float(t.ppf((1 + level) / 2, groups - 1))
    return float(norm.cdf(-math.sqrt(groups / (groups - 1)) * quantile))


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
        '0.94 [0.20, 1.00]'
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
        groups = min((len(np.unique(self._group[kind])) for kind in estimator.needs), default=self._groups)
        return Resampled(estimate_once(estimator, self._images), np.concatenate(chunks), groups)

    def interval(self, estimator: Estimator, level: float = 0.95) -> BootstrapInterval:
        """Compute the interval of a metric; its bounds are NaN, with the reason, if it is undefined.

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
        '0.767 [0.460, 0.925]'
    """
    known = np.asarray(values, np.float64)
    if known.shape != (len(groups),):
        raise InputError(
            f"received values of shape {known.shape} and {len(groups)} groups: expected one of each per image"
        )
    return ClusterBootstrap(groups, resamples, seed).interval(mean_of(known), level)
