"""The metrics of the publications, as each publication's own code counts them.

The same predictions score differently in each: a lesion Dice of 0.77 is 0.87 where the background is averaged in.
Published numbers compare only with numbers of the same definition. A publication is a :class:`PublishedMetrics`: it
counts each image on its own, at the input size of the network, which leaves a few numbers per image instead of masks,
and then summarizes all images.

Where a paper and its code differ in the metrics, its results come from the code, and so do the definitions here.
"""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from acsnet._utils.extras import explain_missing
from acsnet._utils.naming import look_up
from acsnet._utils.typing import BoolArray
from acsnet.errors import InputError
from acsnet.labels import TASKS
from acsnet.metrics._published_cases import (
    Counts,
    PublishedCase,
    PublishedMetrics,
    Values,
    area,
    label_pairs,
    mask_of,
    mean_or_none,
    resize_nearest,
)

__all__ = ["PUBLISHED_METRICS", "Counts", "PublishedCase", "PublishedMetrics", "check_tasks", "published_metrics"]

# What needs scipy and scikit-learn.
_SUBJECT = "counting as a publication does"


def published_metrics(publication: str, cases: Iterable[PublishedCase], class_names: Sequence[str]) -> Values:
    """Return the metrics that a publication's code would report for these predictions.

    Args:
        publication: a key of :data:`PUBLISHED_METRICS`.
        cases: the tested images; at least one.
        class_names: the classes of the network.

    Raises:
        UnknownNameError: if the publication is unknown; the message has near matches.
        InputError: if there are no cases, or the network lacks a task that the publication needs.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics.published import PublishedCase, published_metrics
        >>> truth, mask = np.zeros((2, 8, 8), bool)
        >>> truth[2:6, 2:6] = mask[2:6, 3:6] = True
        >>> case = PublishedCase("benign", "benign", np.where(mask, 0.9, 0.1).astype(np.float32), mask, [truth])
        >>> for name in ("chung2024", "aumente2025"):
        ...     print(name, round(published_metrics(name, [case], ["benign", "malignant"])["dice"], 3))
        chung2024 0.909
        aumente2025 0.857
    """
    own = look_up("publication", publication, PUBLISHED_METRICS, "")
    counts = [own.count(case) for case in cases]
    if not counts:
        raise InputError("there are no cases: pass at least one tested image")
    found = {"segmentation": counts[0].pixels, "classification": counts[0].predicted}
    tasks = [task for task, value in found.items() if value]
    check_tasks([publication], tasks)
    return own.summarize(counts, class_names)


def check_tasks(publications: Iterable[str], tasks: Sequence[str]) -> None:
    """Check that a network of some tasks can have the metrics of the publications.

    Raises:
        UnknownNameError: if a publication is unknown; the message has near matches.
        InputError: if a publication needs a task that the network does not have.
    """
    for name in publications:
        missing = sorted(look_up("publication", name, PUBLISHED_METRICS, "").tasks - {*tasks})
        if missing:
            raise InputError(
                f"the metrics of {name} need {' and '.join(missing)}, the network has only {', '.join(tasks)}: remove "
                f"{name} from evaluation.published_metrics"
            )


# He et al. 2024.


def _count_he2024(case: PublishedCase) -> Mapping[str, float]:
    mask = mask_of(case)
    gray = _resize_gray(case.truths[:1], mask.shape)
    inside, outside = gray == 255, gray == 0
    hits = area(mask & inside)
    errors = area(mask & outside) + area(~mask & inside)
    hd95, asd = _area_distances(mask, ~outside)
    return {
        "dice": 2 * hits / (2 * hits + errors + _HE_EPSILON),
        "jaccard": hits / (hits + errors + _HE_EPSILON),
        "hd95": hd95,
        "asd": asd,
    }


_HE_EPSILON = 1e-5


