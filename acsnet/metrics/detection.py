"""Detection metrics, which count lesions instead of pixels.

A lesion is a connected component of a mask; pixels that touch at a corner are connected. A true lesion is detected if a
component of the prediction has an IoU of at least 0.5 with it, the usual threshold of detection (PASCAL VOC, Everingham
et al. 2010; COCO, Lin et al. 2014). Each component is matched with at most one lesion, and each lesion with at most one
component.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from acsnet._utils.components import label_components
from acsnet._utils.extras import explain_missing
from acsnet.errors import InputError
from acsnet.metrics._masks import AnyMask, as_masks, crop_to_foreground

IOU_THRESHOLD = 0.5


class LesionCounts(NamedTuple):
    """Counts of the lesions in one image.

    Attributes:
        true_positives: number of true lesions that are detected.
        false_positives: number of components of the prediction that match no lesion.
        false_negatives: number of true lesions that are not detected.
    """

    true_positives: int
    false_positives: int
    false_negatives: int


def count_lesions(prediction: AnyMask, truth: AnyMask, iou_threshold: float = IOU_THRESHOLD) -> LesionCounts:
    """Count the detected, missed and falsely detected lesions of an image.

    Components and lesions are matched so that the number of pairs is as large as possible. An empty mask has no
    lesion, so that all counts are 0 if both masks are empty.

    Args:
        prediction: predicted mask (H, W): an array or a tensor of booleans, or of 0 and 1.
        truth: true mask (H, W), likewise.
        iou_threshold: minimum IoU of a detected lesion, above 0 and at most 1.

    Raises:
        InputError: if a mask has not two dimensions or values other than 0 and 1, if the shapes differ, or if the
            threshold is out of range.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import count_lesions
        >>> truth = np.zeros((16, 16), dtype=bool)
        >>> truth[2:6, 2:6] = True
        >>> prediction = truth.copy()
        >>> prediction[10:14, 10:14] = True
        >>> count_lesions(prediction, truth)
        LesionCounts(true_positives=1, false_positives=1, false_negatives=0)
    """
    with explain_missing("counting lesions"):
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import maximum_bipartite_matching

    prediction, truth = as_masks(prediction, truth)
    if not 0 < iou_threshold <= 1:
        raise InputError(f"the IoU threshold is {iou_threshold}: expected a number above 0 and at most 1")
    if not (prediction.any() or truth.any()):
        return LesionCounts(0, 0, 0)
    prediction, truth = crop_to_foreground(prediction, truth)
    predicted, predicted_areas = label_components(prediction)
    lesions, lesion_areas = label_components(truth)
    both = prediction & truth
    # Sparse, since a noisy prediction has tens of thousands of components, few of which overlap a lesion.
    overlaps = coo_matrix(
        (np.ones(np.count_nonzero(both), dtype=np.int64), (predicted[both], lesions[both])),
        shape=(len(predicted_areas), len(lesion_areas)),
    )
    overlaps.sum_duplicates()
    unions = predicted_areas[overlaps.row] + lesion_areas[overlaps.col] - overlaps.data
    overlaps.data = overlaps.data / unions >= iou_threshold
    overlaps.eliminate_zeros()
    detected = int(np.count_nonzero(maximum_bipartite_matching(overlaps.tocsr(), perm_type="column") >= 0))
    # The first component of each mask is the background.
    return LesionCounts(detected, len(predicted_areas) - 1 - detected, len(lesion_areas) - 1 - detected)


def detection_metrics(counts: Sequence[LesionCounts]) -> dict[str, Any]:
    """Compute the detection metrics of a set of images.

    Counts are summed over the images before they are divided, so that all lesions have the same weight.

    Args:
        counts: result of :func:`count_lesions` for each image.

    Returns:
        A dictionary that can be written as JSON, with the keys

        - `lesions`, `true_positives`, `false_positives` and `false_negatives`: sums over the images.
        - `sensitivity`: fraction of the true lesions that are detected, 0 to 1; None without lesions.
        - `precision`: fraction of the predicted components that match a lesion, 0 to 1; None without components.
        - `f1`: 2 TP / (2 TP + FP + FN), 0 to 1; None without lesions and components.
        - `false_positives_per_image`: 0 or more; None without images.

    Example:
        >>> from acsnet.metrics import LesionCounts, detection_metrics
        >>> metrics = detection_metrics([LesionCounts(1, 1, 0), LesionCounts(0, 0, 1)])
        >>> metrics["sensitivity"], metrics["precision"], metrics["false_positives_per_image"]
        (0.5, 0.5, 0.5)
    """
    tp, fp, fn = (sum(image[index] for image in counts) for index in range(3))
    return {
        "lesions": tp + fn,
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "sensitivity": _ratio(tp, tp + fn),
        "precision": _ratio(tp, tp + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "false_positives_per_image": _ratio(fp, len(counts)),
    }


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
