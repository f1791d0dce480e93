"""Segmentation metrics of one image, and their summary over a test set.

Masks are boolean numpy arrays (H, W) at the image's original size, lesion True; distances are in pixels of that
image.

Overlaps are ratios of pixel counts and are computed here; the edge of a mask and the distances between two edges come
from MONAI, whose conventions hold: an edge pixel is a mask pixel with a 4-neighbour outside the mask (or outside the
image), distances are Euclidean.

Empty masks: the overlaps of an empty prediction on an empty truth are 1, of anything else on an empty truth 0; an
empty prediction on a lesion has 0. Surface distances are NaN where either mask is empty, and a summary counts them
apart.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError

Mask = npt.NDArray[np.bool_]

OVERLAPS = ("dice", "iou", "precision", "recall")
SURFACE_DISTANCES = ("hd95", "assd")


class _PixelCounts(NamedTuple):
    both: int
    prediction: int
    truth: int


def dice_score(prediction: Mask, truth: Mask) -> float:
    """Give the Dice coefficient, 2 |P and T| / (|P| + |T|), of two masks (H, W): 0 to 1, empty on empty 1.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _dice(_count_pixels(prediction, truth))


def iou_score(prediction: Mask, truth: Mask) -> float:
    """Give the Jaccard index, |P and T| / |P or T|, of two masks (H, W): 0 to 1, empty on empty 1.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _iou(_count_pixels(prediction, truth))


def pixel_precision(prediction: Mask, truth: Mask) -> float:
    """Give the share of the predicted pixels that are lesion, of two masks (H, W): 0 to 1, empty on empty 1.

    An empty prediction on a lesion, where the ratio is undefined, has 0.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _precision(_count_pixels(prediction, truth))


def pixel_recall(prediction: Mask, truth: Mask) -> float:
    """Give the share of the lesion's pixels that are predicted, of two masks (H, W): 0 to 1, empty on empty 1.

    A prediction on an empty truth, where the ratio is undefined, has 0.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _recall(_count_pixels(prediction, truth))


def hausdorff_distance_95(prediction: Mask, truth: Mask) -> float:
    """Give the 95 % Hausdorff distance in pixels of two masks (H, W): NaN where either is empty.

    The 95th percentile (linear interpolation) of the distances from each edge to the other is taken, and the larger
    of the two is the result; that is MONAI's definition. Toolkits that pool both directions before the percentile
    give smaller values.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    _check_masks(prediction, truth)
    return _hausdorff_95(_directed_distances(prediction, truth))


def average_surface_distance(prediction: Mask, truth: Mask) -> float:
    """Give the average symmetric surface distance in pixels of two masks (H, W): NaN where either is empty.

    It is the mean over the edge pixels of both masks together, each with its distance to the other mask's edge.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    _check_masks(prediction, truth)
    return _average_distance(_directed_distances(prediction, truth))


def segmentation_metrics(prediction: Mask, truth: Mask) -> dict[str, float]:
    """Give every metric of this module for two masks (H, W), in one pass over the edges.

    The keys are `dice`, `iou`, `hd95`, `assd`, `precision` and `recall`; `hd95` and `assd` are NaN where either mask
    is empty.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    counts = _count_pixels(prediction, truth)
    distances = _directed_distances(prediction, truth)
    return {
        "dice": _dice(counts),
        "iou": _iou(counts),
        "hd95": _hausdorff_95(distances),
        "assd": _average_distance(distances),
        "precision": _precision(counts),
        "recall": _recall(counts),
    }


def summarise_segmentation(
    per_image: Sequence[Mapping[str, float]], labels: Sequence[str], *, normal_class: str = "normal"
) -> dict[str, Any]:
    """Average the metrics of many images: over all, lesion cases, normal cases, and each class.

    `per_image` holds what :func:`segmentation_metrics` gives, an entry an image; further keys are ignored. `labels`
    holds the true class name of each image. The result, fit for JSON, is `{"all": group, "lesion": group, "normal":
    group, "per_class": {name: group}}`, with the classes that occur in order of their names. A group has `n`
    (images), the mean of each metric, and `hd95_undefined` and `assd_undefined`: the number of images left out of
    that mean because a mask was empty. A mean over no image is None.

    Raises:
        InputError: the lengths differ, or an image lacks a metric or has one that is not a finite number (NaN is
            allowed for surface distances).
    """
    if len(per_image) != len(labels):
        raise InputError(
            f"received metrics of {len(per_image)} images and {len(labels)} labels: expected one label an image"
        )
    for index, image in enumerate(per_image):
        _check_image(index, image)

    classes = set(labels)

    def group(names: set[str]) -> dict[str, Any]:
        return _summarise_group([image for image, label in zip(per_image, labels, strict=True) if label in names])

    return {
        "all": group(classes),
        "lesion": group(classes - {normal_class}),
        "normal": group({normal_class}),
        "per_class": {name: group({name}) for name in sorted(classes)},
    }


