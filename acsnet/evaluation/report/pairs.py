"""The paired tests of a comparison as a table."""

from acsnet.evaluation.report.cells import digits_of, interval_cell
from acsnet.evaluation.report.marks import SIGNIFICANT
from acsnet.evaluation.report.tables import Cell, Column, Row, Table
from acsnet.evaluation.statistics import MEASURES, Comparison, NetworkPair
from acsnet.evaluation.statistics.texts import p_value_text
from acsnet.web import percent

_COLUMNS = ("measure", "difference", "test", "images", "p", "p (Holm)")


def paired_test_table(comparison: Comparison) -> Table | None:
    """Every pair of networks, or every network against the reference, in every measure that has a test.

    None where there is no pair.
    """
    if not comparison.pairs:
        return None
    against = "of every pair of networks" if comparison.reference is None else f"against {comparison.reference}"
    reasons = (
        f"{MEASURES[pair.measure].title}, {_name(pair)}: {pair.test.reason}."
        for pair in comparison.pairs
        if pair.test.reason
    )
    return Table(
        "tests",
        f"Paired tests {against}",
        "pair",
        [Column(title, words=title == "measure") for title in _COLUMNS],
        [_row(pair) for pair in comparison.pairs],
        [
            f"Differences are first less second, with {percent(comparison.level, 0)} intervals that are not corrected.",
            f"Bold: p below {SIGNIFICANT} after Holm's correction, each measure by itself.",
            *dict.fromkeys(reasons),
        ],
    )


def _row(pair: NetworkPair) -> Row:
    measure = MEASURES[pair.measure]
    cells = [
        Cell(measure.title),
        interval_cell(pair.difference, digits_of(pair.measure)),
        Cell(measure.test_title + (" by group" if pair.test.by_group else "")),
        Cell(str(pair.test.n)),
        Cell(p_value_text(pair.test.p_value)),
        Cell(p_value_text(pair.adjusted_p), best=pair.adjusted_p < SIGNIFICANT),
    ]
    return Row(_name(pair), cells)


def _name(pair: NetworkPair) -> str:
    return f"{pair.first} - {pair.second}"
