"""Testing a network on records: metrics over all images, and a row an image."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet._utils.files import write_csv, write_json
from acsnet.data import Record
from acsnet.evaluation.batches import read_batches
from acsnet.inference.decision import Prediction
from acsnet.inference.predictor import Predictor
from acsnet.inference.saved_predictions import check_kept_names, keep_prediction
from acsnet.metrics import classification_metrics, overall_score, segmentation_metrics, summarize_segmentation
from acsnet.metrics.segmentation import PER_IMAGE


@dataclass(frozen=True)
class Evaluation:
    """The result of a test.

    Attributes:
        metrics: ``segmentation`` and ``classification`` (None for a task the network does not have),
            ``overall_score`` (None without both) and ``n``; of images of several datasets also ``datasets``, the same
            of each of them.
        cases: a row an image, fit for a CSV file.
        seconds_per_image: that predicting took, reading and measuring left out: the median over batches.
    """

    metrics: dict[str, Any]
    cases: list[dict[str, Any]]
    seconds_per_image: float

    def write(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Write ``metrics.json`` (with ``provenance`` beside the metrics) and ``cases.csv``, whole or not at all."""
        write_json(folder / "metrics.json", {**self.metrics, **provenance})
        write_csv(folder / "cases.csv", self.cases)


def evaluate(
    predictor: Predictor,
    records: Sequence[Record],
    batch_size: int = 8,
    progress: bool = True,
    keep: Path | None = None,
) -> Evaluation:
    """Predict every record and compare it with its truth, at the image's own size.

    Surface distances are in pixels and, where a record has a spacing, in millimeters. They are undefined where
    either mask is empty, errors of the area where the truth is: that leaves their cell empty and their count in
    ``hd95_undefined`` and the like.

    Args:
        predictor: the network.
        records: whose labels are among the network's classes.
        batch_size: images a forward pass.
        progress: show a progress bar.
        keep: a folder to write each image's mask and mask probability into, one by one; see
            :mod:`acsnet.inference.saved_predictions`.

    Raises:
        DataError: where the kept predictions of two records would have the same name.
        DiskFullError: where there is no space left for them.
    """
    if keep is not None:
        check_kept_names(records)
    case = partial(_case, keep=keep)
    seconds: list[float] = []
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor() as pool:
        for batch in read_batches(records, batch_size, "testing", progress):
            started = time.perf_counter()
            predictions = predictor.predict(batch.images)
            seconds.append((time.perf_counter() - started) / len(batch.records))
            rows += pool.map(case, batch.records, batch.masks, predictions)
    metrics = _summarize(rows, predictor)
    datasets = sorted({record.dataset for record in records})
    if len(datasets) > 1:
        by_dataset = {name: [row for row in rows if row["dataset"] == name] for name in datasets}
        metrics["datasets"] = {name: _summarize(some, predictor) for name, some in by_dataset.items()}
    return Evaluation(metrics, rows, float(np.median(seconds)))


def _case(record: Record, truth: npt.NDArray[np.bool_], prediction: Prediction, keep: Path | None) -> dict[str, Any]:
    if keep is not None:
        keep_prediction(keep, record, prediction)
    row: dict[str, Any] = {"image": record.name, "label": record.label, "predicted": prediction.label}
    row |= {f"probability_{name}": value for name, value in (prediction.probabilities or {}).items()}
    if prediction.mask is not None:
        metrics = segmentation_metrics(prediction.mask, truth, record.spacing)
        row |= {name: None if math.isnan(value) else value for name, value in metrics.items()}
    # Names are those within a dataset.
    return {**row, "dataset": record.dataset, "group": record.group}


def _summarize(rows: Sequence[Mapping[str, Any]], predictor: Predictor) -> dict[str, Any]:
    names = predictor.metadata.class_names
    segmentation = classification = overall = None
    if "dice" in rows[0]:
        cases = [{name: math.nan if row[name] is None else row[name] for name in PER_IMAGE} for row in rows]
        segmentation = _headline(summarize_segmentation(cases, [row["label"] for row in rows]))
    if rows[0]["predicted"] is not None:
        labels = np.array([names.index(row["label"]) for row in rows])
        probabilities = np.array([[row[f"probability_{name}"] for name in names] for row in rows])
        classification = classification_metrics(labels, probabilities, names)
    if segmentation is not None and classification is not None:
        dice = segmentation["dice"]
        overall = overall_score(segmentation["iou"], dice, dice, classification["f1_macro"])
    return {
        "segmentation": segmentation,
        "classification": classification,
        "overall_score": overall,
        "n": len(rows),
    }


def _headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Means over all images at the top, those over lesion and normal cases and over each class below."""
    return {**summary["all"], **{key: value for key, value in summary.items() if key != "all"}}