def _check_masks(prediction: Mask, truth: Mask) -> None:
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise InputError(
                f"the {name} is {mask.dtype} of shape {mask.shape}: "
                "expected a boolean mask (H, W), for example `mask > 0`"
            )
    if prediction.shape != truth.shape:
        raise InputError(
            f"the prediction's shape is {prediction.shape} and the truth's {truth.shape}: expected the same, "
            "bring the prediction to the image's original size first"
        )


def _count_pixels(prediction: Mask, truth: Mask) -> _PixelCounts:
    _check_masks(prediction, truth)
    return _PixelCounts(
        both=int(np.count_nonzero(prediction & truth)),
        prediction=int(np.count_nonzero(prediction)),
        truth=int(np.count_nonzero(truth)),
    )


def _ratio(numerator: int, denominator: int, counts: _PixelCounts) -> float:
    if counts.prediction == 0 and counts.truth == 0:
        return 1.0
    return numerator / denominator if denominator else 0.0


def _dice(counts: _PixelCounts) -> float:
    return _ratio(2 * counts.both, counts.prediction + counts.truth, counts)


def _iou(counts: _PixelCounts) -> float:
    return _ratio(counts.both, counts.prediction + counts.truth - counts.both, counts)


def _precision(counts: _PixelCounts) -> float:
    return _ratio(counts.both, counts.prediction, counts)


def _recall(counts: _PixelCounts) -> float:
    return _ratio(counts.both, counts.truth, counts)


def _directed_distances(prediction: Mask, truth: Mask) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Give each edge pixel's distance to the other mask's edge, both ways; None where either mask is empty."""
    if not prediction.any() or not truth.any():
        return None
    # Importing MONAI takes seconds: only who asks for a surface distance pays for it.
    from monai.metrics import get_mask_edges, get_surface_distance

    window = _bounding_box(prediction | truth)
    # The crop changes nothing (outside it both masks are empty, and a mask pixel at its border is an edge pixel either
    # way), but makes small lesions in large images many times faster. MONAI's own crop is slower.
    prediction_edge, truth_edge = get_mask_edges(prediction[window], truth[window], crop=False)
    return get_surface_distance(prediction_edge, truth_edge), get_surface_distance(truth_edge, prediction_edge)


def _bounding_box(mask: Mask) -> tuple[slice, slice]:
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _hausdorff_95(distances: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None) -> float:
    if distances is None:
        return math.nan
    return max(float(np.percentile(one_way, 95)) for one_way in distances)


def _average_distance(distances: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None) -> float:
    if distances is None:
        return math.nan
    return float(np.concatenate(distances).mean(dtype=np.float64))


def _check_image(index: int, image: Mapping[str, float]) -> None:
    for key in (*OVERLAPS, *SURFACE_DISTANCES):
        if key not in image:
            raise InputError(
                f"image {index} has no {key!r}: expected what segmentation_metrics gives, received {sorted(image)}"
            )
        undefined = key in SURFACE_DISTANCES and math.isnan(image[key])
        if not (math.isfinite(image[key]) or undefined):
            raise InputError(f"image {index} has {key} {image[key]}: expected a finite number")


def _summarise_group(images: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"n": len(images)}
    for key in (*OVERLAPS, *SURFACE_DISTANCES):
        defined = [image[key] for image in images if not math.isnan(image[key])]
        summary[key] = math.fsum(defined) / len(defined) if defined else None
        if key in SURFACE_DISTANCES:
            summary[f"{key}_undefined"] = len(images) - len(defined)
    return summary
