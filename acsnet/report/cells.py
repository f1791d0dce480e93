"""Figures as cells of tables."""

import math
from dataclasses import replace

from acsnet.report.tables import Cell
from acsnet.statistics.folds import FoldSummary
from acsnet.statistics.results import Interval
from acsnet.statistics.formatting import format_value

# Distances are in pixels: no thousandths of them.
_DIGITS = {"hd95_lesion": 1}


def digits_of(measure: str) -> int:
    """With how many decimals a measure is written."""
    return _DIGITS.get(measure, 3)


def interval_cell(interval: Interval, digits: int = 3, marks: str = "", best: bool = False) -> Cell:
    """An estimate with its interval; an undefined one is a dash."""
    cell = Cell(format_value(interval.estimate, digits), marks=marks, best=best)
    if math.isnan(interval.low):
        return cell
    return replace(cell, low=format_value(interval.low, digits), high=format_value(interval.high, digits))


def add_folds(cell: Cell, summary: FoldSummary | None, digits: int) -> Cell:
    """The same with mean and standard deviation over folds, where several have the figure."""
    if summary is None or summary.deviation is None:
        return cell
    return replace(cell, mean=format_value(summary.mean, digits), deviation=format_value(summary.deviation, digits))
