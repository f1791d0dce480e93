"""The tables of a comparison: networks side by side, beside what is published, and tested in pairs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from acsnet.data.verify import NORMAL
from acsnet.evaluation.report.networks import Network
from acsnet.evaluation.report.published import PIXEL_F1, Published, measured_beside
from acsnet.evaluation.report.tables import Cell, Column, Table
from acsnet.evaluation.statistics import MEASURES, Comparison, Interval, NetworkEstimates
from acsnet.evaluation.statistics.texts import figure_text, p_value_text

# Each table fits a page: its caption, its measures and the published figures that belong beside them.
_BLOCKS = {
    "segmentation": (
        "Segmentation",
        ("dice", "dice_lesion", "iou_lesion", "hd95_lesion"),
        ("dice", "iou", PIXEL_F1),
    ),
    "segmentation_classes": ("Dice of each class", ("dice_benign", "dice_malignant", "dice_normal"), None),
    "classification": (
        "Classification",
        ("accuracy", "f1_macro", "f1_weighted", "auroc_malignant", "overall_score"),
        ("accuracy", "f1_macro", "f1_weighted", "overall_score"),
    ),
    "classification_classes": ("F1 of each class", ("f1_benign", "f1_malignant", "f1_normal"), None),
}
_TITLES = {measure: spec.title for measure, spec in MEASURES.items()} | {PIXEL_F1: "F1 (pixels)"}
# Pixels are no thousandths.
_DIGITS = {"hd95_lesion": 1}
# From which adjusted p-value on a difference is marked.
SIGNIFICANT = 0.05
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def digits_of(measure: str) -> int:
    """With how many decimals a measure is written."""
    return _DIGITS.get(measure, 3)


def interval_cell(interval: Interval, digits: int = 3, marks: str = "", best: bool = False) -> Cell:
    """An estimate with its interval as a cell; an undefined one is a dash."""
    cell = Cell(figure_text(interval.estimate, digits), marks=marks, best=best)
    if math.isnan(interval.low):
        return cell
    return replace(cell, low=figure_text(interval.low, digits), high=figure_text(interval.high, digits))


def comparison_tables(
    comparison: Comparison, networks: Sequence[Network], published: Mapping[str, Published]
) -> list[Table]:
    """Networks side by side: measured figures, and in columns of their own what is published for the same methods.

    Args:
        comparison: of the networks.
        networks: in the order of the rows.
        published: the figures that belong beside a network, by its name.
    """
    marks = _marks(comparison)
    tables = []
    for key, (caption, measures, beside) in _BLOCKS.items():
        shown = [measure for measure in measures if any(_is_known(own, measure) for own in comparison.networks)]
        known = [column for column in beside or measures if any(column in own.figures for own in published.values())]
        if not shown:
            continue
        rows = []
        for network, own in zip(networks, comparison.networks, strict=True):
            cells = [_measured(comparison, own, measure, marks.get((own.name, measure), "")) for measure in shown]
            figures = published[own.name].figures if own.name in published else {}
            rows.append((_label(comparison, network.name), [*cells, *(Cell(figure_text(figures.get(column)))
                                                                     for column in known)]))  # fmt: skip
        columns = [Column(_TITLES[measure]) for measure in shown]
        columns += [Column(_TITLES[column], published=True) for column in known]
        notes = [*_notes(comparison, shown), *_left_out(networks, shown), *_citations(published, known)]
        tables.append(Table(key, caption, "network", columns, rows, notes))
    return tables


def _is_known(network: NetworkEstimates, measure: str) -> bool:
    return not math.isnan(network.estimates[measure].estimate)


def _measured(comparison: Comparison, network: NetworkEstimates, measure: str, marks: str) -> Cell:
    if not _is_known(network, measure):
        return Cell(figure_text(None))
    digits, summary = digits_of(measure), network.folds.get(MEASURES[measure].metric)
    cell = interval_cell(network.estimates[measure], digits, marks, _is_best(comparison, network, measure))
    if network.runs < 2 or summary is None:
        return cell
    return replace(cell, mean=figure_text(summary.mean, digits), deviation=figure_text(summary.deviation, digits))


def _is_best(comparison: Comparison, network: NetworkEstimates, measure: str) -> bool:
    values = [own.estimates[measure].estimate for own in comparison.networks if _is_known(own, measure)]
    best = min(values) if MEASURES[measure].lower_is_better else max(values)
    return len(values) > 1 and network.estimates[measure].estimate == best


def _letters(comparison: Comparison) -> dict[str, str]:
    names = [network.name for network in comparison.networks]
    if comparison.reference is not None or len(names) < 2:
        return {}
    # The 27th network on has two letters.
    return {name: _LETTERS[index % 26] * (index // 26 + 1) for index, name in enumerate(names)}


def _label(comparison: Comparison, name: str) -> str:
    letter = _letters(comparison).get(name)
    return f"{name} ({letter})" if letter else name


def _marks(comparison: Comparison) -> dict[tuple[str, str], str]:
    """What is raised beside a figure: the letters of the networks that it is better than, or a star against one."""
    letters = _letters(comparison)
    marks: dict[tuple[str, str], list[str]] = {}
    for pair in comparison.pairs:
        if not pair.adjusted_p < SIGNIFICANT:
            continue
        if comparison.reference is not None:
            marks.setdefault((pair.first, pair.measure), []).append("*")
            continue
        first_is_better = (pair.difference.estimate > 0) != MEASURES[pair.measure].lower_is_better
        better, worse = (pair.first, pair.second) if first_is_better else (pair.second, pair.first)
        marks.setdefault((better, pair.measure), []).append(letters[worse])
    return {key: "".join(sorted(found)) for key, found in marks.items()}


def _notes(comparison: Comparison, measures: Sequence[str]) -> Iterator[str]:
    several = any(network.runs > 1 for network in comparison.networks)
    yield (
        f"Below each figure its {comparison.level:.0%} interval (bootstrap of groups)"
        + (", and mean ± standard deviation over folds." if several else ".")
    )
    tested = [MEASURES[measure].title for measure in measures if MEASURES[measure].test]
    if tested and comparison.pairs:
        if comparison.reference is None:
            yield (
                f"Raised letters, of {', '.join(tested)}: the networks that it is better than, with a p-value below "
                f"{SIGNIFICANT} after Holm's correction over all pairs."
            )
        else:
            yield (
                f"*, of {', '.join(tested)}: different from {comparison.reference}, with a p-value below "
                f"{SIGNIFICANT} after Holm's correction."
            )
    if len(comparison.networks) > 1:
        yield "Bold: the best measured figure of the column, whether or not it differs significantly."
    for network in comparison.networks:
        for measure in measures:
            reasons = [network.estimates[measure].reason]
            summary = network.folds.get(MEASURES[measure].metric)
            reasons.append(summary.reason if summary and summary.undefined else "")
            for reason in filter(None, reasons):
                yield f"{MEASURES[measure].title}, {network.name}: {reason}."


def _left_out(networks: Sequence[Network], measures: Sequence[str]) -> Iterator[str]:
    if "hd95_lesion" not in measures:
        return
    for network in networks:
        lesion = np.array(network.result.labels) != NORMAL
        distances = network.result.measures.get("hd95")
        missing = 0 if distances is None else int(np.isnan(distances[lesion]).sum())
        if missing:
            yield (
                f"{MEASURES['hd95_lesion'].title}, {network.name}: pixels; {missing} of {int(lesion.sum())} lesions "
                "left out, because one of the two masks is empty."
            )


def _citations(published: Mapping[str, Published], columns: Sequence[str]) -> Iterator[str]:
    shown = [(name, own) for name, own in published.items() if set(columns) & {*own.figures}]
    for publication in dict.fromkeys(own.publication.key for _, own in shown):
        of = [(name, own) for name, own in shown if own.publication.key == publication]
        rows = ", ".join(f"{name} as {own.method!r}" if own.method != name else name for name, own in of)
        about = of[0][1].publication
        yield f"Published for {rows}: {about.citation}. Measured there on {about.setting}; not tested against."


def published_tables(comparison: Comparison, published: Mapping[str, Published]) -> list[Table]:
    """Measured beside published, a table a publication, in its own columns: two rows a network."""
    estimates = {network.name: network for network in comparison.networks}
    tables = []
    for key in dict.fromkeys(own.publication.key for own in published.values()):
        of = {name: own for name, own in published.items() if own.publication.key == key}
        about = next(iter(of.values())).publication
        rows: list[tuple[str, list[Cell]]] = []
        for name, own in of.items():
            measured = [_beside(estimates[name], column) for column in about.columns]
            rows.append((f"{name}, measured", measured))
            figures = [Cell(figure_text(own.figures.get(column))) for column in about.columns]
            rows.append((f"{own.method}, published", figures))
        notes = [f"Published: {about.citation}. Measured there on {about.setting}; here on the images of this report."]
        if PIXEL_F1 in about.columns:
            notes.append("Measured: class F1 is the mean over classes; segmentation F1, of the pixels, is the Dice.")
        if "dice_benign" in about.columns:
            notes.append("Dice average is the mean over all images.")
        columns = [Column(title) for title in about.columns.values()]
        tables.append(
            Table(f"published_{key.split()[0].lower()}", f"Measured beside {key}", "network", columns, rows, notes)
        )
    return tables


def _beside(network: NetworkEstimates, column: str) -> Cell:
    return interval_cell(network.estimates[measured_beside(column)])


def paired_test_table(comparison: Comparison) -> Table | None:
    """Every pair of networks, or every network against the reference, in every measure with a test."""
    if not comparison.pairs:
        return None
    rows = []
    for pair in comparison.pairs:
        measure = MEASURES[pair.measure]
        cells = [
            Cell(measure.title),
            interval_cell(pair.difference, digits_of(pair.measure)),
            Cell(measure.test_title + (" by group" if pair.test.by_group else "")),
            Cell(str(pair.test.n)),
            Cell(p_value_text(pair.test.p_value)),
            Cell(p_value_text(pair.adjusted_p), best=pair.adjusted_p < SIGNIFICANT),
        ]
        rows.append((f"{pair.first} - {pair.second}", cells))
    reasons = (
        f"{MEASURES[pair.measure].title}, {pair.first} - {pair.second}: {pair.test.reason}."
        for pair in comparison.pairs
        if pair.test.reason
    )
    against = "of every pair of networks" if comparison.reference is None else f"against {comparison.reference}"
    columns = ["measure", "difference", "test", "images", "p", "p (Holm)"]
    return Table(
        "tests",
        f"Paired tests {against}",
        "pair",
        [Column(title, words=title == "measure") for title in columns],
        rows,
        [
            f"Differences are first less second, with {comparison.level:.0%} intervals that are not corrected. Bold: "
            f"below {SIGNIFICANT} after Holm's correction, measure by measure.",
            *dict.fromkeys(reasons),
        ],
    )
