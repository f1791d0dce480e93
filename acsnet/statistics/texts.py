"""Figures, intervals and p-values in words; what is undefined is a dash."""

import math

from acsnet.statistics.folds import FoldSummary
from acsnet.statistics.results import Interval

UNDEFINED = "-"


def figure_text(value: float | None, digits: int = 3) -> str:
    """A figure with so many decimals; None and NaN are undefined."""
    return UNDEFINED if value is None or math.isnan(value) else f"{value:.{digits}f}"


def bounds_text(interval: Interval, digits: int = 3) -> str:
    """The bounds of an interval: "0.712, 0.771"."""
    if math.isnan(interval.low):
        return UNDEFINED
    return f"{interval.low:.{digits}f}, {interval.high:.{digits}f}"


def interval_text(interval: Interval, digits: int = 3) -> str:
    """An estimate with its interval: "0.742 [0.712, 0.771]"."""
    if math.isnan(interval.estimate):
        return UNDEFINED
    return f"{figure_text(interval.estimate, digits)} [{bounds_text(interval, digits)}]"


def spread_text(summary: FoldSummary | None, digits: int = 3) -> str:
    """Mean and standard deviation over folds: "0.742 ± 0.021", with how many folds have the figure if some lack it."""
    if summary is None or summary.mean is None:
        return UNDEFINED
    missing = f" ({summary.folds})" if summary.undefined else ""
    return f"{summary.mean:.{digits}f} ± {figure_text(summary.deviation, digits)}{missing}"


def p_value_text(value: float) -> str:
    """A p-value with three decimals, or "< 0.001"."""
    return "< 0.001" if value < 0.001 else figure_text(value)
