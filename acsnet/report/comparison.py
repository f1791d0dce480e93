"""Comparison tables: measured values, and published values in separate columns."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.labels import NORMAL
from acsnet.report.context import ReportContext
from acsnet.report.published import PIXEL_F1, Published
from acsnet.report.significance import explain_marks, network_letters, significance_marks
from acsnet.report.tested_networks import Network
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison, NetworkEstimates
from acsnet.statistics.formatting import add_folds, format_value, interval_cell

# Caption, metrics, and published columns of each table; each fits on a page.
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
_TITLES = {name: metric.title for name, metric in METRICS.items()} | {PIXEL_F1: "F1 (pixels)"}


def comparison_tables(context: ReportContext) -> list[Table]:
    """Return the comparison of all networks, as tables that each fit on a page."""
    comparison, published = context.comparison, context.published
    legend = [*explain_marks(comparison), *_citations(published)]
    tables = []
    for key, (caption, metrics, published_columns) in _BLOCKS.items():
        shown = [name for name in metrics if any(_is_known(network, name) for network in comparison.networks)]
        known = [name for name in published_columns if any(name in results.values for results in published.values())]
        if shown:
            columns = [Column(_TITLES[name]) for name in shown]
            columns += [Column(_TITLES[name], source="published") for name in known]
            rows = _rows(comparison, published, shown, known)
            notes = [*_reasons(comparison, shown), *_undefined_distances(context.networks, shown)]
            tables.append(Table("network", columns, rows, key, caption, notes, legend))
    return tables


def _rows(
    comparison: Comparison, published: Mapping[str, Published], metrics: Sequence[str], columns: Sequence[str]
) -> list[Row]:
    letters, marks = network_letters(comparison), significance_marks(comparison)
    rows = []
    for network in comparison.networks:
        cells = [
            _measured_cell(network, name, marks.get((network.name, name), ""), _is_best(comparison, network, name))
            for name in metrics
        ]
        values = published[network.name].values if network.name in published else {}
        cells += [Cell(format_value(values.get(column))) for column in columns]
        rows.append(Row(network.name, cells, letters.get(network.name, "")))
    return rows


def _is_known(network: NetworkEstimates, metric: str) -> bool:
    return not math.isnan(network.estimates[metric].estimate)


def _measured_cell(network: NetworkEstimates, metric: str, marks: str, best: bool) -> Cell:
    digits = METRICS[metric].digits
    cell = interval_cell(network.estimates[metric], digits, marks, best)
    return add_folds(cell, network.folds.get(METRICS[metric].json_name), digits)


def _is_best(comparison: Comparison, network: NetworkEstimates, metric: str) -> bool:
    values = [own.estimates[metric].estimate for own in comparison.networks if _is_known(own, metric)]
    best = min if METRICS[metric].lower_is_better else max
    return len(values) > 1 and network.estimates[metric].estimate == best(values)


def _reasons(comparison: Comparison, metrics: Sequence[str]) -> Iterator[str]:
    """Yield the reasons for undefined values, one line per network and reason."""
    titles: dict[tuple[str, str], list[str]] = {}
    for network in comparison.networks:
        for name in metrics:
            summary = network.folds.get(METRICS[name].json_name)
            fold_reason = summary.reason if summary and summary.undefined and summary.folds else ""
            for reason in filter(None, (network.estimates[name].reason, fold_reason)):
                titles.setdefault((network.name, reason), []).append(METRICS[name].title)
    for (name, reason), own_titles in titles.items():
        yield f"{name}, {', '.join(own_titles)}: {reason}."


def _undefined_distances(networks: Sequence[Network], metrics: Sequence[str]) -> Iterator[str]:
    if "hd95_lesion" not in metrics:
        return
    lesion = np.array(networks[0].result.labels) != NORMAL
    missing = {
        network.name: np.count_nonzero(np.isnan(network.result.per_image["hd95"][lesion]))
        for network in networks
        if "hd95" in network.result.per_image
    }
    left_out = ", ".join(f"{name} {number}" for name, number in missing.items() if number)
    yield (
        "HD95 is in pixels, and undefined if one of the two masks is empty. Lesions left out, of "
        f"{np.count_nonzero(lesion)}: {left_out or 'none'}."
    )


def _citations(published: Mapping[str, Published]) -> Iterator[str]:
    for publication in dict.fromkeys(own.publication for own in published.values()):
        rows = [
            name if own.method == name else f"{name} (as {own.method})"
            for name, own in published.items()
            if own.publication == publication
        ]
        yield f"Published for {', '.join(rows)}: {publication.citation}. Data: {publication.setting}."
