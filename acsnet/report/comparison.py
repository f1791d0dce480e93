"""Comparison tables of measured values."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.labels import NORMAL
from acsnet.report.context import ReportContext
from acsnet.report.published_comparison import explain_missing_metrics
from acsnet.report.significance import explain_marks, network_letters, significance_marks
from acsnet.report.tested_networks import Network
from acsnet.statistics import METRICS
from acsnet.statistics.compare import Comparison, NetworkEstimates
from acsnet.statistics.formatting import add_folds, interval_cell, merge_reasons

# Caption and metrics of each table; each fits on a page.
_BLOCKS = {
    "segmentation": ("Segmentation", ("dice", "dice_lesion", "iou_lesion", "hd95_lesion")),
    "segmentation_classes": ("Dice of each class", ("dice_benign", "dice_malignant", "dice_normal")),
    "classification": (
        "Classification",
        ("accuracy", "f1_macro", "f1_weighted", "auroc_malignant", "overall_score"),
    ),
    "classification_classes": ("F1 of each class", ("f1_benign", "f1_malignant", "f1_normal")),
}


def comparison_tables(context: ReportContext) -> list[Table]:
    """Return the comparison of all networks, as tables that each fit on a page."""
    comparison = context.comparison
    legend = [*explain_marks(comparison), *explain_missing_metrics(context)]
    tables = []
    for key, (caption, metrics) in _BLOCKS.items():
        shown = [name for name in metrics if any(_is_known(network, name) for network in comparison.networks)]
        if shown:
            columns = [Column(METRICS[name].title) for name in shown]
            notes = [*_reasons(comparison, shown), *_undefined_distances(context.networks, shown)]
            tables.append(Table("network", columns, _rows(context, shown), key, caption, notes, legend))
    return tables


def _rows(context: ReportContext, metrics: Sequence[str]) -> list[Row]:
    comparison = context.comparison
    letters, marks = network_letters(comparison), significance_marks(comparison)
    remarks = {network.name: network.selection_remark for network in context.networks}
    rows = []
    for network in comparison.networks:
        cells = [
            _measured_cell(network, name, marks.get((network.name, name), ""), _is_best(comparison, network, name))
            for name in metrics
        ]
        rows.append(Row(network.name, cells, letters.get(network.name, ""), remarks[network.name]))
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
    """Yield the reasons for undefined and unreliable values, one line per reason and set of metrics."""
    reasons: list[tuple[str, str, str]] = []
    for network in comparison.networks:
        for name in metrics:
            summary = network.folds.get(METRICS[name].json_name)
            fold_reason = summary.reason if summary and summary.undefined and summary.folds else ""
            own = filter(None, (network.estimates[name].reason, fold_reason))
            reasons += [(METRICS[name].title, network.name, reason) for reason in own]
    for titles, names, reason in merge_reasons(reasons):
        yield f"{names}, {titles}: {reason}."


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
