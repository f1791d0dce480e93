"""The metrics of the publications, as each publication's own code counts them.

The same predictions score differently in each: a lesion Dice of 0.77 is 0.87 where the background is averaged in.
Published numbers compare only with numbers of the same definition. Every function takes the cases of one test and
returns the numbers that the publication's table would show.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

BoolArray = npt.NDArray[np.bool_]


class PublishedCase(NamedTuple):
    """One tested image at the input size of the network.

    Attributes:
        probability: mask probability (H, W), 0 to 1.
        truth: the union of the image's masks (H, W).
        first_truth: the first mask alone; equal to ``truth`` for an image with one mask.
        label: the true class, as an index.
        predicted: the predicted class, as an index.
        mask: the final mask (H, W), after thresholding and prediction refining.
    """

    probability: npt.NDArray[np.float32]
    truth: BoolArray
    first_truth: BoolArray
    label: int
    predicted: int
    mask: BoolArray


def he2024(cases: Sequence[PublishedCase], class_names: Sequence[str]) -> dict[str, float]:
    """Return the metrics of He et al. 2024 (ACSNet): of the first mask alone, distances in pixels of the input size.

    HD95 is the 95th percentile of the surface distances of both directions together, ASD the mean of one direction
    (prediction to truth); both count as 0 if a mask is empty. Precision, recall and F1 are weighted by class size.
    """
    overlaps = [_overlap(case.mask, case.first_truth) for case in cases]
    distances = [_surface_distances(case.mask, case.first_truth) for case in cases]
    labels, predicted = _labels(cases)
    weighted = {"average": "weighted", "zero_division": 0.0}
    return {
        "dice": _mean([dice for dice, _ in overlaps]),
        "jaccard": _mean([jaccard for _, jaccard in overlaps]),
        "hd95": _mean([float(np.percentile(np.concatenate(both), 95)) if both else 0.0 for both in distances]),
        "asd": _mean([float(both[0].mean()) if both else 0.0 for both in distances]),
        "accuracy": float(accuracy_score(labels, predicted)),
        "precision": float(precision_score(labels, predicted, **weighted)),
        "recall": float(recall_score(labels, predicted, **weighted)),
        "f1": float(f1_score(labels, predicted, **weighted)),
    }


def chung2024(cases: Sequence[PublishedCase], class_names: Sequence[str]) -> dict[str, float]:
    """Return the metrics of Chung et al. 2024: foreground and background averaged, classes scored per batch of eight.

    The mask threshold is 0.5 on the logit, which is a probability of 0.622. The publication's network has a logit for
    the background as well; a network with one mask logit has its negative there. Accuracy and F1 of the class are
    means over batches of eight in class-sorted order, F1 the macro value of each batch.
    """
    overlaps = []
    for case in cases:
        sides = (case.probability > _LOGIT_HALF, case.truth), (1 - case.probability > _LOGIT_HALF, ~case.truth)
        overlaps.append(np.mean([_overlap(mask, truth) for mask, truth in sides], axis=0))
    dice, iou = np.mean(overlaps, axis=0)
    labels, predicted = _labels(sorted(cases, key=lambda case: case.label))
    batches = [slice(start, start + _BATCH) for start in range(0, len(labels), _BATCH)]
    accuracy = _mean([float(accuracy_score(labels[batch], predicted[batch])) for batch in batches])
    f1 = _mean([float(f1_score(labels[b], predicted[b], average="macro", zero_division=0.0)) for b in batches])
    return {
        "iou": float(iou),
        "dice": float(dice),
        "accuracy": accuracy,
        "f1": f1,
        # Dice of two binary masks is their F1.
        "overall": ((float(iou) + 2 * float(dice)) / 3 + f1) / 2,
    }


_LOGIT_HALF = 1 / (1 + np.exp(-0.5))
_BATCH = 8


def aumente2025(cases: Sequence[PublishedCase], class_names: Sequence[str]) -> dict[str, float]:
    """Return the metrics of Aumente-Maestro et al. 2025: Dice per image by class and over all, F1 by class.

    An empty mask on an empty truth has a Dice of 1. ``f1_weighted`` weighs classes by their size.
    """
    dice = np.array([_overlap(case.mask, case.truth)[0] for case in cases])
    labels, predicted = _labels(cases)
    indices = list(range(len(class_names)))
    per_class = f1_score(labels, predicted, labels=indices, average=None, zero_division=0.0)
    result = {f"dice_{name}": _mean(dice[labels == index]) for index, name in enumerate(class_names)}
    result |= {"dice": _mean(dice)}
    result |= {f"f1_{name}": float(value) for name, value in zip(class_names, per_class, strict=True)}
    result["f1_weighted"] = float(f1_score(labels, predicted, average="weighted", zero_division=0.0))
    result["accuracy"] = float(accuracy_score(labels, predicted))
    return result


def eee402(cases: Sequence[PublishedCase], class_names: Sequence[str]) -> dict[str, float]:
    """Return the metrics of the multi-task study on curated BUSI: Dice and IoU pooled over the pixels of all images."""
    common = sum(int((case.mask & case.truth).sum()) for case in cases)
    total = sum(int(case.mask.sum()) + int(case.truth.sum()) for case in cases)
    labels, predicted = _labels(cases)
    return {
        "dice": 2 * common / total if total else 1.0,
        "iou": common / (total - common) if total else 1.0,
        "accuracy": float(accuracy_score(labels, predicted)),
    }


#: Publication -> its metrics.
PUBLISHED_METRICS: Mapping[str, Callable[[Sequence[PublishedCase], Sequence[str]], dict[str, float]]] = {
    "he2024": he2024,
    "chung2024": chung2024,
    "aumente2025": aumente2025,
    "eee402": eee402,
}


def _overlap(mask: BoolArray, truth: BoolArray) -> tuple[float, float]:
    """Dice and IoU; both are 1 if both masks are empty."""
    common, total = int((mask & truth).sum()), int(mask.sum()) + int(truth.sum())
    return (2 * common / total, common / (total - common)) if total else (1.0, 1.0)


def _surface_distances(mask: BoolArray, truth: BoolArray) -> tuple[npt.NDArray[np.float64], ...]:
    """Distances from the border of the mask to that of the truth, and back; empty if a mask is empty."""
    if not mask.any() or not truth.any():
        return ()
    borders = [side & ~ndimage.binary_erosion(side) for side in (mask, truth)]
    to_truth, to_mask = (ndimage.distance_transform_edt(~border) for border in reversed(borders))
    return to_truth[borders[0]], to_mask[borders[1]]


def _labels(cases: Sequence[PublishedCase]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.array([case.label for case in cases]), np.array([case.predicted for case in cases])


def _mean(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
