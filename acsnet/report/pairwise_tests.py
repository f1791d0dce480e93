"""Tables of the paired tests of a comparison."""

import math
from collections.abc import Iterator, Sequence

from acsnet._utils.html import percent
from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.report.significance import SIGNIFICANCE_LEVEL
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison, NetworkPair
from acsnet.statistics.formatting import format_bounds, format_p_value, format_value, merge_reasons


def paired_test_tables(comparison: Comparison) -> list[Table]:
    """Return one table per tested metric: every pair of networks, or every network against the reference.

    Pairs in which a network does not have the metric are left out, with a note.
    """
    tables = []
    for name in dict.fromkeys(pair.metric for pair in comparison.pairs):
        pairs = [pair for pair in comparison.pairs if pair.metric == name]
        tested = [pair for pair in pairs if not math.isnan(pair.difference.estimate)]
        if tested:
            tables.append(_table(comparison, name, tested, [pair for pair in pairs if pair not in tested]))
    return tables


def _table(comparison: Comparison, name: str, tested: Sequence[NetworkPair], left_out: Sequence[NetworkPair]) -> Table:
    metric, first = METRICS[name], tested[0].test
    by_group = ", by group" if any(pair.test.by_group for pair in tested) else ""
    against = "every pair of networks" if comparison.reference is None else f"against {comparison.reference}"
    interval = f"{percent(comparison.level, 0)} interval"
    return Table(
        "first - second",
        [Column("difference"), Column(interval), Column("p"), Column("p (Holm)")],
        [_row(pair) for pair in tested],
        f"tests_{name}",
        f"{metric.title}: {metric.test_title}'s test{by_group}, {first.n} images, {against}",
        [
            *dict.fromkeys(f"Not tested: {pair.test.reason}." for pair in left_out),
            *(f"{names}: {reason}." for _, names, reason in merge_reasons(_reasons(tested))),
        ],
        [
            f"Differences are first minus second, with uncorrected {interval}s. Bold: p below {SIGNIFICANCE_LEVEL} "
            "after Holm's correction, which is separate for each metric."
        ],
    )


def _reasons(pairs: Sequence[NetworkPair]) -> Iterator[tuple[str, str, str]]:
    for pair in pairs:
        for reason in filter(None, (pair.difference.reason, pair.test.reason)):
            yield METRICS[pair.metric].title, _name(pair), reason


def _row(pair: NetworkPair) -> Row:
    digits = METRICS[pair.metric].digits
    cells = [
        Cell(format_value(pair.difference.estimate, digits)),
        Cell(format_bounds(pair.difference, digits)),
        Cell(format_p_value(pair.test.p_value)),
        Cell(format_p_value(pair.adjusted_p), best=pair.adjusted_p < SIGNIFICANCE_LEVEL),
    ]
    return Row(_name(pair), cells)


def _name(pair: NetworkPair) -> str:
    return f"{pair.first} - {pair.second}"
