"""Segmentation metrics of one image.

Masks are boolean numpy arrays (H, W) at the image's original size, lesion True; distances are in pixels of that
image, and in millimeters where its spacing is known.

Overlaps and areas are ratios of pixel counts and are computed here; the edge of a mask and the distances between two
edges come from MONAI, whose conventions hold: an edge pixel is a mask pixel with a 4-neighbor outside the mask (or
outside the image), distances are Euclidean.

Empty masks: the overlaps of an empty prediction on an empty truth are 1, of anything else on an empty truth 0; an
empty prediction on a lesion has 0; the boundary F1 likewise. Surface distances are NaN where either mask is empty,
errors of the area where the truth is.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.metrics._masks import Mask, check_masks, crop_to_foreground
from acsnet.metrics.detection import LesionCounts, count_lesions

OVERLAPS = ("dice", "iou", "precision", "recall", "boundary_f1")
SURFACE_DISTANCES = ("hd95", "assd", "hd95_mm", "assd_mm")
AREA_ERRORS = ("area_error", "area_difference")
LESION_COUNTS = tuple(f"lesion_{name}" for name in LesionCounts._fields)
# What may be NaN, for the masks or for want of a spacing.
UNDEFINABLE = (*SURFACE_DISTANCES, *AREA_ERRORS)
PER_IMAGE = (*OVERLAPS, *UNDEFINABLE, *LESION_COUNTS)

# Of the image's diagonal.
BOUNDARY_TOLERANCE = 0.0075

# Of each edge pixel of the prediction to the truth's edge, and the other way round.
_Distances = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class _PixelCounts(NamedTuple):
    both: int
    prediction: int
    truth: int


def dice_score(prediction: Mask, truth: Mask) -> float:
    """Give the Dice coefficient (Dice 1945) of two masks (H, W): 0 to 1, empty on empty 1.

    It is 2 |P and T| / (|P| + |T|), which is the F1 score of the pixels.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _dice(_count_pixels(prediction, truth))


def iou_score(prediction: Mask, truth: Mask) -> float:
    """Give the Jaccard index (Jaccard 1912), |P and T| / |P or T|, of two masks (H, W): 0 to 1, empty on empty 1.

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


def hausdorff_distance_95(prediction: Mask, truth: Mask, spacing: Sequence[float] | None = None) -> float:
    """Give the 95 % Hausdorff distance of two masks (H, W): 0 or more, NaN where either is empty.

    The 95th percentile (linear interpolation) of the distances from each edge to the other is taken, and the larger
    of the two is the result; that is MONAI's definition. Toolkits that pool both directions before the percentile
    give smaller values.

    Args:
        prediction: boolean.
        truth: boolean.
        spacing: millimeters a pixel, (vertical, horizontal): the distance is in millimeters then, else in pixels.

    Raises:
        InputError: a mask is not boolean of rank 2, the shapes differ, or the spacing is not two numbers above 0.
    """
    return _hausdorff_95(_distances_of_masks(prediction, truth, spacing))


def average_surface_distance(prediction: Mask, truth: Mask, spacing: Sequence[float] | None = None) -> float:
    """Give the average symmetric surface distance of two masks (H, W): 0 or more, NaN where either is empty.

    It is the mean over the edge pixels of both masks together, each with its distance to the other mask's edge, as in
    MONAI.

    Args:
        prediction: boolean.
        truth: boolean.
        spacing: millimeters a pixel, (vertical, horizontal): the distance is in millimeters then, else in pixels.

    Raises:
        InputError: a mask is not boolean of rank 2, the shapes differ, or the spacing is not two numbers above 0.
    """
    return _average_distance(_distances_of_masks(prediction, truth, spacing))


def boundary_f1(prediction: Mask, truth: Mask, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """Give the boundary F1 score (Csurka et al. 2013) of two masks (H, W): 0 to 1, empty on empty 1.

    It is the harmonic mean of the share of the prediction's edge pixels that are no farther than the tolerance from the
    truth's edge, and of the reverse. A mask beside an empty one has 0.

    Args:
        prediction: boolean.
        truth: boolean.
        tolerance: as a fraction of the image's diagonal, 0 or more; 0.75 % is that of the publication.

    Raises:
        InputError: a mask is not boolean of rank 2, the shapes differ, or the tolerance is not a number of at least 0.
    """
    if not 0 <= tolerance < math.inf:
        raise InputError(f"the tolerance is {tolerance}: expected a fraction of the image's diagonal, 0 or more")
    counts = _count_pixels(prediction, truth)
    return _boundary_f1(_directed_distances(_edges(prediction, truth)), counts, tolerance * math.hypot(*truth.shape))


def area_error(prediction: Mask, truth: Mask) -> float:
    """Give the area error ratio of the breast-ultrasound benchmark BUSIS (Zhang et al. 2022) of two masks (H, W).

    It is the area where the masks differ as a share of the lesion's, (|P or T| - |P and T|) / |T|: 0 or more, above 1
    where more is wrong than there is lesion, NaN on an empty truth.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _area_error(_count_pixels(prediction, truth))


