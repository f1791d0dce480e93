"""The complete configuration: frozen objects whose types, ranges and combinations are checked."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from acsnet._utils.naming import look_up
from acsnet.config.bounds import PrintableName, check_scaled_sides
from acsnet.config.data_section import DataConfig
from acsnet.config.evaluation_section import (
    CHOSEN_ON_VALIDATION,
    METRICS_OF_BOTH_TASKS,
    EvaluationConfig,
    PostprocessingConfig,
    PublicationName,
)
from acsnet.config.paths import without_paths
from acsnet.config.section import Arguments, PositiveInt, Section, UserPath
from acsnet.config.training_sections import LossConfig, OptimizerConfig, ScheduleConfig, TrainingConfig, TransformConfig
from acsnet.labels import NORMAL, TASKS, Task

# Arguments of create_model that have a place of their own in a configuration.
_OTHER_PLACES = {
    "name": "set model.name",
    "num_classes": "it is the number of data.classes, and a training needs at least one",
    "in_channels": "set model.in_channels",
    "tasks": "set model.tasks",
    "encoder_weights": "set model.encoder_weights",
    "checkpoint": "set model.initial_weights",
}


class ModelConfig(Section):
    """The model, as in ``acsnet.create_model``; the number of classes comes from the data."""

    name: str = Field(description="Name of the model; acsnet.list_models() lists all.")
    in_channels: Literal[1, 3] = Field(default=3, description="Channels of the input: 3 for RGB, 1 for luminance.")
    encoder_weights: str | None = Field(
        default=None,
        description="Pretrained weights of the encoder: imagenet (downloaded by timm), the path of a file with the "
        "names of timm or torchvision or of an EfficientNet-Lite file, or null for random weights.",
    )
    initial_weights: UserPath | None = Field(
        default=None,
        description="A safetensors file or released checkpoint from which every tensor with a matching name and shape "
        "is loaded before training.",
    )
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = Field(default=TASKS, description="Tasks of the model.")
    arguments: Arguments = Field(
        default={},
        description="Further arguments of the model, such as encoder or width; another name drops inherited ones, as "
        "null does.",
    )

    @field_validator("arguments")
    @classmethod
    def _only_further_ones(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, instead in _OTHER_PLACES.items():
            if name in value:
                raise ValueError(f"{name} does not belong here: {instead}")
        return value


class ProtocolConfig(Section):
    """The protocol of a publication: which data it needs, and which configuration suits other data.

    A training on other data is refused unless ``data.allow_missing`` is true.
    """

    publication: PublicationName = Field(description="The publication.")
    images: dict[str, PositiveInt] = Field(description="Number of images of each class in the publication.")
    instead: str = Field(description="Configuration that is recommended for other data.")


class Config(Section):
    """The complete configuration of a run."""

    protocol: ProtocolConfig | None = Field(
        default=None, description="Publication whose protocol this is, or null for a protocol of this project."
    )
    plugins: tuple[PrintableName, ...] = Field(
        default=(),
        description="Modules that are imported when the file is read because its user named it, as by --import: they "
        "register networks, losses, optimizers, datasets, backends and trackers.",
    )
    model: ModelConfig = Field(description="The model.")
    data: DataConfig = Field(default=DataConfig(), description="The images, their classes and their split.")
    augmentation: tuple[TransformConfig, ...] = Field(
        default=(), description="Transforms of training images, in order."
    )
    loss: LossConfig = Field(default=LossConfig(), description="The loss of each task, and their weighting.")
    optimizer: OptimizerConfig = Field(default=OptimizerConfig(), description="The optimizer.")
    schedule: ScheduleConfig = Field(default=ScheduleConfig(), description="The learning rate of each epoch.")
    training: TrainingConfig = Field(default=TrainingConfig(), description="The training loop.")
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), description="Testing and predicting.")

    @field_validator("augmentation", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return () if value is None else value

    @model_validator(mode="after")
    def _check_scales(self) -> "Config":
        check_scaled_sides(self.data.image_size, self.evaluation.test_time_augmentation.scales)
        return self

    @model_validator(mode="after")
    def _check_refining(self) -> "Config":
        refining = self.evaluation.refining
        both = len(self.model.tasks) == 2 and NORMAL in self.data.classes
        if (refining.empty_mask_for_normal or refining.normal_for_empty_mask) and not both:
            raise ValueError(
                "evaluation.refining needs both tasks and a class 'normal' in data.classes: add them, or set both of "
                "its keys to false"
            )
        return self

    @model_validator(mode="after")
    def _check_evaluated_classes(self) -> "Config":
        for name in self.evaluation.classes or ():
            look_up(
                "class in evaluation.classes",
                name,
                dict.fromkeys(self.data.classes),
                f"data.classes has {', '.join(self.data.classes)}",
            )
        return self

    @model_validator(mode="after")
    def _check_masks(self) -> "Config":
        settings = self.evaluation
        asked = (
            ("postprocessing", settings.postprocessing != PostprocessingConfig()),
            ("threshold: validation", settings.threshold == CHOSEN_ON_VALIDATION),
        )
        for key, is_on in asked:
            if is_on and "segmentation" not in self.model.tasks:
                raise ValueError(f"evaluation.{key} needs masks: add segmentation to model.tasks, or remove it")
        return self

    @model_validator(mode="after")
    def _check_published_metrics(self) -> "Config":
        needy = [name for name in self.evaluation.published_metrics if name in METRICS_OF_BOTH_TASKS]
        if needy and len(self.model.tasks) < 2:
            raise ValueError(
                f"evaluation.published_metrics has {', '.join(needy)}, whose metrics need both tasks, but model.tasks "
                f"is {', '.join(self.model.tasks)}: remove {', '.join(needy)}, or add the other task"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain JSON types, from which it can be built again."""
        return self.model_dump(mode="json")

    def for_metadata(self) -> dict[str, Any]:
        """Return the configuration for the metadata of a checkpoint: without paths, and with a number as threshold.

        Encoder weights and teachers are stored by their file names, and a released split by its name.
        """
        content = without_paths(self.to_dict())
        if self.model.encoder_weights is not None:
            content["model"]["encoder_weights"] = Path(self.model.encoder_weights).name
        if self.loss.distillation is not None:
            content["loss"]["distillation"]["teacher"] = [path.name for path in self.loss.distillation.teacher]
        if self.evaluation.threshold == CHOSEN_ON_VALIDATION:
            content["evaluation"]["threshold"] = EvaluationConfig().threshold
        return content

    def to_yaml(self) -> str:
        """Return the resolved configuration as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
