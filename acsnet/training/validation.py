"""Fast validation metrics during training, at the input size of the model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from acsnet.data import Sample
from acsnet.metrics import classification_metrics
from acsnet.models import MultiTaskOutput

SEGMENTATION_METRICS = ("dice", "lesion_dice", "iou")
CLASSIFICATION_METRICS = ("accuracy", "balanced_accuracy", "f1_macro")


def metric_names(tasks: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the metrics that validation computes for the given tasks."""
    segmentation = SEGMENTATION_METRICS if "segmentation" in tasks else ()
    return ("loss", *segmentation, *(CLASSIFICATION_METRICS if "classification" in tasks else ()))


def overlap(mask_logits: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute Dice and IoU per image at a mask probability of 0.5; two empty masks give 1.

    Args:
        mask_logits: (B, 1, H, W).
        truth: (B, 1, H, W) bool.

    Returns:
        Dice and IoU, two float tensors (B,).
    """
    prediction = mask_logits > 0
    both = (prediction & truth).sum(dim=(1, 2, 3)).float()
    sizes = prediction.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
    empty = sizes == 0
    dice = torch.where(empty, 1.0, 2 * both / sizes.clamp(min=1))
    iou = torch.where(empty, 1.0, both / (sizes - both).clamp(min=1))
    return dice, iou


def segmentation_summary(
    dice: npt.NDArray[np.float64], iou: npt.NDArray[np.float64], has_lesion: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Compute means over images; ``lesion_dice`` over images with a lesion, or over all if there are none."""
    lesions = dice[has_lesion] if has_lesion.any() else dice
    return {"dice": float(dice.mean()), "lesion_dice": float(lesions.mean()), "iou": float(iou.mean())}


def classification_summary(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], class_names: Sequence[str]
) -> dict[str, float]:
    """Compute the metrics of :data:`CLASSIFICATION_METRICS`."""
    metrics = classification_metrics(labels, probabilities, class_names)
    return {name: float(metrics[name]) for name in CLASSIFICATION_METRICS}


def case_values(output: MultiTaskOutput, batch: Sample, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the values of each image that validation needs; the loss is that of the batch."""
    values = {"labels": batch["label"], "loss": loss.expand(len(batch["label"]))}
    outputs = [logits.flatten(1) for logits in (output.mask, output.label) if logits is not None]
    values["is_finite"] = torch.cat(outputs, dim=1).isfinite().all(dim=1)
    if output.mask is not None:
        dice, iou = overlap(output.mask, batch["mask"])
        values |= {"dice": dice, "iou": iou, "has_lesion": batch["mask"].flatten(1).any(dim=1)}
    if output.label is not None:
        values["probabilities"] = output.label.softmax(dim=1)
    return values


def summarize_cases(cases: Mapping[str, npt.NDArray[Any]], class_names: Sequence[str]) -> dict[str, float]:
    """Compute the validation metrics from the values of all images, see :func:`case_values`."""
    metrics = {"loss": float(cases["loss"].mean())}
    if "dice" in cases:
        metrics |= segmentation_summary(cases["dice"], cases["iou"], cases["has_lesion"])
    if "probabilities" in cases:
        metrics |= classification_summary(cases["labels"], cases["probabilities"], class_names)
    return metrics
