"""Figures as cells of tables."""

import math
from dataclasses import replace

from acsnet.report.tables import Cell
from acsnet.statistics import FoldSummary, Interval
from acsnet.statistics.texts import figure_text

# Distances are in pixels: no thousandths of them.
_DIGITS = {"hd95_lesion": 1}


def digits_of(measure: str) -> int:
    """With how many decimals a measure is written."""
    return _DIGITS.get(measure, 3)


def interval_cell(interval: Interval, digits: int = 3, marks: str = "", best: bool = False) -> Cell:
    """An estimate with its interval; an undefined one is a dash."""
    cell = Cell(figure_text(interval.estimate, digits), marks=marks, best=best)
    if math.isnan(interval.low):
        return cell
    return replace(cell, low=figure_text(interval.low, digits), high=figure_text(interval.high, digits))


def add_folds(cell: Cell, summary: FoldSummary | None, digits: int) -> Cell:
    """The same with mean and standard deviation over folds, where several have the figure."""
    if summary is None or summary.deviation is None:
        return cell
    return replace(cell, mean=figure_text(summary.mean, digits), deviation=figure_text(summary.deviation, digits))
