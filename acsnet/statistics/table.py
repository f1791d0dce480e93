"""A comparison as tables for the terminal."""

from collections.abc import Iterator

from acsnet._utils.tables import format_table
from acsnet.statistics.compare import Comparison, NetworkPair
from acsnet.statistics.measures import MEASURES
from acsnet.statistics.texts import interval_text, p_value_text, spread_text

_HEADLINES = {key: measure for key, measure in MEASURES.items() if measure.headline}


def comparison_table(comparison: Comparison) -> str:
    """Lay out a comparison for people: estimates, folds, tests, and what to know; undefined figures are dashes."""
    parts = [_estimates(comparison)]
    if any(network.runs > 1 for network in comparison.networks):
        parts.append(_folds(comparison))
    if comparison.pairs:
        parts.append(_tests(comparison))
    notes = [*comparison.notes, *dict.fromkeys(_reasons(comparison))]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def _estimates(comparison: Comparison) -> str:
    rows = [[f"{comparison.level:.0%} intervals", *(measure.title for measure in _HEADLINES.values())]]
    rows += [
        [network.name, *(interval_text(network.estimates[key]) for key in _HEADLINES)]
        for network in comparison.networks
    ]
    return format_table(rows)


def _folds(comparison: Comparison) -> str:
    rows = [["mean ± deviation over folds", "folds", *(measure.title for measure in _HEADLINES.values())]]
    for network in comparison.networks:
        figures = (spread_text(network.folds.get(measure.metric)) for measure in _HEADLINES.values())
        rows.append([network.name, str(network.runs), *figures])
    return format_table(rows)


def _tests(comparison: Comparison) -> str:
    rows = [["pair", "measure", "difference", "test", "images", "p", "p (Holm)"]]
    rows += [
        [
            f"{pair.first} - {pair.second}",
            MEASURES[pair.measure].title,
            interval_text(pair.difference),
            MEASURES[pair.measure].test_title + (" by group" if pair.test.by_group else ""),
            str(pair.test.n),
            p_value_text(pair.test.p_value),
            p_value_text(pair.adjusted_p),
        ]
        for pair in comparison.pairs
    ]
    return format_table(rows)


def _reasons(comparison: Comparison) -> Iterator[str]:
    for network in comparison.networks:
        for key, measure in _HEADLINES.items():
            reason = network.estimates[key].reason
            if reason:
                yield f"{measure.title}, {network.name}: {reason}"
    for pair in comparison.pairs:
        if pair.test.reason:
            yield f"{_title(pair)}: {pair.test.reason}"


def _title(pair: NetworkPair) -> str:
    measure = MEASURES[pair.measure]
    return f"{measure.test_title} ({measure.title}), {pair.first} - {pair.second}"
