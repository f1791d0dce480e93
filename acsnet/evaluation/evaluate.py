"""Evaluation of a predictor on records: metrics over all images, and one row per image."""

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet._utils.files import write_csv, write_json
from acsnet._utils.folders import whole_files
from acsnet._utils.typing import Float64Array, IndexArray
from acsnet.data import Frame, Record
from acsnet.data.framing import log_crops
from acsnet.data.records import lack_masks
from acsnet.errors import InputError
from acsnet.evaluation.batches import read_batches
from acsnet.evaluation.operating_points import rate_operating_points
from acsnet.inference.class_decision import adjust_probabilities, decide_classes
from acsnet.inference.decision import Prediction, Probabilities
from acsnet.inference.predictor import Predictor
from acsnet.inference.saved_predictions import check_unique_names, save_prediction
from acsnet.labels import NORMAL, POSITIVE_CLASS
from acsnet.metrics import classification_metrics, overall_score, segmentation_metrics, summarize_segmentation
from acsnet.metrics.published import PUBLISHED_METRICS, Counts, PublishedCase, check_tasks
from acsnet.metrics.segmentation import PER_IMAGE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """The result of a test.

    Attributes:
        metrics: ``segmentation`` and ``classification`` (None for a missing task; ``segmentation`` also if no image of
            a lesion class has a mask), ``overall_score`` (None unless there are both) and ``n``; for images of several
            datasets also ``datasets``, the same per dataset; with ``evaluation.published_metrics`` also ``published``:
            the metrics of each publication, as its code counts them on the same predictions at the input size of the
            network. If some of the classes have no image, such as a set without normal cases, also
            ``classification_renormalized``: the metrics with the probabilities renormalized over the other classes,
            which it lists as ``classes``. If the checkpoint has operating points, also ``operating_points``
            (:func:`~acsnet.evaluation.operating_points.rate_operating_points`).
        cases: one row per image, for a CSV file.
        seconds_per_image: time of prediction without reading and metrics, in seconds: the median over batches.
    """

    metrics: dict[str, Any]
    cases: list[dict[str, Any]]
    seconds_per_image: float

    def write(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Write ``metrics.json``, which also contains ``provenance``, and ``cases.csv``: both, or none.

        Args:
            folder: the output folder, created if necessary.
            provenance: values to add to ``metrics.json``; see :func:`acsnet.evaluation.run_test`.

        Raises:
            DiskFullError: if the disk is full.
        """
        with whole_files(folder) as temporary:
            write_json(temporary / "metrics.json", {**self.metrics, **provenance})
            write_csv(temporary / "cases.csv", self.cases)


def evaluate(
    predictor: Predictor,
    records: Sequence[Record],
    batch_size: int = 8,
    progress: bool = True,
    save_predictions_to: str | Path | None = None,
) -> Evaluation:
    """Predict every record and compute metrics at the original size of each image.

    Surface distances are in pixels and, if a record has a spacing, in millimeters. They are undefined if either mask is
    empty; errors of the area are undefined if the true mask is empty. Undefined values are empty cells in ``cases``,
    are not part of the means, and are counted in ``hd95_undefined`` and the like.

    The metrics of publications are computed in the same pass: each image is reduced to a few numbers before the next
    batch is read, so that they need no memory for masks. If the network crops or pads images, they compare its mask of
    the whole image, stretched to the input size.

    Args:
        predictor: the predictor, whose settings also name the publications.
        records: records whose labels are evaluated classes of the predictor.
        batch_size: number of images per forward pass.
        progress: show a progress bar.
        save_predictions_to: folder to which the mask and the mask probability of each image are saved; see
            :mod:`acsnet.inference.saved_predictions`.

    Raises:
        InputError: before any image is read: if the network lacks a task that the metrics of a publication need, an
            image is of another class, or the true masks are unknown where they are needed.
        DataError: if an image or mask cannot be read, or the saved predictions of two records would have the same path.
        DiskFullError: if the disk is full.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import acsnet
        >>> from acsnet.checkpoints import CheckpointMetadata
        >>> from acsnet.data import read_busi
        >>> from acsnet.evaluation import evaluate
        >>> from acsnet.phantom import write_phantoms
        >>> metadata = CheckpointMetadata(
        ...     model="unet", arguments={"width": 4, "depth": 2}, class_names=("benign", "malignant", "normal"),
        ...     input_size=(32, 32), mean=(0.33,), std=(0.2,),
        ... )
        >>> predictor = acsnet.Predictor(acsnet.create_model("unet", width=4, depth=2), metadata)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     counts = {"benign": 1, "malignant": 1, "normal": 1}
        ...     write_phantoms(Path(folder) / "set", counts, size=(64, 64), progress=False)
        ...     result = evaluate(predictor, read_busi(Path(folder) / "set"), progress=False)
        >>> result.metrics["n"], len(result.cases), 0 <= result.metrics["segmentation"]["dice"] <= 1
        (3, 3, True)
    """
    save_predictions_to = None if save_predictions_to is None else Path(save_predictions_to)
    publications = predictor.evaluation.published_metrics
    check_tasks(publications, predictor.tasks)
    _check_labels(records, predictor.class_names)
    has_truth = _check_masks(records, predictor)
    if save_predictions_to is not None:
        check_unique_names(records)
    evaluate_case = partial(_evaluate_case, save_predictions_to=save_predictions_to)
    count_case = partial(_count_case, predictor)
    seconds: list[float] = []
    rows: list[dict[str, Any]] = []
    counts: list[dict[str, Counts]] = []
    frames: dict[str, Frame] = {}
    with ThreadPoolExecutor() as pool:
        for batch in read_batches(records, batch_size, "testing", progress):
            started = time.perf_counter()
            predictions, at_input_size = _predict(predictor, batch.images)
            seconds.append((time.perf_counter() - started) / len(batch.records))
            pairs = zip(batch.records, predictions, strict=True)
            frames |= {
                os.fspath(record.image): prediction.frame
                for record, prediction in pairs
                if prediction.frame is not None
            }
            truths = batch.masks if has_truth else [None] * len(batch.records)
            rows += pool.map(evaluate_case, batch.records, truths, predictions)
            if publications:
                counts += pool.map(count_case, batch.records, batch.lesion_masks, at_input_size)
    if predictor.metadata.crop_margins:
        log_crops(frames)
    metrics = _summarize(rows, predictor)
    datasets = sorted({record.dataset for record in records})
    if len(datasets) > 1:
        rows_by_dataset = {name: [row for row in rows if row["dataset"] == name] for name in datasets}
        metrics["datasets"] = {name: _summarize(own, predictor) for name, own in rows_by_dataset.items()}
    if publications:
        names = predictor.class_names
        metrics["published"] = {
            key: PUBLISHED_METRICS[key].summarize([own[key] for own in counts], names) for key in publications
        }
    return Evaluation(metrics, rows, float(np.median(seconds)))


def _check_labels(records: Sequence[Record], class_names: Sequence[str]) -> None:
    """Check that every image is of one of the evaluated classes."""
    others = Counter(record.label for record in records if record.label not in class_names)
    if others:
        counts = ", ".join(f"{count} {label}" for label, count in others.items())
        raise InputError(
            f"{sum(others.values())} of the {len(records)} tested images are of classes that are not evaluated "
            f"({counts}; evaluated are {', '.join(class_names)}): leave them out by data.classes="
            f"[{', '.join(class_names)}], or add their classes to evaluation.classes"
        )


def _check_masks(records: Sequence[Record], predictor: Predictor) -> bool:
    """Return whether the true masks of the images are known, and check that they are if they are needed."""
    if "segmentation" not in predictor.tasks:
        return False
    lesions = [record for record in records if record.label != NORMAL]
    if lack_masks(records):
        if "classification" not in predictor.tasks or predictor.evaluation.published_metrics:
            need = ", ".join(predictor.evaluation.published_metrics) or "a network without classes"
            raise InputError(
                f"none of the {len(lesions)} tested images of lesion classes has a mask, which the metrics of {need} "
                "compare: name their masks in the data, or test classes alone, without evaluation.published_metrics"
            )
        logger.warning(
            "none of the %d images of lesion classes has a mask: only their classes are evaluated", len(lesions)
        )
        return False
    for dataset in sorted({record.dataset for record in lesions}):
        if lack_masks(record for record in lesions if record.dataset == dataset):
            raise InputError(
                f"no image of a lesion class in the dataset {dataset} has a mask, but others have: test {dataset} "
                "alone, which evaluates its classes, or name its masks in the data"
            )
    without = sum(not record.masks for record in lesions)
    if without:
        logger.warning(
            "%d of the %d images of lesion classes have no mask: their true masks count as empty", without, len(lesions)
        )
    return True


def _predict(
    predictor: Predictor, images: Sequence[npt.NDArray[np.uint8]]
) -> tuple[list[Prediction], list[Probabilities]]:
    """Return predictions at the sizes of the images and, if publications need them, probabilities at the input size."""
    if not predictor.evaluation.published_metrics:
        return predictor.predict(images, batch_size=len(images)), []
    at_input_size = predictor.probabilities_at_input_size(images)
    predictions = [predictor.decide(predictor.to_image(probabilities)) for probabilities in at_input_size]
    return predictions, [*map(_stretch, at_input_size)]


def _stretch(probabilities: Probabilities) -> Probabilities:
    """Return probabilities at the input size whose mask covers the whole image, as publications compare masks."""
    if probabilities.mask is None or probabilities.frame is None:
        return probabilities
    return replace(probabilities, mask=probabilities.frame.stretch(probabilities.mask))


def _count_case(
    predictor: Predictor, record: Record, lesion_masks: Sequence[npt.NDArray[np.bool_]], probabilities: Probabilities
) -> dict[str, Counts]:
    """Return the numbers that the metrics of each publication need of one image."""
    prediction = predictor.decide(probabilities)
    case = PublishedCase(
        record.label, prediction.label, prediction.mask_probability, prediction.mask, tuple(lesion_masks)
    )
    return {name: PUBLISHED_METRICS[name].count(case) for name in predictor.evaluation.published_metrics}


def _evaluate_case(
    record: Record, truth: npt.NDArray[np.bool_] | None, prediction: Prediction, save_predictions_to: Path | None
) -> dict[str, Any]:
    if save_predictions_to is not None:
        save_prediction(save_predictions_to, record, prediction)
    row: dict[str, Any] = {"image": record.name, "label": record.label, "predicted": prediction.label}
    row |= {f"probability_{name}": value for name, value in (prediction.probabilities or {}).items()}
    if prediction.mask is not None and truth is not None:
        metrics = segmentation_metrics(prediction.mask, truth, record.spacing)
        row |= {name: None if math.isnan(value) else value for name, value in metrics.items()}
    # Names of images are unique only within a dataset.
    return {**row, "dataset": record.dataset, "group": record.group}


def _summarize(rows: Sequence[Mapping[str, Any]], predictor: Predictor) -> dict[str, Any]:
    names = predictor.class_names
    segmentation = classification = overall = None
    more: dict[str, Any] = {}
    if "dice" in rows[0]:
        cases = [{name: math.nan if row[name] is None else row[name] for name in PER_IMAGE} for row in rows]
        segmentation = _flatten(summarize_segmentation(cases, [row["label"] for row in rows]))
    if rows[0]["predicted"] is not None:
        labels = np.array([names.index(row["label"]) for row in rows])
        probabilities = np.array([[row[f"probability_{name}"] for name in names] for row in rows])
        predicted = np.array([names.index(row["predicted"]) for row in rows])
        classification = classification_metrics(labels, probabilities, names, predicted)
        more = {
            **_renormalized(labels, probabilities, predictor),
            **_operating_points(labels, probabilities, predictor),
        }
    if segmentation is not None and classification is not None:
        dice = segmentation["dice"]
        overall = overall_score(segmentation["iou"], dice, dice, classification["f1_macro"])
    return {
        "segmentation": segmentation,
        "classification": classification,
        "overall_score": overall,
        "n": len(rows),
        **more,
    }


def _renormalized(labels: IndexArray, probabilities: Float64Array, predictor: Predictor) -> dict[str, Any]:
    """Return the metrics over the classes with images, if there are at least two of them but not all."""
    names = predictor.class_names
    present = np.unique(labels)
    if not 2 <= len(present) < len(names):
        return {}
    classes = tuple(names[index] for index in present)
    values = adjust_probabilities(probabilities, 1.0, names, classes)
    point = predictor.operating_point
    threshold = point.threshold if point is not None and POSITIVE_CLASS in classes else None
    predicted = decide_classes(values, classes, threshold)
    metrics = classification_metrics(np.searchsorted(present, labels), values, classes, predicted)
    return {"classification_renormalized": {"classes": list(classes), **metrics}}


def _operating_points(labels: IndexArray, probabilities: Float64Array, predictor: Predictor) -> dict[str, Any]:
    points, names = predictor.metadata.operating_points, predictor.class_names
    if points is None or POSITIVE_CLASS not in names:
        return {}
    temperature = 1.0 if predictor.operating_point is None else points.temperature
    return {"operating_points": rate_operating_points(points, labels, probabilities, names, temperature)}


def _flatten(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return means over all images at the top level; those over lesion and normal cases and per class stay nested."""
    return {**summary["all"], **{key: value for key, value in summary.items() if key != "all"}}
