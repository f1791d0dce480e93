"""The metadata of the checkpoint of a training."""

from collections.abc import Mapping, Sequence
from typing import Any

from acsnet.checkpoints import CheckpointMetadata
from acsnet.config import Config
from acsnet.models._registry import plugins_of
from acsnet.training.builders import model_arguments
from acsnet.training.data import TrainingData


def describe_checkpoint(
    config: Config,
    data: TrainingData,
    normalization: tuple[tuple[float, ...], tuple[float, ...]],
    encoder_weights: Sequence[dict[str, Any]],
    row: Mapping[str, Any],
    teacher_protocol: str | None,
) -> CheckpointMetadata:
    """Return the metadata of the checkpoint of an epoch.

    Args:
        config: the configuration of the training.
        data: records and split.
        normalization: mean and standard deviation of the normalization of images.
        encoder_weights: origin of the pretrained weights of each encoder.
        row: the row of the epoch in ``history.csv``.
        teacher_protocol: what the teacher was trained on, or None without a teacher.
    """
    metrics = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
    subset = "test" if data.split.is_validated_on_test else "validation"
    protocol = f"{subset} subset at {'x'.join(map(str, config.data.image_size))}, epoch {row['epoch']}"
    if teacher_protocol is not None:
        protocol += f"; {teacher_protocol}"
    mean, std = normalization
    arguments = model_arguments(config.model, config.data.classes)
    return CheckpointMetadata(
        model=config.model.name,
        arguments=arguments,
        class_names=config.data.classes,
        input_size=config.data.image_size,
        crop_margins=config.data.crop_margins,
        keep_aspect=config.data.keep_aspect,
        mean=mean,
        std=std,
        metrics={"protocol": protocol, **metrics},
        dataset=data.description,
        split_hash=data.split.hash,
        encoder_weights=tuple(encoder_weights),
        selected_on="test" if data.split.is_validated_on_test else "validation",
        config=config.for_metadata(),
        plugins=plugins_of(config.model.name, arguments),
    )
