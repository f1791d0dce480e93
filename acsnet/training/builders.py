"""Builders of model, loss and augmentation, each from its section of the configuration."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from acsnet import losses
from acsnet.config import LossConfig, ModelConfig, TransformConfig
from acsnet.data import Augmentation
from acsnet.errors import ConfigError
from acsnet.labels import NORMAL
from acsnet.models import create_model, model_entry
from acsnet.models._registry import saved_arguments


def build_model(config: ModelConfig, classes: Sequence[str]) -> nn.Module:
    """Build the configured model with one output per class.

    Raises:
        AcsnetError: if the model does not take the configured arguments.
    """
    arguments = model_arguments(config, classes)
    model = create_model(config.name, num_classes=len(classes), encoder_weights=config.encoder_weights, **arguments)
    # A checkpoint with other arguments could be written, but not be loaded.
    saved_arguments(config.name, arguments)
    return model


def model_arguments(config: ModelConfig, classes: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of the model except name, classes and pretrained weights, as checkpoints store them.

    A model that joins the tasks by the normal class gets the index of that class.

    Raises:
        ConfigError: if such a model is trained without a class "normal".
    """
    arguments = {"in_channels": config.in_channels, "tasks": list(config.tasks), **config.arguments}
    if len(config.tasks) == 2 and model_entry(config.name).needs_normal_class:
        if NORMAL not in classes:
            raise ConfigError(
                f"model {config.name} needs a class {NORMAL!r}, data.classes has {', '.join(classes)}: add it, or "
                "choose another network"
            )
        arguments.setdefault("normal_index", classes.index(NORMAL))
    return arguments


def build_augmentation(
    steps: Sequence[TransformConfig], image_size: tuple[int, int], channels: int
) -> Augmentation | None:
    """Build the augmentation, or return None if no step is configured.

    Raises:
        ConfigError: if it cannot be built or applied.
    """
    return Augmentation(steps, image_size, channels) if steps else None


def build_loss(config: LossConfig, tasks: Sequence[str], class_counts: Sequence[int]) -> losses.MultiTaskLoss:
    """Build the loss of the tasks of the model.

    Args:
        config: the loss section of the configuration.
        tasks: tasks of the model.
        class_counts: number of images of each class in an epoch, for weights that are ``balanced``.

    Raises:
        UnknownNameError: for an unknown loss.
        InputError: for arguments that a loss does not take.
    """
    terms = {
        "segmentation": [(term.name, term.weight, term.arguments) for term in config.segmentation],
        "classification": [
            (term.name, term.weight, _with_balanced_weights(term.arguments, class_counts))
            for term in config.classification
        ],
    }
    arguments = {"segmentation_weight": config.segmentation_weight} if config.weighting == "fixed" else {}
    distillation = None
    if config.distillation is not None:
        distillation = losses.DistillationLoss(config.distillation.weight, config.distillation.temperature)
    return losses.MultiTaskLoss(
        losses.build_loss("segmentation", terms["segmentation"]) if "segmentation" in tasks else None,
        losses.build_loss("classification", terms["classification"]) if "classification" in tasks else None,
        losses.build_weighting(config.weighting, arguments),
        config.deep_supervision,
        distillation,
    )


# Arguments of classification losses that may be "balanced", and how they are computed from the class counts.
_BALANCED: dict[str, Callable[[Sequence[int]], torch.Tensor]] = {
    "class_weights": losses.class_weights_from_counts,
    "alpha": losses.focal_alpha_from_counts,
}


def _with_balanced_weights(arguments: Mapping[str, Any], class_counts: Sequence[int]) -> dict[str, Any]:
    return {
        name: _BALANCED[name](class_counts).tolist() if name in _BALANCED and value == "balanced" else value
        for name, value in arguments.items()
    }
