"""Confidence intervals by the bootstrap of groups of images.

Images of one group (copies of a scan, images of a patient) resemble each other: resampling them as if they were
independent makes intervals too narrow. So whole groups are drawn, with replacement, as many as there are: the cluster
bootstrap (Field and Welsh 2007, Journal of the Royal Statistical Society B 69, 369-390). Intervals lie between
percentiles of the resamples (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13).

scipy.stats.bootstrap draws single images and draws anew for every statistic; here the draws are those of groups, and
the same for every statistic, so that differences of networks are paired.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.statistics.results import FloatArray, Interval
from acsnet.statistics.statistic import Statistic, mean_of, of_all

# The share of resamples without, say, a malignant case, above which the rest no longer stands for all: about what comes
# up where three groups have the class.
MOST_UNDEFINED = 0.05
# How many values are resampled at once: 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class BootstrapInterval(Interval):
    """A bootstrap confidence interval.

    Attributes:
        resamples: how many the interval is of.
        undefined: how many more were left out because the statistic is undefined for them.
        groups: how many there are to draw from.
    """

    resamples: int
    undefined: int
    groups: int


@dataclass(frozen=True)
class Resampled:
    """A statistic of the images, and of each resample of them.

    The difference of two of them, drawn by the same :class:`ClusterBootstrap`, is the difference of the statistics.

    Attributes:
        estimate: of the images as they are.
        distribution: (R,) of the resamples, NaN where undefined.
        groups: how many were drawn from.
        reason: why the estimate is NaN, where more is known of it than that.
    """

    estimate: float
    distribution: FloatArray
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
        """The percentile interval; NaN, with the reason, where it cannot be given.

        Args:
            level: of confidence, 0-1, both excluded.

        Raises:
            InputError: for another level.
        """
        if not 0 < level < 1:
            raise InputError(f"the level of confidence is {level}: expected a number between 0 and 1, as 0.95")
        defined = self.distribution[~np.isnan(self.distribution)]
        undefined = len(self.distribution) - len(defined)
        reason = self._missing(undefined)
        if reason:
            low = high = math.nan
        else:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
            if np.ptp(defined) == 0:
                reason = "every resample gives the same: that the interval is a point is no sign of certainty"
        return BootstrapInterval(
            self.estimate, low, high, level, reason, resamples=len(defined), undefined=undefined, groups=self.groups
        )

    def _missing(self, undefined: int) -> str:
        if math.isnan(self.estimate):
            return self.reason or "undefined for these images"
        if self.groups == 1:
            return "all images are of one group: there is nothing to resample"
        if undefined > MOST_UNDEFINED * len(self.distribution):
            return f"undefined for {undefined} of {len(self.distribution)} resamples: too few groups have such images"
        return ""


class ClusterBootstrap:
    """Resamples of whole groups of images, the same ones for every statistic.

    Args:
        groups: the group of each image (N,).
        resamples: how many; with 2000 the bounds of a 95 % interval wander by about 2 % of its width.
        seed: the same gives the same resamples.

    Raises:
        InputError: for no image or no resample.
    """

    def __init__(self, groups: Sequence[str], resamples: int = 2000, seed: int = 0) -> None:
        if not len(groups) or resamples < 1:
            raise InputError(f"received {len(groups)} images and {resamples} resamples: expected at least one of each")
        self._images = len(groups)
        names, self._group = np.unique(np.asarray(groups), return_inverse=True)
        self._groups = len(names)
        drawn = np.random.default_rng(seed).integers(self._groups, size=(resamples, self._groups))
        self._counts = np.stack([np.bincount(row, minlength=self._groups) for row in drawn]).astype(np.int32)

    def resample(self, statistic: Statistic) -> Resampled:
        """Compute a statistic of the images and of each resample."""
        rows = max(1, _CHUNK // self._images)
        chunks = [
            statistic(self._counts[start : start + rows, self._group].astype(np.float64))
            for start in range(0, len(self._counts), rows)
        ]
        return Resampled(of_all(statistic, self._images), np.concatenate(chunks), self._groups)

    def interval(self, statistic: Statistic, level: float = 0.95) -> BootstrapInterval:
        """The percentile interval of a statistic; NaN, with the reason, where it cannot be given.

        Raises:
            InputError: for a level that is not between 0 and 1.
        """
        return self.resample(statistic).interval(level)


def bootstrap_mean(
    values: npt.ArrayLike, groups: Sequence[str], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> BootstrapInterval:
    """The mean over images of a value an image (N,), NaN left out, with its interval by resampling groups (N,).

    Raises:
        InputError: for lengths that differ, no image, no resample, or a level that is not between 0 and 1.
    """
    known = np.asarray(values, np.float64)
    if known.shape != (len(groups),):
        raise InputError(f"received values of shape {known.shape} and {len(groups)} groups: expected one each an image")
    return ClusterBootstrap(groups, resamples, seed).interval(mean_of(known), level)
