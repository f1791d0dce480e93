"""Metrics: of masks (per image), of lesions, and of classes (per set of images).

They take NumPy arrays and PyTorch tensors. :mod:`acsnet.metrics.for_torchmetrics` has them as classes of torchmetrics.
"""

from acsnet.metrics.calibration import brier_score, expected_calibration_error, reliability_bins
from acsnet.metrics.classification import classification_metrics, sensitivity_at_specificity
from acsnet.metrics.detection import LesionCounts, count_lesions, detection_metrics
from acsnet.metrics.overall import overall_score
from acsnet.metrics.segmentation import (
    area_difference,
    area_error,
    average_surface_distance,
    boundary_f1,
    dice_score,
    hausdorff_distance_95,
    iou_score,
    pixel_precision,
    pixel_recall,
    segmentation_metrics,
)
from acsnet.metrics.summary import summarize_segmentation

__all__ = [
    "LesionCounts",
    "area_difference",
    "area_error",
    "average_surface_distance",
    "boundary_f1",
    "brier_score",
    "classification_metrics",
    "count_lesions",
    "detection_metrics",
    "dice_score",
    "expected_calibration_error",
    "hausdorff_distance_95",
    "iou_score",
    "overall_score",
    "pixel_precision",
    "pixel_recall",
    "reliability_bins",
    "segmentation_metrics",
    "sensitivity_at_specificity",
    "summarize_segmentation",
]
