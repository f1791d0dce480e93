"""The metrics of a test as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from acsnet.text_table import lay_out

_SEGMENTATION = (
    ("Dice", "dice"),
    ("IoU", "iou"),
    ("HD95 [px]", "hd95"),
    ("ASSD [px]", "assd"),
    ("precision", "precision"),
    ("recall", "recall"),
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
)


def metric_table(metrics: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Lay out the metrics of :class:`~acsnet.evaluation.Evaluation` for people; undefined figures are dashes."""
    parts = []
    if metrics["segmentation"] is not None:
        parts.append(_segmentation_table(metrics["segmentation"]))
    if metrics["classification"] is not None:
        parts.append(_classification_table(metrics["classification"], class_names))
    if "datasets" in metrics:
        parts.append(_dataset_table(metrics["datasets"]))
    return "\n\n".join(parts)


def _dataset_table(datasets: Mapping[str, Any]) -> str:
    """The headlines of each data set, a row each."""
    rows = [["data set", "images", "Dice", "accuracy", "AUROC (malignant)"]]
    for name, metrics in datasets.items():
        segmentation, classification = metrics["segmentation"] or {}, metrics["classification"] or {}
        figures = (segmentation.get("dice"), classification.get("accuracy"), classification.get("auroc_malignant"))
        rows.append([name, str(metrics["n"]), *map(_figure, figures)])
    return lay_out(rows)


def _segmentation_table(segmentation: Mapping[str, Any]) -> str:
    columns = {"all": segmentation, "lesion": segmentation["lesion"], "normal": segmentation["normal"]}
    columns |= segmentation["per_class"]
    # With normal cases, the class of that name is the same column again.
    columns = {name: values for name, values in columns.items() if values["n"]}
    rows = [["segmentation", *columns], ["images", *(str(values["n"]) for values in columns.values())]]
    rows += [[title, *(_figure(values[key]) for values in columns.values())] for title, key in _SEGMENTATION]
    undefined = [str(values["hd95_undefined"]) for values in columns.values()]
    rows.append(["distances undefined", *undefined])
    return lay_out(rows)


def _classification_table(classification: Mapping[str, Any], class_names: Sequence[str]) -> str:
    rows = [["classification", "all"]]
    rows += [[title, _figure(classification[key])] for title, key in _CLASSIFICATION]
    matrix = [["truth \\ predicted", *class_names]]
    matrix += [
        [name, *map(str, counts)] for name, counts in zip(class_names, classification["confusion_matrix"], strict=True)
    ]
    notes = [f"{key}: {reason}" for key, reason in classification["notes"].items()]
    return "\n\n".join([lay_out(rows), lay_out(matrix), *(["\n".join(notes)] if notes else [])])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
