"""Results of interval estimation and of paired tests, with the reason for each undefined value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: the value on all images; NaN if undefined.
        low, high: the bounds; NaN if undefined.
        level: the confidence level, 0-1.
        reason: why a value is NaN, or a caveat about the interval; otherwise "".
    """

    estimate: float
    low: float
    high: float
    level: float
    reason: str


@dataclass(frozen=True)
class PairedTest:
    """The result of a two-sided paired test of two networks on the same images.

    Attributes:
        difference: first network minus second, in the tested metric; NaN if undefined.
        statistic: the test statistic; NaN if the test is impossible.
        p_value: 0-1; NaN if the test is impossible.
        n: the number of compared images.
        left_out: the number of images without a value for one of the networks.
        reason: why a value is NaN, or why there was nothing to test; otherwise "".
        by_group: whether groups of images, rather than single images, were treated as independent.
    """

    difference: float
    statistic: float
    p_value: float
    n: int
    left_out: int
    reason: str
    by_group: bool = False
