"""The paired tests of a comparison as tables."""

import math
from collections.abc import Sequence

from acsnet._utils.html import percent
from acsnet.statistics.formatting import digits_of
from acsnet.report.significance import SIGNIFICANT
from acsnet.report.tables import Cell, Column, Row, Table
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison, NetworkPair
from acsnet.statistics.formatting import format_bounds, format_value, format_p_value


def paired_test_tables(comparison: Comparison) -> list[Table]:
    """Every pair of networks, or every network against the reference: a table a measure that has a test.

    Pairs of which one network does not give the measure are left out, with a note.
    """
    tables = []
    for measure in dict.fromkeys(pair.metric for pair in comparison.pairs):
        pairs = [pair for pair in comparison.pairs if pair.metric == measure]
        tested = [pair for pair in pairs if not math.isnan(pair.difference.estimate)]
        if tested:
            tables.append(_table(comparison, measure, tested, [pair for pair in pairs if pair not in tested]))
    return tables


def _table(
    comparison: Comparison, measure: str, tested: Sequence[NetworkPair], left_out: Sequence[NetworkPair]
) -> Table:
    about, first = METRICS[measure], tested[0].test
    by_group = ", by group" if any(pair.test.by_group for pair in tested) else ""
    against = "every pair of networks" if comparison.reference is None else f"against {comparison.reference}"
    interval = f"{percent(comparison.level, 0)} interval"
    return Table(
        f"tests_{measure}",
        f"{about.title}: {about.test_title}'s test{by_group}, {first.n} images, {against}",
        "first - second",
        [Column("difference"), Column(interval), Column("p"), Column("p (Holm)")],
        [_row(pair) for pair in tested],
        [
            *dict.fromkeys(f"Not tested: {pair.test.reason}." for pair in left_out),
            *(f"{_name(pair)}: {pair.test.reason}." for pair in tested if pair.test.reason),
        ],
        [
            f"Differences are first less second, with {interval}s that are not corrected. Bold: p below {SIGNIFICANT} "
            "after Holm's correction, each measure by itself."
        ],
    )


def _row(pair: NetworkPair) -> Row:
    digits = digits_of(pair.metric)
    cells = [
        Cell(format_value(pair.difference.estimate, digits)),
        Cell(format_bounds(pair.difference, digits)),
        Cell(format_p_value(pair.test.p_value)),
        Cell(format_p_value(pair.adjusted_p), best=pair.adjusted_p < SIGNIFICANT),
    ]
    return Row(_name(pair), cells)


def _name(pair: NetworkPair) -> str:
    return f"{pair.first} - {pair.second}"
