"""Marks of significance: the networks that a network is significantly better than."""

from collections.abc import Iterator
from string import ascii_lowercase

from acsnet._utils.html import percent
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison

# Differences with a smaller p-value, after Holm's correction, are marked.
SIGNIFICANCE_LEVEL = 0.05


def network_letters(comparison: Comparison) -> dict[str, str]:
    """Return the letter of each network; empty for tests against one reference, or for a single network."""
    names = [network.name for network in comparison.networks]
    if comparison.reference is not None or len(names) < 2:
        return {}
    # Letters are doubled from the 27th network on.
    return {name: ascii_lowercase[index % 26] * (index // 26 + 1) for index, name in enumerate(names)}


def significance_marks(comparison: Comparison) -> dict[tuple[str, str], str]:
    """Return the marks by network and metric: letters of the networks that it is better than, or a star.

    A network is better if its value is better and the test finds a difference. With a reference, a star marks a
    difference in either direction.
    """
    letters = network_letters(comparison)
    marks: dict[tuple[str, str], list[str]] = {}
    for pair in comparison.pairs:
        # The p-value of an impossible test is NaN.
        if not pair.adjusted_p < SIGNIFICANCE_LEVEL:
            continue
        if comparison.reference is not None:
            marks.setdefault((pair.first, pair.metric), []).append("*")
            continue
        first_is_better = (pair.difference.estimate > 0) != METRICS[pair.metric].lower_is_better
        better, worse = (pair.first, pair.second) if first_is_better else (pair.second, pair.first)
        marks.setdefault((better, pair.metric), []).append(letters[worse])
    return {key: ("" if comparison.reference else " ").join(sorted(found)) for key, found in marks.items()}


def explain_marks(comparison: Comparison) -> Iterator[str]:
    """Yield the sentences that explain the tables of a comparison."""
    several = any(network.runs > 1 for network in comparison.networks)
    folds = ", and mean ± standard deviation over folds" if several else ""
    yield f"Below each value: its {percent(comparison.level, 0)} interval by a bootstrap over groups{folds}."
    tested = ", ".join(metric.title for metric in METRICS.values() if metric.test)
    if comparison.pairs and comparison.reference is None:
        yield (
            f"Superscript letters: the networks that it is significantly better than, p below {SIGNIFICANCE_LEVEL} "
            f"after Holm's correction over all pairs. Tested metrics: {tested}."
        )
    elif comparison.pairs:
        yield (
            f"Star: it differs from {comparison.reference}, p below {SIGNIFICANCE_LEVEL} after Holm's correction. "
            f"Tested metrics: {tested}."
        )
    if len(comparison.networks) > 1:
        yield "Bold: the best measured value of the column, whether or not the difference is significant."
