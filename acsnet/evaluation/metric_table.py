"""Tables of the metrics of a test, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from acsnet._utils.tables import Table
from acsnet.metrics.detection import IOU_THRESHOLD
from acsnet.statistics.runs import SELECTED_ON_TEST

_OVERLAPS = (("Dice", "dice"), ("IoU", "iou"))
_PIXELS = (("HD95 [px]", "hd95"), ("ASSD [px]", "assd"))
_MILLIMETERS = (("HD95 [mm]", "hd95_mm"), ("ASSD [mm]", "assd_mm"))
_AREAS_AND_EDGES = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("boundary F1", "boundary_f1"),
    ("area error", "area_error"),
    ("area difference", "area_difference"),
)
_DETECTION_COUNTS = (("lesions", "lesions"), ("found", "true_positives"), ("false positives", "false_positives"))
_DETECTION = (
    ("sensitivity", "sensitivity"),
    ("precision", "precision"),
    ("F1", "f1"),
    ("false positives per image", "false_positives_per_image"),
)
_CLASSIFICATION = (
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("precision (macro)", "precision_macro"),
    ("recall (macro)", "recall_macro"),
    ("F1 (macro)", "f1_macro"),
    ("AUROC (macro)", "auroc_macro"),
    ("AUROC (malignant)", "auroc_malignant"),
    ("sensitivity (malignant)", "sensitivity"),
    ("specificity (malignant)", "specificity"),
    ("sensitivity at 90 % specificity", "sensitivity_at_90_specificity"),
    ("average precision (macro)", "average_precision_macro"),
    ("average precision (malignant)", "average_precision_malignant"),
    ("Brier score", "brier"),
    ("calibration error", "ece"),
)
# The rates of operating points: where they were chosen, and on the tested images.
_PLACES = {
    "chosen": ("sensitivity, chosen on", "specificity, chosen on"),
    "tested": ("sensitivity, tested", "specificity, tested"),
}
_RENORMALIZED = (
    ("accuracy", "accuracy"),
    ("AUROC (malignant)", "auroc_malignant"),
    ("sensitivity (malignant)", "sensitivity"),
    ("specificity (malignant)", "specificity"),
)


def metric_table(metrics: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Return the metrics of an :class:`~acsnet.evaluation.Evaluation` as text; undefined values are dashes.

    Args:
        metrics: the content of ``metrics.json``.
        class_names: the classes in the order of the confusion matrix.
    """
    tables = []
    if metrics["segmentation"] is not None:
        columns = _columns(metrics["segmentation"])
        tables += [_segmentation_table(columns), _detection_table(columns)]
    if metrics["classification"] is not None:
        tables.append(_classification_table(metrics["classification"], class_names))
    if "classification_renormalized" in metrics:
        tables.append(_renormalized_table(metrics["classification_renormalized"]))
    if "operating_points" in metrics:
        tables.append(operating_point_table(metrics["operating_points"]))
    if metrics["overall_score"] is not None:
        tables.append(f"overall score (formula of Chung et al. 2024): {_format_value(metrics['overall_score'])}")
    if "datasets" in metrics:
        tables.append(_dataset_table(metrics["datasets"]))
    if "published" in metrics:
        tables.append(_published_table(metrics["published"]))
    if metrics.get("selection") == SELECTED_ON_TEST:
        tables.append(f"{SELECTED_ON_TEST}: the metrics are too good")
    return "\n\n".join(tables)


def _renormalized_table(renormalized: Mapping[str, Any]) -> str:
    rows = [[f"renormalized over {', '.join(renormalized['classes'])}", "all"]]
    rows += [[title, _format_value(renormalized[key])] for title, key in _RENORMALIZED]
    return Table.from_rows(rows).to_text()