def _resize_gray(truths: Sequence[BoolArray], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Resize the first of the masks as torchvision resizes a gray picture: with gray edges, 0 to 255."""
    if not truths:
        return np.zeros(shape, np.uint8)
    picture = Image.fromarray(truths[0].astype(np.uint8) * 255)
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _area_distances(mask: BoolArray, truth: BoolArray) -> tuple[float, float]:
    """Return HD95 of both directions together, and the mean distance of the mask from the truth, in pixels."""
    if not mask.any() or not truth.any():
        return 0.0, 0.0
    with explain_missing(_SUBJECT):
        from scipy import ndimage

    to_truth = ndimage.distance_transform_edt(~truth)[mask]
    to_mask = ndimage.distance_transform_edt(~mask)[truth]
    return float(np.percentile(np.concatenate([to_truth, to_mask]), 95)), float(to_truth.mean())


def _pixels_he2024(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    return {name: mean_or_none(own.pixels[name] for own in counts) for name in ("dice", "jaccard", "hd95", "asd")}


def _classes_he2024(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    with explain_missing(_SUBJECT):
        from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    labels, predicted = label_pairs(counts)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "precision": float(precision_score(labels, predicted, average="weighted", zero_division=0.0)),
        "recall": float(recall_score(labels, predicted, average="macro", zero_division=0.0)),
        "f1": float(f1_score(labels, predicted, average="weighted", zero_division=0.0)),
    }


# Chung et al. 2024.


def _count_chung2024(case: PublishedCase) -> Mapping[str, float]:
    probability = case.probability
    assert probability is not None
    truth = resize_nearest(case.truths, probability.shape)
    channels = {
        "foreground": (probability >= _LOGIT_HALF, truth),
        "background": (1 - probability >= _LOGIT_HALF, ~truth),
    }
    counts: dict[str, float] = {}
    for name, (predicted, true) in channels.items():
        hits = area(predicted & true)
        counts[f"{name}_hits"] = hits
        counts[f"{name}_errors"] = area(predicted) + area(true) - 2 * hits
    return counts


# The probability of a logit of 0.5.
_LOGIT_HALF = 1 / (1 + np.exp(-0.5))
_CHUNG_BATCH = 8
_CHUNG_EPSILON = 1e-5


def _batches_chung2024(counts: Sequence[Counts]) -> list[Sequence[Counts]]:
    """Split the images in the order of their classes into batches of eight; the last may be smaller."""
    ordered = sorted(counts, key=lambda own: own.label)
    return [ordered[start : start + _CHUNG_BATCH] for start in range(0, len(ordered), _CHUNG_BATCH)]


def _pixels_chung2024(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    batches = _batches_chung2024(counts)
    scores = np.array(
        [
            np.mean([_channel_scores(batch, channel) for channel in ("foreground", "background")], axis=0)
            for batch in batches
        ]
    )
    means = np.average(scores, axis=0, weights=[len(batch) for batch in batches])
    return dict(zip(("iou", "dice", "segmentation_f1"), means.tolist(), strict=True))


def _channel_scores(batch: Sequence[Counts], channel: str) -> tuple[float, float, float]:
    """Return IoU, Dice and F1 of one channel, pooled over the pixels of a batch."""
    hits = sum(own.pixels[f"{channel}_hits"] for own in batch)
    errors = sum(own.pixels[f"{channel}_errors"] for own in batch)
    dice = 2 * hits / (2 * hits + errors + _CHUNG_EPSILON)
    # Nothing to find and nothing found counts as 1 in IoU and F1, and as 0 in Dice.
    return (hits / (hits + errors), dice, 2 * hits / (2 * hits + errors)) if hits + errors else (1.0, dice, 1.0)


def _classes_chung2024(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    with explain_missing(_SUBJECT):
        from sklearn.metrics import accuracy_score, f1_score

    batches = _batches_chung2024(counts)
    scores = [f1_score(*label_pairs(batch), average="macro", zero_division=0.0) for batch in batches]
    return {
        # The mean over batches, weighted by their sizes, is the accuracy over all images.
        "accuracy": float(accuracy_score(*label_pairs(counts))),
        "f1": float(np.average(scores, weights=[len(batch) for batch in batches])),
    }


def _combine_chung2024(values: Values) -> Values:
    iou, dice, pixels, classes = (values[name] or 0.0 for name in ("iou", "dice", "segmentation_f1", "f1"))
    return {"overall": ((iou + dice + pixels) / 3 + classes) / 2}


# Aumente-Maestro et al. 2025.


def _count_aumente2025(case: PublishedCase) -> Mapping[str, float]:
    mask = mask_of(case)
    if case.predicted is None:
        with explain_missing(_SUBJECT):
            from scipy import ndimage

        mask = ndimage.binary_fill_holes(mask)
    truth = resize_nearest(case.truths[:2], mask.shape)
    hits = area(mask & truth)
    total = area(mask) + area(truth)
    return {"dice": 2 * hits / total if total else 1.0, "iou": hits / (total - hits) if total else 1.0}


def _pixels_aumente2025(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    per_class = {
        f"dice_{name}": mean_or_none(own.pixels["dice"] for own in counts if own.label == name) for name in class_names
    }
    return {**per_class, **{name: mean_or_none(own.pixels[name] for own in counts) for name in ("dice", "iou")}}


def _classes_aumente2025(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    with explain_missing(_SUBJECT):
        from sklearn.metrics import accuracy_score, f1_score

    labels, predicted = label_pairs(counts)
    names = [*class_names]
    per_class = f1_score(labels, predicted, labels=names, average=None, zero_division=0.0)
    averages = {
        f"f1_{kind}": float(f1_score(labels, predicted, labels=names, average=kind, zero_division=0.0))
        for kind in ("macro", "weighted")
    }
    f1 = {f"f1_{name}": float(value) for name, value in zip(names, per_class, strict=True)}
    return {**f1, **averages, "accuracy": float(accuracy_score(labels, predicted))}


# The multi-task study on curated BUSI.


def _count_eee402(case: PublishedCase) -> Mapping[str, float]:
    mask = mask_of(case)
    truth = np.zeros(mask.shape, np.bool_)
    if case.truths:
        picture = case.truths[0].astype(np.uint8) * 255
        truth = cv2.resize(picture, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0
    hits = area(mask & truth)
    return {"hits": hits, "errors": area(mask) + area(truth) - 2 * hits}


_EEE402_SMOOTH = 1e-4


def _pixels_eee402(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    hits, errors = (sum(own.pixels[name] for own in counts) for name in ("hits", "errors"))
    return {
        "dice": (2 * hits + _EEE402_SMOOTH) / (2 * hits + errors + _EEE402_SMOOTH),
        "iou": (hits + _EEE402_SMOOTH) / (hits + errors + _EEE402_SMOOTH),
    }


def _classes_eee402(counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
    with explain_missing(_SUBJECT):
        from sklearn.metrics import accuracy_score

    return {"accuracy": float(accuracy_score(*label_pairs(counts)))}


#: Publication -> its metrics.
#:
#: ``he2024``: the first mask of an image alone, resized with gray edges that count neither as lesion nor as background
#: in Dice and Jaccard, and as lesion in the distances. Both have 1e-5 in the denominator, so that an empty mask of an
#: image without a lesion scores 0. The distances are medpy's, called with volumes of one slice, whose surface is the
#: whole area: every pixel of one mask is measured to the nearest pixel of the other. HD95 is the 95th percentile of
#: both directions together, ASD the mean from the prediction to the truth, in pixels of the input size; both are 0 if
#: a mask is empty. Precision and F1 are weighted by class size, recall is the plain mean over classes. The code rounds
#: values of masks to three decimals, which is left out here.
#:
#: ``chung2024``: foreground and background are two channels with a mask threshold of 0.5 on the logit (a probability
#: of 0.622). The publication's network has a logit for each; a network with one mask logit has its negative for the
#: background. IoU, Dice and F1 are pooled over the pixels of batches of eight in class order (alphabetical, which is
#: the publication's), averaged over the two channels, then over batches by their sizes. A channel of a batch with
#: nothing to find and nothing found has an IoU and F1 of 1, and a Dice of 0. The F1 of the class is the mean over the
#: classes of each batch, then over batches. The accuracy, averaged in the same way, is that over all images.
#:
#: ``aumente2025``: Dice per image against the union of the first two masks, and its mean per class and over all; an
#: empty mask of an image without a lesion scores 1. F1 per class, and their mean weighted by class size. For networks
#: of masks alone the code fills holes of the masks first. Its Hausdorff distance is left out: the code passes rows of
#: pixels as points.
#:
#: ``eee402``: Dice and IoU pooled over the pixels of all images, with 1e-4 in numerator and denominator, against the
#: first mask alone, in which every pixel that the resizing leaves above 0 is lesion.
PUBLISHED_METRICS: Mapping[str, PublishedMetrics] = {
    "he2024": PublishedMetrics(
        title="He et al. 2024",
        tasks=frozenset(TASKS),
        dice="dice",
        iou="jaccard",
        accuracy="accuracy",
        f1="f1",
        how="mean over images, first mask only, gray edge pixels ignored, empty on empty is 0; F1 weighted by class "
        "size",
        count_pixels=_count_he2024,
        summarize_pixels=_pixels_he2024,
        summarize_classes=_classes_he2024,
    ),
    "chung2024": PublishedMetrics(
        title="Chung et al. 2024",
        tasks=frozenset(),
        dice="dice",
        iou="iou",
        accuracy="accuracy",
        f1="f1",
        how="mean of lesion and background, pooled per batch of 8 in class order, threshold 0.5 on the logit, empty on "
        "empty is 0 in Dice and 1 in IoU; F1 is the mean over classes per batch",
        count_pixels=_count_chung2024,
        summarize_pixels=_pixels_chung2024,
        summarize_classes=_classes_chung2024,
        combine=_combine_chung2024,
    ),
    "aumente2025": PublishedMetrics(
        title="Aumente-Maestro et al. 2025",
        tasks=frozenset(),
        dice="dice",
        iou="iou",
        accuracy="accuracy",
        f1="f1_weighted",
        how="mean over images, normal ones included, empty on empty is 1; F1 weighted by class size",
        count_pixels=_count_aumente2025,
        summarize_pixels=_pixels_aumente2025,
        summarize_classes=_classes_aumente2025,
    ),
    "eee402": PublishedMetrics(
        title="EEE402 study",
        tasks=frozenset(TASKS),
        dice="dice",
        iou="iou",
        accuracy="accuracy",
        f1="",
        how="pooled over the pixels of all images, first mask only, enlarged by resizing",
        count_pixels=_count_eee402,
        summarize_pixels=_pixels_eee402,
        summarize_classes=_classes_eee402,
    ),
}
