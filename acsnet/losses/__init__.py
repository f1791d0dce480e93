"""What training minimizes: losses of the mask, losses of the class, and how they become one."""

from acsnet.losses.balance import FixedBalance, UncertaintyBalance
from acsnet.losses.build import (
    BALANCES,
    CLASSIFICATION_LOSSES,
    SEGMENTATION_LOSSES,
    WeightedSum,
    build_balance,
    build_loss,
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

__all__ = [
    "BALANCES",
    "CLASSIFICATION_LOSSES",
    "DEEP_SUPERVISION_SCHEMES",
    "SEGMENTATION_LOSSES",
    "BCELoss",
    "ClassFocalLoss",
    "CrossEntropyLoss",
    "DiceForegroundBackgroundLoss",
    "DiceLoss",
    "DistillationLoss",
    "FixedBalance",
    "FocalLoss",
    "LossValues",
    "MultiTaskLoss",
    "UncertaintyBalance",
    "WeightedSum",
    "build_balance",
    "build_loss",
    "class_weights_from_counts",
    "deep_supervision_weights",
    "focal_alpha_from_counts",
]