def operating_point_table(points: Mapping[str, Any]) -> str:
    """Return sensitivity and specificity of each operating point as text, where it was chosen and where tested.

    Args:
        points: ``operating_points`` of ``metrics.json``, or :meth:`~acsnet.checkpoints.OperatingPoints.chosen`.
    """
    places = [place for place in _PLACES if all(place in point for point in points["points"].values())]
    rows = [["operating point", "P(malignant)", *(title for place in places for title in _PLACES[place])]]
    for name, point in points["points"].items():
        rates = [point[place][key] for place in places for key in ("sensitivity", "specificity")]
        rows.append([name, f"{point['threshold']:.3f}", *map(_format_rate, rates)])
    counts = ", ".join(f"{count} {label}" for label, count in points["classes"].items())
    mask = "that of the configuration" if points["mask_threshold"] is None else f"{points['mask_threshold']:g}"
    note = f"chosen on {counts} ({points['source']}); temperature {points['temperature']:g}; mask threshold {mask}"
    return f"{Table.from_rows(rows).to_text()}\n{note}"


def _format_rate(rate: Mapping[str, float | None]) -> str:
    """Return a rate with its interval: "0.905 [0.823, 0.951]"."""
    if rate["value"] is None:
        return "-"
    return f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"


def _published_table(published: Mapping[str, Mapping[str, float | None]]) -> str:
    """Return the metrics of the publications, one column per publication."""
    names = dict.fromkeys(name for own in published.values() for name in own)
    rows = [["as counted by", *published]]
    rows += [[name, *(_format_value(own.get(name)) for own in published.values())] for name in names]
    return Table.from_rows(rows).to_text()


def _dataset_table(datasets: Mapping[str, Any]) -> str:
    """Return the main metrics, one row per dataset."""
    rows = [["dataset", "images", "Dice", "accuracy", "AUROC (malignant)"]]
    for name, metrics in datasets.items():
        segmentation, classification = metrics["segmentation"] or {}, metrics["classification"] or {}
        values = (segmentation.get("dice"), classification.get("accuracy"), classification.get("auroc_malignant"))
        rows.append([name, str(metrics["n"]), *map(_format_value, values)])
    return Table.from_rows(rows).to_text()


def _columns(segmentation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    columns = {"all": segmentation, "lesion": segmentation["lesion"], "normal": segmentation["normal"]}
    # The class "normal" replaces the equal column of normal cases.
    columns |= segmentation["per_class"]
    return {name: values for name, values in columns.items() if values["n"]}


def _segmentation_table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    # Most datasets have no spacing: rows of dashes would be of no use.
    has_millimeters = columns["all"]["hd95_mm"] is not None
    lines = (*_OVERLAPS, *_PIXELS, *(_MILLIMETERS if has_millimeters else ()), *_AREAS_AND_EDGES)
    rows = [["segmentation", *columns], ["images", *(str(values["n"]) for values in columns.values())]]
    rows += [[title, *(_format_value(values[key]) for values in columns.values())] for title, key in lines]
    rows.append(["distances undefined", *(str(values["hd95_undefined"]) for values in columns.values())])
    if has_millimeters:
        rows.append(["undefined in mm", *(str(values["hd95_mm_undefined"]) for values in columns.values())])
    return Table.from_rows(rows).to_text()


def _detection_table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    detection = [values["detection"] for values in columns.values()]
    rows = [[f"detection (IoU {IOU_THRESHOLD})", *columns]]
    rows += [[title, *(str(values[key]) for values in detection)] for title, key in _DETECTION_COUNTS]
    rows += [[title, *(_format_value(values[key]) for values in detection)] for title, key in _DETECTION]
    return Table.from_rows(rows).to_text()


def _classification_table(classification: Mapping[str, Any], class_names: Sequence[str]) -> str:
    rows = [["classification", "all"]]
    rows += [[title, _format_value(classification[key])] for title, key in _CLASSIFICATION]
    matrix = [["truth \\ predicted", *class_names]]
    matrix += [
        [name, *map(str, counts)] for name, counts in zip(class_names, classification["confusion_matrix"], strict=True)
    ]
    notes = [f"{key}: {reason}" for key, reason in classification["notes"].items()]
    tables = [Table.from_rows(rows).to_text(), Table.from_rows(matrix).to_text()]
    return "\n\n".join([*tables, *(["\n".join(notes)] if notes else [])])


def _format_value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
