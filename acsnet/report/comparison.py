"""Networks side by side: measured figures, and in columns of their own published ones."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from acsnet.data.verify import NORMAL
from acsnet.statistics.formatting import add_folds, digits_of, interval_cell
from acsnet.report.networks import Network
from acsnet.report.published import PIXEL_F1, Published
from acsnet.report.significance import explain_marks, network_letters, significance_marks
from acsnet.report.tables import Cell, Column, Row, Table
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison, NetworkEstimates
from acsnet.statistics.formatting import format_value

# Each table fits a page: its caption, its measures, and the published figures that belong beside them.
_BLOCKS = {
    "segmentation": ("Segmentation", ("dice", "dice_lesion", "iou_lesion", "hd95_lesion"), ("dice", "iou", PIXEL_F1)),
    "segmentation_classes": (
        "Dice of each class",
        ("dice_benign", "dice_malignant", "dice_normal"),
        ("dice_benign", "dice_malignant", "dice_normal"),
    ),
    "classification": (
        "Classification",
        ("accuracy", "f1_macro", "f1_weighted", "auroc_malignant", "overall_score"),
        ("accuracy", "f1_macro", "f1_weighted", "overall_score"),
    ),
    "classification_classes": (
        "F1 of each class",
        ("f1_benign", "f1_malignant", "f1_normal"),
        ("f1_benign", "f1_malignant", "f1_normal"),
    ),
}
_TITLES = {measure: about.title for measure, about in METRICS.items()} | {PIXEL_F1: "F1 (pixels)"}


def comparison_tables(
    comparison: Comparison, networks: Sequence[Network], published: Mapping[str, Published]
) -> list[Table]:
    """Networks side by side, in as many tables as are needed for each to fit a page.

    Args:
        comparison: of the networks.
        networks: in the order of the rows.
        published: the figures that belong beside a network, by its name.
    """
    reading = [*explain_marks(comparison), *_citations(published)]
    tables = []
    for key, (caption, measures, beside) in _BLOCKS.items():
        shown = [measure for measure in measures if any(_is_known(own, measure) for own in comparison.networks)]
        known = [column for column in beside if any(column in own.figures for own in published.values())]
        if shown:
            columns = [Column(_TITLES[measure]) for measure in shown]
            columns += [Column(_TITLES[column], published=True) for column in known]
            rows = _rows(comparison, published, shown, known)
            notes = [*_reasons(comparison, shown), *_left_out(networks, shown)]
            tables.append(Table(key, caption, "network", columns, rows, notes, reading))
    return tables


def _rows(
    comparison: Comparison, published: Mapping[str, Published], measures: Sequence[str], columns: Sequence[str]
) -> list[Row]:
    letters, marks = network_letters(comparison), significance_marks(comparison)
    rows = []
    for network in comparison.networks:
        best = {measure for measure in measures if _is_best(comparison, network, measure)}
        cells = [
            _measured(network, measure, marks.get((network.name, measure), ""), measure in best) for measure in measures
        ]
        figures = published[network.name].figures if network.name in published else {}
        cells += [Cell(format_value(figures.get(column))) for column in columns]
        rows.append(Row(network.name, cells, letters.get(network.name, "")))
    return rows


def _is_known(network: NetworkEstimates, measure: str) -> bool:
    return not math.isnan(network.estimates[measure].estimate)


def _measured(network: NetworkEstimates, measure: str, marks: str, best: bool) -> Cell:
    digits = digits_of(measure)
    cell = interval_cell(network.estimates[measure], digits, marks, best)
    return add_folds(cell, network.folds.get(METRICS[measure].metric), digits)


def _is_best(comparison: Comparison, network: NetworkEstimates, measure: str) -> bool:
    values = [own.estimates[measure].estimate for own in comparison.networks if _is_known(own, measure)]
    best = min if METRICS[measure].lower_is_better else max
    return len(values) > 1 and network.estimates[measure].estimate == best(values)


def _reasons(comparison: Comparison, measures: Sequence[str]) -> Iterator[str]:
    """Why figures are undefined, or folds lack them; measures with the same reason in one line."""
    titles: dict[tuple[str, str], list[str]] = {}
    for network in comparison.networks:
        for measure in measures:
            summary = network.folds.get(METRICS[measure].metric)
            of_folds = summary.reason if summary and summary.undefined and summary.folds else ""
            for reason in filter(None, (network.estimates[measure].reason, of_folds)):
                titles.setdefault((network.name, reason), []).append(METRICS[measure].title)
    for (name, reason), about in titles.items():
        yield f"{name}, {', '.join(about)}: {reason}."


def _left_out(networks: Sequence[Network], measures: Sequence[str]) -> Iterator[str]:
    if "hd95_lesion" not in measures:
        return
    lesion = np.array(networks[0].result.labels) != NORMAL
    missing = {
        network.name: np.count_nonzero(np.isnan(network.result.per_image["hd95"][lesion]))
        for network in networks
        if "hd95" in network.result.per_image
    }
    left_out = ", ".join(f"{name} {number}" for name, number in missing.items() if number)
    yield (
        f"HD95 is in pixels. Where one of the two masks is empty there is none: of {np.count_nonzero(lesion)} lesions "
        f"are left out {left_out or 'none'}."
    )


def _citations(published: Mapping[str, Published]) -> Iterator[str]:
    for publication in dict.fromkeys(own.publication for own in published.values()):
        rows = [
            name if own.method == name else f"{name} (there {own.method})"
            for name, own in published.items()
            if own.publication == publication
        ]
        yield f"Published of {', '.join(rows)}: {publication.citation}. On {publication.setting}; not measured here."
