"""Distances between the edges of two masks, as MONAI defines edges and distances."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet._utils.extras import explain_missing
from acsnet.errors import InputError
from acsnet.metrics._masks import AnyMask, Mask, as_masks, crop_to_foreground

# From each edge pixel of the prediction to the edge of the truth, and vice versa.
Distances = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def distances_of_masks(prediction: AnyMask, truth: AnyMask, spacing: Sequence[float] | None) -> Distances | None:
    """Return the distances between the edges of two masks (H, W); None if one of the masks is empty.

    Args:
        prediction: predicted mask.
        truth: true mask.
        spacing: millimeters per pixel, (vertical, horizontal), or None for distances in pixels.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, if the shapes differ, or if the
            spacing is not two numbers above 0.
    """
    prediction, truth = as_masks(prediction, truth)
    if spacing is not None:
        check_spacing(spacing)
    return directed_distances(find_edges(prediction, truth), spacing)


def find_edges(prediction: Mask, truth: Mask) -> tuple[Mask, Mask] | None:
    """Return the edges of both masks within their common bounding box; None if one of the masks is empty."""
    if not prediction.any() or not truth.any():
        return None
    # The import of MONAI takes seconds. MONAI computes edges and distances with scipy.
    with explain_missing("the distance of masks"):
        import scipy  # noqa: F401
        from monai.metrics import get_mask_edges

    # The crop does not change the result: outside it both masks are empty, and a mask pixel at its border is an edge
    # pixel in any case. It is many times faster for small lesions in large images; MONAI's own crop is slower.
    prediction_edge, truth_edge = get_mask_edges(*crop_to_foreground(prediction, truth), crop=False)
    return prediction_edge, truth_edge


def directed_distances(edges: tuple[Mask, Mask] | None, spacing: Sequence[float] | None = None) -> Distances | None:
    """Return the distance of each edge pixel to the edge of the other mask; None if one of the masks is empty."""
    if edges is None:
        return None
    with explain_missing("the distance of masks"):
        from monai.metrics import get_surface_distance

    prediction, truth = edges
    forward = get_surface_distance(prediction, truth, spacing=spacing)
    return forward, get_surface_distance(truth, prediction, spacing=spacing)


def check_spacing(spacing: Sequence[float]) -> None:
    """Check a spacing in millimeters per pixel.

    Raises:
        InputError: if it is not two numbers above 0.
    """
    if len(spacing) != 2 or not all(0 < value < math.inf for value in spacing):
        raise InputError(
            f"the spacing is {tuple(spacing)}: expected two numbers above 0, "
            "millimeters per pixel (vertical, horizontal)"
        )


def in_millimeters(
    edges: tuple[Mask, Mask] | None, distances: Distances | None, spacing: Sequence[float] | None
) -> Distances | None:
    """Return the distances in millimeters; None if the spacing is unknown or one of the masks is empty.

    Raises:
        InputError: if the spacing is not two numbers above 0.
    """
    if spacing is None:
        return None
    check_spacing(spacing)
    if distances is not None and spacing[0] == spacing[1]:
        # The nearest pixels are the same.
        return spacing[0] * distances[0], spacing[0] * distances[1]
    return directed_distances(edges, spacing)


def largest_percentile(distances: Distances | None) -> float:
    """Return the larger of the 95th percentiles of both directions; NaN without distances."""
    if distances is None:
        return math.nan
    return max(float(np.percentile(one_way, 95)) for one_way in distances)


def mean_distance(distances: Distances | None) -> float:
    """Return the mean over both directions together; NaN without distances."""
    if distances is None:
        return math.nan
    return float(np.concatenate(distances).mean(dtype=np.float64))
