"""What a prediction is worth: of a mask (an image at a time) and of a class (a set of images at a time)."""

from acsnet.metrics.classification import classification_metrics
from acsnet.metrics.segmentation import (
    average_surface_distance,
    dice_score,
    hausdorff_distance_95,
    iou_score,
    pixel_precision,
    pixel_recall,
    segmentation_metrics,
    summarise_segmentation,
)

__all__ = [
    "average_surface_distance",
    "classification_metrics",
    "dice_score",
    "hausdorff_distance_95",
    "iou_score",
    "pixel_precision",
    "pixel_recall",
    "segmentation_metrics",
    "summarise_segmentation",
]
