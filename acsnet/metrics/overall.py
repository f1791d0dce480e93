"""One figure for both tasks."""

from acsnet.errors import InputError


def overall_score(iou: float, dice: float, segmentation_f1: float, classification_f1: float) -> float:
    """Give the overall score of Chung et al. (2024, arXiv:2401.07326): 0 to 1, both tasks weighing the same.

    It is ((IoU + Dice + segmentation F1) / 3 + classification F1) / 2 of figures over a test set. The publication does
    not say how its F1 scores are averaged. The F1 score of the pixels of one mask is its Dice coefficient, and so are
    their means over images: for six of the sixteen networks it lists the two as equal. Its classification F1 lies far
    below the accuracy, as a mean over classes may and one weighted by their sizes hardly can. Those two, the mean Dice
    coefficient and the macro F1, are what :func:`~acsnet.evaluation.evaluate` takes.

    Raises:
        InputError: a figure is not in 0 to 1.
    """
    figures = {
        "IoU": iou,
        "Dice": dice,
        "segmentation F1": segmentation_f1,
        "classification F1": classification_f1,
    }
    for name, value in figures.items():
        if not 0 <= value <= 1:
            raise InputError(f"the {name} is {value}: expected a number in 0 to 1")
    return ((iou + dice + segmentation_f1) / 3 + classification_f1) / 2