def area_difference(prediction: Mask, truth: Mask) -> float:
    """Give by how much the predicted area is too large, as a share of the lesion's, of two masks (H, W).

    It is (|P| - |T|) / |T|, the relative volume difference of Heimann et al. (2009) in two dimensions, with its sign:
    -1 (nothing predicted) or more, below 0 where the prediction is too small, NaN on an empty truth. It says nothing of
    where the areas lie.

    Raises:
        InputError: a mask is not boolean of rank 2 or the shapes differ.
    """
    return _area_difference(_count_pixels(prediction, truth))


def segmentation_metrics(prediction: Mask, truth: Mask, spacing: Sequence[float] | None = None) -> dict[str, float]:
    """Give every metric of this module for two masks (H, W), in one pass over the edges.

    The keys are `dice`, `iou`, `hd95`, `assd`, `precision`, `recall`, `boundary_f1`, `area_error`, `area_difference`,
    `hd95_mm`, `assd_mm`, and `lesion_true_positives`, `lesion_false_positives` and `lesion_false_negatives` of
    :func:`~acsnet.metrics.count_lesions`. Distances are NaN where either mask is empty, those in millimeters also
    without a spacing; errors of the area are NaN on an empty truth.

    Args:
        prediction: boolean.
        truth: boolean.
        spacing: millimeters a pixel, (vertical, horizontal), where known.

    Raises:
        InputError: a mask is not boolean of rank 2, the shapes differ, or the spacing is not two numbers above 0.
    """
    counts = _count_pixels(prediction, truth)
    edges = _edges(prediction, truth)
    distances = _directed_distances(edges)
    millimeters = _in_millimeters(edges, distances, spacing)
    return {
        "dice": _dice(counts),
        "iou": _iou(counts),
        "hd95": _hausdorff_95(distances),
        "assd": _average_distance(distances),
        "precision": _precision(counts),
        "recall": _recall(counts),
        "boundary_f1": _boundary_f1(distances, counts, BOUNDARY_TOLERANCE * math.hypot(*truth.shape)),
        "area_error": _area_error(counts),
        "area_difference": _area_difference(counts),
        "hd95_mm": _hausdorff_95(millimeters),
        "assd_mm": _average_distance(millimeters),
        **dict(zip(LESION_COUNTS, count_lesions(prediction, truth), strict=True)),
    }


def _count_pixels(prediction: Mask, truth: Mask) -> _PixelCounts:
    check_masks(prediction, truth)
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


def _distances_of_masks(prediction: Mask, truth: Mask, spacing: Sequence[float] | None) -> _Distances | None:
    check_masks(prediction, truth)
    if spacing is not None:
        _check_pixel_size(spacing)
    return _directed_distances(_edges(prediction, truth), spacing)


def _edges(prediction: Mask, truth: Mask) -> tuple[Mask, Mask] | None:
    """Give the edges of both masks within the box around both; None where either mask is empty."""
    if not prediction.any() or not truth.any():
        return None
    # Importing MONAI takes seconds: only who asks for a surface distance pays for it.
    from monai.metrics import get_mask_edges

    # The crop changes nothing (outside it both masks are empty, and a mask pixel at its border is an edge pixel either
    # way), but makes small lesions in large images many times faster. MONAI's own crop is slower.
    prediction_edge, truth_edge = get_mask_edges(*crop_to_foreground(prediction, truth), crop=False)
    return prediction_edge, truth_edge


def _directed_distances(edges: tuple[Mask, Mask] | None, spacing: Sequence[float] | None = None) -> _Distances | None:
    """Give each edge pixel's distance to the other mask's edge, both ways; None where either mask is empty."""
    if edges is None:
        return None
    from monai.metrics import get_surface_distance

    there, back = edges, edges[::-1]
    return get_surface_distance(*there, spacing=spacing), get_surface_distance(*back, spacing=spacing)


def _check_pixel_size(spacing: Sequence[float]) -> None:
    if len(spacing) != 2 or not all(0 < value < math.inf for value in spacing):
        raise InputError(
            f"the spacing is {tuple(spacing)}: expected two numbers above 0, millimeters a pixel (vertical, horizontal)"
        )


def _in_millimeters(
    edges: tuple[Mask, Mask] | None, distances: _Distances | None, spacing: Sequence[float] | None
) -> _Distances | None:
    """Give distances again, None where the spacing is not known."""
    if spacing is None:
        return None
    _check_pixel_size(spacing)
    if distances is not None and spacing[0] == spacing[1]:
        # The search for the nearest pixel need not be done again.
        return spacing[0] * distances[0], spacing[0] * distances[1]
    return _directed_distances(edges, spacing)


def _hausdorff_95(distances: _Distances | None) -> float:
    if distances is None:
        return math.nan
    return max(float(np.percentile(one_way, 95)) for one_way in distances)


def _average_distance(distances: _Distances | None) -> float:
    if distances is None:
        return math.nan
    return float(np.concatenate(distances).mean(dtype=np.float64))


def _boundary_f1(distances: _Distances | None, counts: _PixelCounts, tolerance: float) -> float:
    if distances is None:
        return float(counts.prediction == counts.truth)
    precision, recall = (float(np.mean(one_way <= tolerance)) for one_way in distances)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
