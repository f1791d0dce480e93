"""What an interval and a test say, and why one says nothing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: of the images as they are; NaN where it is undefined for them.
        low, high: the bounds; NaN where they cannot be given.
        level: of confidence, 0-1.
        reason: why a figure is NaN, or what is odd about the interval; else "".
    """

    estimate: float
    low: float
    high: float
    level: float
    reason: str


@dataclass(frozen=True)
class PairedTest:
    """The outcome of a two-sided test of two networks on the same images.

    Attributes:
        difference: of the first network from the second, in what the test is about; NaN where undefined.
        statistic: of the test; NaN where the test cannot be done.
        p_value: 0-1; NaN where the test cannot be done.
        n: the images compared.
        left_out: images without a value for one of the two.
        reason: why a figure is NaN, or why there was nothing to test; else "".
        by_group: whether groups of images, rather than images, were taken as independent.
    """

    difference: float
    statistic: float
    p_value: float
    n: int
    left_out: int
    reason: str
    by_group: bool = False
