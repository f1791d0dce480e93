"""A metric of both tasks."""

from acsnet.errors import InputError


def overall_score(iou: float, dice: float, segmentation_f1: float, classification_f1: float) -> float:
    """Compute the overall score of Chung et al. (2024, arXiv:2401.07326), 0 to 1, with equal weights for both tasks.

    It is ((IoU + Dice + segmentation F1) / 3 + classification F1) / 2, with metrics of a whole test set. The
    publication does not state how its F1 scores are averaged. :func:`~acsnet.evaluation.evaluate` uses

    - as segmentation F1 the mean Dice coefficient: the F1 score of the pixels of a mask is its Dice coefficient, and
      the publication lists the same value for both for six of its sixteen networks;
    - as classification F1 the macro F1: the published values are far below the accuracy, which a mean weighted by the
      sizes of the classes would hardly be.

    Args:
        iou: mean IoU, 0 to 1.
        dice: mean Dice coefficient, 0 to 1.
        segmentation_f1: mean F1 score of the pixels, 0 to 1.
        classification_f1: F1 score of the classes, 0 to 1.

    Raises:
        InputError: if a metric is not in 0 to 1.

    Example:
        >>> from acsnet.metrics import overall_score
        >>> round(overall_score(iou=0.6, dice=0.7, segmentation_f1=0.8, classification_f1=0.9), 3)
        0.8
    """
    metrics = {
        "IoU": iou,
        "Dice": dice,
        "segmentation F1": segmentation_f1,
        "classification F1": classification_f1,
    }
    for name, value in metrics.items():
        if not 0 <= value <= 1:
            raise InputError(f"the {name} is {value}: expected a number in 0 to 1")
    return ((iou + dice + segmentation_f1) / 3 + classification_f1) / 2
