"""Losses: for the mask, for the class, and for both tasks together."""

from acsnet.losses.build import (
    CLASSIFICATION_LOSSES,
    SEGMENTATION_LOSSES,
    WEIGHTINGS,
    WeightedSum,
    build_loss,
    build_weighting,
    register_loss,
)
from acsnet.losses.classification import (
    ClassFocalLoss,
    CrossEntropyLoss,
    class_weights_from_counts,
    focal_alpha_from_counts,
)
from acsnet.losses.distillation import DistillationLoss
from acsnet.losses.multitask import DEEP_SUPERVISION_SCHEMES, LossValues, MultiTaskLoss, deep_supervision_weights
from acsnet.losses.segmentation import BCELoss, DiceForegroundBackgroundLoss, DiceLoss, FocalLoss
from acsnet.losses.weighting import FixedWeighting, UncertaintyWeighting

__all__ = [
    "CLASSIFICATION_LOSSES",
    "DEEP_SUPERVISION_SCHEMES",
    "SEGMENTATION_LOSSES",
    "WEIGHTINGS",
    "BCELoss",
    "ClassFocalLoss",
    "CrossEntropyLoss",
    "DiceForegroundBackgroundLoss",
    "DiceLoss",
    "DistillationLoss",
    "FixedWeighting",
    "FocalLoss",
    "LossValues",
    "MultiTaskLoss",
    "UncertaintyWeighting",
    "WeightedSum",
    "build_loss",
    "build_weighting",
    "class_weights_from_counts",
    "deep_supervision_weights",
    "focal_alpha_from_counts",
    "register_loss",
]
