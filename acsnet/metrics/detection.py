"""Lesions found, missed and invented: whole lesions are counted, not pixels.

A lesion is a connected piece of a mask, pixels that touch at a corner belonging together. A lesion of the truth is
found where a piece of the prediction overlaps it by an IoU of at least 0.5, the customary threshold of detection
(PASCAL VOC, Everingham et al. 2010; COCO, Lin et al. 2014). No piece counts for two lesions, nor do two pieces for one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from acsnet.errors import InputError
from acsnet.metrics._masks import Mask, check_masks, crop_to_foreground

IOU_THRESHOLD = 0.5


class LesionCounts(NamedTuple):
    """The lesions of one image.

    Attributes:
        true_positives: lesions of the truth that were found.
        false_positives: pieces of the prediction that found none.
        false_negatives: lesions of the truth that were missed.
    """

    true_positives: int
    false_positives: int
    false_negatives: int


def count_lesions(prediction: Mask, truth: Mask, iou_threshold: float = IOU_THRESHOLD) -> LesionCounts:
    """Count the lesions of two masks (H, W) that were found, invented and missed.

    Each count is 0 or more. Of the ways to pair pieces and lesions that overlap enough, one with the most pairs is
    counted. An empty mask has no lesion: whatever the other mask holds is missed or invented, and empty on empty has
    three zeros.

    Args:
        prediction: boolean.
        truth: boolean.
        iou_threshold: the IoU from which on a lesion is found, above 0 and at most 1.

    Raises:
        InputError: a mask is not boolean of rank 2, the shapes differ, or the threshold is out of range.
    """
    check_masks(prediction, truth)
    if not 0 < iou_threshold <= 1:
        raise InputError(f"the IoU threshold is {iou_threshold}: expected a number above 0 and at most 1")
    if not (prediction.any() or truth.any()):
        return LesionCounts(0, 0, 0)
    prediction, truth = crop_to_foreground(prediction, truth)
    predicted_areas, predicted = _label_pieces(prediction)
    lesion_areas, lesions = _label_pieces(truth)
    both = prediction & truth
    # Sparse, since a prediction of noise has tens of thousands of pieces, of which few meet a lesion.
    overlaps = coo_matrix(
        (np.ones(np.count_nonzero(both), dtype=np.int64), (predicted[both], lesions[both])),
        shape=(len(predicted_areas), len(lesion_areas)),
    )
    overlaps.sum_duplicates()
    unions = predicted_areas[overlaps.row] + lesion_areas[overlaps.col] - overlaps.data
    overlaps.data = overlaps.data / unions >= iou_threshold
    overlaps.eliminate_zeros()
    found = int(np.count_nonzero(maximum_bipartite_matching(overlaps.tocsr(), perm_type="column") >= 0))
    # The first piece of each is the background.
    return LesionCounts(found, len(predicted_areas) - 1 - found, len(lesion_areas) - 1 - found)


def detection_metrics(counts: Sequence[LesionCounts]) -> dict[str, Any]:
    """Give what the lesions of many images, one entry an image, come to together.

    Counts are added up before they are divided, so that an image weighs as many lesions as it has. The result, fit for
    JSON, has

    - `lesions`, `true_positives`, `false_positives` and `false_negatives`: sums over the images.
    - `sensitivity`: the share of the lesions that were found, 0 to 1; None without a lesion.
    - `precision`: the share of the predicted pieces that found a lesion, 0 to 1; None where nothing is predicted.
    - `f1`: 2 TP / (2 TP + FP + FN), 0 to 1; None where there is neither a lesion nor a predicted piece.
    - `false_positives_per_image`: 0 or more; None without an image.
    """
    found, invented, missed = (sum(image[index] for image in counts) for index in range(3))
    return {
        "lesions": found + missed,
        "true_positives": found,
        "false_positives": invented,
        "false_negatives": missed,
        "sensitivity": _share(found, found + missed),
        "precision": _share(found, found + invented),
        "f1": _share(2 * found, 2 * found + invented + missed),
        "false_positives_per_image": _share(invented, len(counts)),
    }


def _label_pieces(mask: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Give the areas of the pieces of a mask, the background first, and of each pixel (H, W) the piece it is in."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.bincount(labels.ravel()), labels


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
