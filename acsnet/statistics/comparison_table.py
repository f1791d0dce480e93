"""A comparison of networks as plain-text tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.statistics.compare import Comparison
from acsnet.statistics.folds import summarize_published
from acsnet.statistics.formatting import format_p_value, format_spread, interval_cell, merge_reasons
from acsnet.statistics.metrics import METRICS

_HEADLINES = {key: metric for key, metric in METRICS.items() if metric.headline}
_COLUMNS = [Column(metric.title) for metric in _HEADLINES.values()]


def comparison_table(comparison: Comparison) -> str:
    """Return a comparison as text: estimates, folds, paired tests and notes; undefined values are dashes.

    Args:
        comparison: the result of :func:`~acsnet.statistics.compare`.
    """
    tables = [_estimates(comparison)]
    if any(network.runs > 1 for network in comparison.networks):
        tables.append(_folds(comparison))
    if comparison.pairs:
        tables.append(_tests(comparison))
    reasons = [f"{titles}, {names}: {reason}" for titles, names, reason in merge_reasons(_reasons(comparison))]
    notes = [*comparison.notes, *reasons]
    return "\n\n".join([*(table.to_text() for table in tables), *(["\n".join(notes)] if notes else [])])


def published_fold_tables(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return one table per publication as text: mean and standard deviation of its metrics over folds.

    Args:
        metrics: the metrics of each fold, as in ``metrics.json``, by the name of the network. Networks without the
            metrics of a publication are left out of its table.
    """
    summaries = {name: summarize_published(folds) for name, folds in metrics.items()}
    tables = []
    for publication in dict.fromkeys(key for summary in summaries.values() for key in summary):
        own = {name: summary[publication] for name, summary in summaries.items() if publication in summary}
        titles = [*dict.fromkeys(metric for values in own.values() for metric in values)]
        rows = [Row(name, [Cell(format_spread(values.get(title))) for title in titles]) for name, values in own.items()]
        tables.append(Table(f"as counted by {publication}, over folds", [*map(Column, titles)], rows).to_text())
    return tables


def _estimates(comparison: Comparison) -> Table:
    rows = [
        Row(network.name, [interval_cell(network.estimates[key]) for key in _HEADLINES])
        for network in comparison.networks
    ]
    return Table(f"{comparison.level:.0%} intervals", _COLUMNS, rows)


def _folds(comparison: Comparison) -> Table:
    rows = []
    for network in comparison.networks:
        spreads = [format_spread(network.folds.get(metric.json_name)) for metric in _HEADLINES.values()]
        rows.append(Row(network.name, [*map(Cell, (str(network.runs), *spreads))]))
    return Table("mean ± deviation over folds", [Column("folds"), *_COLUMNS], rows)


def _tests(comparison: Comparison) -> Table:
    titles = ("metric", "difference", "test", "images", "p", "p (Holm)")
    rows = [
        Row(
            f"{pair.first} - {pair.second}",
            [
                Cell(METRICS[pair.metric].title),
                interval_cell(pair.difference),
                Cell(METRICS[pair.metric].test_title + (" by group" if pair.test.by_group else "")),
                Cell(str(pair.test.n)),
                Cell(format_p_value(pair.test.p_value)),
                Cell(format_p_value(pair.adjusted_p)),
            ],
        )
        for pair in comparison.pairs
    ]
    return Table("pair", [*map(Column, titles)], rows)


def _reasons(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield metric or test, network or pair, and the reason for an undefined or unreliable value."""
    told = set()
    for network in comparison.networks:
        for key, metric in _HEADLINES.items():
            reason = network.estimates[key].reason
            if reason:
                told.add(reason)
                yield metric.title, network.name, reason
    for pair in comparison.pairs:
        metric, name = METRICS[pair.metric], f"{pair.first} - {pair.second}"
        if pair.difference.reason and pair.difference.reason not in told:
            yield metric.title, name, pair.difference.reason
        if pair.test.reason:
            yield f"{metric.test_title} ({metric.title})", name, pair.test.reason
