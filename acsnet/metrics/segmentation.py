"""Segmentation metrics of one image.

Masks are (H, W) at the original size of the image: NumPy arrays or PyTorch tensors on any device, of booleans or of
numbers that are 0 or 1; lesion pixels are True or 1. Distances are in pixels of that image, and in millimeters if its
spacing is known.

Overlaps and areas are ratios of pixel counts and are computed here. The edge of a mask and the distances between two
edges come from MONAI with its conventions: an edge pixel is a mask pixel with a 4-neighbor outside the mask (or outside
the image), and distances are Euclidean.

Empty masks: overlaps and boundary F1 are 1 if both masks are empty and 0 if one of them is. Surface distances are NaN
if one of the masks is empty; errors of the area are NaN if the true mask is empty.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acsnet.errors import InputError
from acsnet.metrics._distances import (
    Distances,
    directed_distances,
    distances_of_masks,
    find_edges,
    in_millimeters,
    largest_percentile,
    mean_distance,
)
from acsnet.metrics._masks import AnyMask, as_masks
from acsnet.metrics.detection import LesionCounts, count_lesions

OVERLAPS = ("dice", "iou", "precision", "recall", "boundary_f1")
SURFACE_DISTANCES = ("hd95", "assd", "hd95_mm", "assd_mm")
AREA_ERRORS = ("area_error", "area_difference")
LESION_COUNTS = tuple(f"lesion_{name}" for name in LesionCounts._fields)
# Metrics that are NaN for some masks, or without a spacing.
UNDEFINABLE = (*SURFACE_DISTANCES, *AREA_ERRORS)
PER_IMAGE = (*OVERLAPS, *UNDEFINABLE, *LESION_COUNTS)

# As a fraction of the diagonal of the image.
BOUNDARY_TOLERANCE = 0.0075


class _PixelCounts(NamedTuple):
    both: int
    prediction: int
    truth: int


def dice_score(prediction: AnyMask, truth: AnyMask) -> float:
    """Compute the Dice coefficient (Dice 1945), 0 to 1; 1 if both masks are empty.

    It is 2 |P and T| / (|P| + |T|), which is the F1 score of the pixels.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import dice_score
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> dice_score(prediction, truth)
        0.5
    """
    return _dice(_count_pixels(prediction, truth))


def iou_score(prediction: AnyMask, truth: AnyMask) -> float:
    """Compute the Jaccard index (Jaccard 1912), |P and T| / |P or T|, 0 to 1; 1 if both masks are empty.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import iou_score
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> iou_score(prediction, truth)
        0.3333333333333333
    """
    return _iou(_count_pixels(prediction, truth))


def pixel_precision(prediction: AnyMask, truth: AnyMask) -> float:
    """Compute the fraction of the predicted pixels that are lesion pixels, 0 to 1; 1 if both masks are empty.

    It is 0 if only the prediction is empty.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import pixel_precision
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> pixel_precision(prediction, truth)
        0.5
    """
    return _precision(_count_pixels(prediction, truth))


def pixel_recall(prediction: AnyMask, truth: AnyMask) -> float:
    """Compute the fraction of the lesion pixels that are predicted, 0 to 1; 1 if both masks are empty.

    It is 0 if only the true mask is empty.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import pixel_recall
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> pixel_recall(prediction, truth)
        0.5
    """
    return _recall(_count_pixels(prediction, truth))


def hausdorff_distance_95(prediction: AnyMask, truth: AnyMask, spacing: Sequence[float] | None = None) -> float:
    """Compute the 95 % Hausdorff distance, 0 or more; NaN if one of the masks is empty.

    It is the larger of the 95th percentiles (linear interpolation) of the distances from each edge to the other, as
    defined by MONAI. Toolkits that pool both directions before the percentile report smaller values.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.
        spacing: millimeters per pixel, (vertical, horizontal). With it the distance is in millimeters, otherwise in
            pixels.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, if the shapes differ, or if the
            spacing is not two numbers above 0.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import hausdorff_distance_95
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> hausdorff_distance_95(prediction, truth)
        2.0
        >>> hausdorff_distance_95(prediction, truth, spacing=(0.5, 0.5))
        1.0
    """
    return largest_percentile(distances_of_masks(prediction, truth, spacing))


def average_surface_distance(prediction: AnyMask, truth: AnyMask, spacing: Sequence[float] | None = None) -> float:
    """Compute the average symmetric surface distance, 0 or more; NaN if one of the masks is empty.

    It is the mean, over the edge pixels of both masks together, of their distances to the edge of the other mask, as in
    MONAI.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.
        spacing: millimeters per pixel, (vertical, horizontal). With it the distance is in millimeters, otherwise in
            pixels.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, if the shapes differ, or if the
            spacing is not two numbers above 0.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import average_surface_distance
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> average_surface_distance(prediction, truth)
        1.0
        >>> average_surface_distance(prediction, truth, spacing=(0.5, 0.5))
        0.5
    """
    return mean_distance(distances_of_masks(prediction, truth, spacing))


def boundary_f1(prediction: AnyMask, truth: AnyMask, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """Compute the boundary F1 score (Csurka et al. 2013), 0 to 1; 1 if both masks are empty and 0 if one of them is.

    It is the harmonic mean of two fractions: of the prediction's edge pixels that are at most the tolerance away from
    the edge of the truth, and vice versa.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.
        tolerance: maximum distance as a fraction of the image's diagonal, 0 or more; the publication uses 0.75 %.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, if the shapes differ, or if the
            tolerance is not a number of at least 0.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import boundary_f1
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> boundary_f1(prediction, truth, tolerance=0.1)
        0.6666666666666666
    """
    if not 0 <= tolerance < math.inf:
        raise InputError(f"the tolerance is {tolerance}: expected a fraction of the image's diagonal, 0 or more")
    prediction, truth = as_masks(prediction, truth)
    counts = _count_pixels(prediction, truth)
    return _boundary_f1(directed_distances(find_edges(prediction, truth)), counts, tolerance * math.hypot(*truth.shape))


def area_error(prediction: AnyMask, truth: AnyMask) -> float:
    """Compute the area error ratio of the breast-ultrasound benchmark BUSIS (Zhang et al. 2022), 0 or more.

    It is the area where the masks differ, divided by the area of the lesion: (|P or T| - |P and T|) / |T|. It can be
    above 1, and is NaN if the true mask is empty.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import area_error
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> area_error(prediction, truth)
        1.0
    """
    return _area_error(_count_pixels(prediction, truth))


def area_difference(prediction: AnyMask, truth: AnyMask) -> float:
    """Compute the signed relative difference of the areas, -1 or more; negative if the prediction is too small.

    It is (|P| - |T|) / |T|, the relative volume difference of Heimann et al. (2009) in two dimensions: -1 if the
    prediction is empty, NaN if the true mask is empty. It does not depend on the positions of the areas.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, or if the shapes differ.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import area_difference
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> area_difference(prediction, truth)
        0.0
    """
    return _area_difference(_count_pixels(prediction, truth))


def segmentation_metrics(
    prediction: AnyMask, truth: AnyMask, spacing: Sequence[float] | None = None
) -> dict[str, float]:
    """Compute all segmentation metrics of one image; the edges are computed once.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.
        spacing: millimeters per pixel, (vertical, horizontal), or None if it is unknown.

    Returns:
        A dictionary with the keys `dice`, `iou`, `hd95`, `assd`, `precision`, `recall`, `boundary_f1`, `area_error`,
        `area_difference`, `hd95_mm`, `assd_mm`, and `lesion_true_positives`, `lesion_false_positives` and
        `lesion_false_negatives` of :func:`~acsnet.metrics.count_lesions`. Distances are NaN if one of the masks is
        empty, those in millimeters also without a spacing; errors of the area are NaN if the true mask is empty.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, if the shapes differ, or if the
            spacing is not two numbers above 0.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import segmentation_metrics
        >>> prediction, truth = np.zeros((2, 8, 8), dtype=bool)
        >>> prediction[2:6, 2:6] = truth[2:6, 4:8] = True
        >>> metrics = segmentation_metrics(prediction, truth, spacing=(0.5, 0.5))
        >>> metrics["dice"], metrics["hd95"], metrics["hd95_mm"]
        (0.5, 2.0, 1.0)
    """
    prediction, truth = as_masks(prediction, truth)
    counts = _count_pixels(prediction, truth)
    edges = find_edges(prediction, truth)
    distances = directed_distances(edges)
    millimeters = in_millimeters(edges, distances, spacing)
    return {
        "dice": _dice(counts),
        "iou": _iou(counts),
        "hd95": largest_percentile(distances),
        "assd": mean_distance(distances),
        "precision": _precision(counts),
        "recall": _recall(counts),
        "boundary_f1": _boundary_f1(distances, counts, BOUNDARY_TOLERANCE * math.hypot(*truth.shape)),
        "area_error": _area_error(counts),
        "area_difference": _area_difference(counts),
        "hd95_mm": largest_percentile(millimeters),
        "assd_mm": mean_distance(millimeters),
        **dict(zip(LESION_COUNTS, count_lesions(prediction, truth), strict=True)),
    }


def _count_pixels(prediction: AnyMask, truth: AnyMask) -> _PixelCounts:
    prediction, truth = as_masks(prediction, truth)
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


def _area_error(counts: _PixelCounts) -> float:
    return (counts.prediction + counts.truth - 2 * counts.both) / counts.truth if counts.truth else math.nan


def _area_difference(counts: _PixelCounts) -> float:
    return (counts.prediction - counts.truth) / counts.truth if counts.truth else math.nan


def _boundary_f1(distances: Distances | None, counts: _PixelCounts, tolerance: float) -> float:
    if distances is None:
        return float(counts.prediction == counts.truth)
    precision, recall = (float(np.mean(one_way <= tolerance)) for one_way in distances)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
