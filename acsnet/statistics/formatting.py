"""Text and table cells for values, intervals and p-values; undefined values are dashes."""

import math
from collections.abc import Iterable
from dataclasses import replace

from acsnet._utils.tables import Cell
from acsnet.statistics.folds import FoldSummary
from acsnet.statistics.results import Interval

UNDEFINED = "-"


def format_value(value: float | None, digits: int = 3) -> str:
    """Return a value with this many decimals; None and NaN are undefined."""
    return UNDEFINED if value is None or math.isnan(value) else f"{value:.{digits}f}"


def format_bounds(interval: Interval, digits: int = 3) -> str:
    """Return the bounds of an interval: "0.712, 0.771"."""
    if math.isnan(interval.low):
        return UNDEFINED
    return f"{interval.low:.{digits}f}, {interval.high:.{digits}f}"


def format_spread(summary: FoldSummary | None, digits: int = 3) -> str:
    """Return mean and standard deviation over folds, "0.742 ± 0.021", and the number of folds if some are undefined."""
    if summary is None or summary.mean is None:
        return UNDEFINED
    defined = f" ({summary.folds})" if summary.undefined else ""
    return f"{summary.mean:.{digits}f} ± {format_value(summary.deviation, digits)}{defined}"


def format_p_value(value: float) -> str:
    """Return a p-value with three decimals, or "< 0.001"."""
    return "< 0.001" if value < 0.001 else format_value(value)


def merge_reasons(reasons: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Merge the titles and the names that share a reason, so that it stands there once.

    Args:
        reasons: title of a metric, name of a network or pair, and reason.

    Returns:
        Titles, names and reason, where titles and names may be several: "Dice, IoU", "unet, acsnet".
    """
    titles: dict[tuple[str, str], list[str]] = {}
    for title, name, reason in reasons:
        titles.setdefault((name, reason), []).append(title)
    names: dict[tuple[str, str], list[str]] = {}
    for (name, reason), own in titles.items():
        names.setdefault((", ".join(own), reason), []).append(name)
    return [(title, ", ".join(own), reason) for (title, reason), own in names.items()]


def interval_cell(interval: Interval, digits: int = 3, marks: str = "", best: bool = False) -> Cell:
    """Return the table cell of an estimate with its interval."""
    cell = Cell(format_value(interval.estimate, digits), marks=marks, best=best)
    if math.isnan(interval.low):
        return cell
    return replace(cell, low=format_value(interval.low, digits), high=format_value(interval.high, digits))


def add_folds(cell: Cell, summary: FoldSummary | None, digits: int) -> Cell:
    """Return the cell with mean and standard deviation over folds, if at least two folds have the value."""
    if summary is None or summary.deviation is None:
        return cell
    return replace(cell, mean=format_value(summary.mean, digits), deviation=format_value(summary.deviation, digits))
