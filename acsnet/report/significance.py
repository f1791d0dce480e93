"""What stands raised beside a figure: which other networks it is significantly better than."""

from collections.abc import Iterator
from string import ascii_lowercase

from acsnet._utils.html import percent
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison

# From which p-value down, after Holm's correction, a difference is marked.
SIGNIFICANT = 0.05


def network_letters(comparison: Comparison) -> dict[str, str]:
    """The letter of each network; none where all are tested against one reference, or there is one network."""
    names = [network.name for network in comparison.networks]
    if comparison.reference is not None or len(names) < 2:
        return {}
    # The 27th network on has two letters.
    return {name: ascii_lowercase[index % 26] * (index // 26 + 1) for index, name in enumerate(names)}


def significance_marks(comparison: Comparison) -> dict[tuple[str, str], str]:
    """The marks of each network in each measure: letters of those it is better than, or a star against the reference.

    Better is who has the better figure, where the test finds a difference.
    """
    letters = network_letters(comparison)
    marks: dict[tuple[str, str], list[str]] = {}
    for pair in comparison.pairs:
        # A test that could not be done has NaN.
        if not pair.adjusted_p < SIGNIFICANT:
            continue
        if comparison.reference is not None:
            marks.setdefault((pair.first, pair.metric), []).append("*")
            continue
        first_is_better = (pair.difference.estimate > 0) != METRICS[pair.metric].lower_is_better
        better, worse = (pair.first, pair.second) if first_is_better else (pair.second, pair.first)
        marks.setdefault((better, pair.metric), []).append(letters[worse])
    return {key: ("" if comparison.reference else " ").join(sorted(found)) for key, found in marks.items()}


def explain_marks(comparison: Comparison) -> Iterator[str]:
    """How to read the tables of a comparison, a sentence each."""
    several = any(network.runs > 1 for network in comparison.networks)
    folds = ", and mean ± standard deviation over folds" if several else ""
    yield f"Below each figure: its {percent(comparison.level, 0)} interval by the bootstrap of groups{folds}."
    tested = ", ".join(measure.title for measure in METRICS.values() if measure.test)
    if comparison.pairs and comparison.reference is None:
        yield (
            f"Raised letters: the networks that it has a better figure than and differs from, p below {SIGNIFICANT} "
            f"after Holm's correction over all pairs. Tested are {tested}."
        )
    elif comparison.pairs:
        yield (
            f"Star: it differs from {comparison.reference}, p below {SIGNIFICANT} after Holm's correction. Tested are "
            f"{tested}."
        )
    if len(comparison.networks) > 1:
        yield "Bold: the best measured figure of the column, whether or not it differs significantly."
