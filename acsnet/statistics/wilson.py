"""Wilson's confidence interval of a fraction of independent images."""

import math

from acsnet.errors import InputError
from acsnet.statistics.results import Interval


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Compute a fraction of images with Wilson's score interval (Wilson 1927, JASA 22, without continuity correction).

    It treats images as independent. Unlike a bootstrap interval, it has a width if all images are successes.

    Args:
        successes: number of images that count, 0 to n.
        n: number of images; without any, everything is NaN.
        level: confidence level, between 0 and 1.

    Raises:
        InputError: if the numbers or the level are out of range.

    Example:
        >>> from acsnet.statistics import wilson_interval
        >>> interval = wilson_interval(9, 10)
        >>> f"{interval.estimate:.2f} [{interval.low:.3f}, {interval.high:.3f}]"
        '0.90 [0.596, 0.982]'
    """
    if not 0 <= successes <= n or not 0 < level < 1:
        raise InputError(
            f"received {successes} of {n} images and the level {level}: expected 0 to {n} images and a level between 0 "
            "and 1"
        )
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, "no such images")
    # The import takes a third of a second.
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(interval.low), float(interval.high), level, "")
