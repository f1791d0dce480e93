"""The sections of a configuration: frozen objects whose types, ranges and combinations are checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from acsnet._utils.naming import look_up
from acsnet.config.bounds import (
    MAX_BATCH,
    MAX_SCALES,
    Flag,
    Mean,
    PrintableName,
    Real,
    Side,
    StandardDeviation,
    Whole,
    check_scaled_sides,
)
from acsnet.config.paths import without_paths
from acsnet.labels import CLASS_NAMES, NORMAL, TASKS, Task

Subset = Literal["train", "val", "test", "all"]
Fraction = Annotated[Real, Field(ge=0, le=1)]
# A path in which ~ is the home folder, as in a shell.
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
PositiveInt = Annotated[Whole, Field(ge=1)]
PositiveReal = Annotated[Real, Field(gt=0)]


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


# Label of the data -> class; null, unlike {}, removes the entries of a parent file or of the training.
ClassMap = Annotated[dict[str, str], BeforeValidator(_none_is_empty)]
# One path, or a list of them.
UserPaths = Annotated[tuple[UserPath, ...], Field(min_length=1), BeforeValidator(_one_or_several)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and objects are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


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
    tasks: tuple[Task, ...] = Field(default=TASKS, description="Tasks of the model.")
    arguments: dict[str, Any] = Field(
        default={}, description="Further arguments of the model, such as encoder or width."
    )


VALIDATED_ON_TEST = "test"


def _fraction_or_test(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != VALIDATED_ON_TEST and not (is_number and 0 < value <= 0.5):
        raise ValueError(f"{value!r} is neither a number above 0 and up to 0.5 nor the word {VALIDATED_ON_TEST!r}")
    return value


class FoldsConfig(Section):
    """The random split: fold ``index`` of ``count`` is tested, or the fraction ``test`` in a single split."""

    count: Annotated[Whole, Field(ge=2)] = Field(default=5, description="Number of folds.")
    index: Annotated[Whole, Field(ge=0)] = Field(default=0, description="The tested fold, 0 to count - 1.")
    test: Annotated[Real, Field(gt=0, le=0.5)] | None = Field(
        default=None, description="Fraction of the images that is tested in a single split, instead of count and index."
    )
    validation: Annotated[float | Literal["test"], BeforeValidator(_fraction_or_test)] = Field(
        default=0.125,
        description="Fraction of the remaining images that is the validation subset, or test to validate on the test "
        "subset, as some publications do, which marks the checkpoint as selected on it.",
    )
    grouped: Flag = Field(
        default=True,
        description="Keep copies and all images of a patient in one subset, and balance classes and lesion sizes "
        "between subsets; false splits at random, as scikit-learn does.",
    )
    stratified: Flag = Field(
        default=False, description="Balance the classes of a split at random; needs grouped: false."
    )
    seed: Whole = Field(default=0, description="Seed of the split.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        return {key: value for key, value in content.items() if value is not None or key not in WAYS_TO_TEST}

    @model_validator(mode="after")
    def _one_way_to_test(self) -> "FoldsConfig":
        if self.test is not None and self.model_fields_set & {"count", "index"}:
            both = [f"{key} ({getattr(self, key)})" for key in WAYS_TO_TEST if key in self.model_fields_set]
            raise ValueError(
                f"{', '.join(both)} are set together: set count and index for folds, or test for a single split, "
                "and null for the other"
            )
        if self.stratified and self.grouped:
            raise ValueError(
                "stratified and grouped are both true: groups are always balanced by class; set grouped to false for a "
                "stratified split at random"
            )
        if self.index >= self.count:
            raise ValueError(f"index is {self.index}; with count {self.count} it must be at most {self.count - 1}")
        return self

    @model_serializer(mode="wrap")
    def _only_used_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = {"test"} if self.test is None else {"count", "index"}
        if not self.stratified:
            unused.add("stratified")
        return {key: value for key, value in serialize(self).items() if key not in unused}


WAYS_TO_TEST = ("count", "index", "test")
WAYS_TO_NAME_DATA = ("root", "records")


class DataConfig(Section):
    """The images, their classes and their split; exactly one of ``root`` and ``records`` is needed to read data."""

    root: UserPath | None = Field(default=None, description="Folder of the images in the published layout of dataset.")
    dataset: str = Field(
        default="busi", description="Dataset whose layout root has; acsnet.data.list_datasets() lists all."
    )
    records: UserPaths | None = Field(
        default=None, description="A CSV table of records, or a list of them, instead of root."
    )
    class_map: ClassMap = Field(
        default={}, description="Class of each label of the data, as in {cyst: benign}; null removes an inherited map."
    )
    classes: tuple[PrintableName, ...] = Field(
        default=CLASS_NAMES, description="Class names in the order of the outputs of the model."
    )
    image_size: tuple[Side, Side] = Field(
        default=(256, 256), description="Height and width that images are resized to."
    )
    crop_margins: Flag = Field(
        default=False,
        description="Crop each image to the scanned region, without uniform margins of any color, frames and rulers; "
        "predicted masks have the size of the whole image, and the checkpoint stores the key.",
    )
    keep_aspect: Flag = Field(
        default=False,
        description="Keep the ratio of height and width, and pad the image to image_size with the gray value of mean "
        "instead of stretching it; the checkpoint stores the key.",
    )
    mean: tuple[Mean, ...] | None = Field(
        default=None,
        description="Mean of the normalization (pixel / 255 - mean) / std, one value or one per channel; null is that "
        "of the training of model.encoder_weights, or 0.330 without them.",
    )
    std: tuple[StandardDeviation, ...] | None = Field(
        default=None,
        description="Standard deviation of the normalization, one value or one per channel; null is that of the "
        "training of model.encoder_weights, or 0.204 without them.",
    )
    image_list: UserPath | None = Field(
        default=None,
        description="A CSV list of the images to use, with the columns class and id; other images are left out, and "
        "folds at random follow its order.",
    )
    allow_missing: Flag = Field(
        default=False,
        description="Train although images of image_list, or of the data of the publication, are missing.",
    )
    folds: FoldsConfig = Field(default=FoldsConfig(), description="The random split.")
    split_file: UserPath | None = Field(
        default=None,
        description="Subset of each image, instead of folds: a CSV table such as split.csv of a run, or the name of a "
        "released split.",
    )
    split: Subset = Field(default="test", description="Subset that tools/test.py tests.")
    oversample: Literal[False, "largest_class", "aumente2025"] = Field(
        default=False,
        description="Repeat the training images of small classes, without randomness: largest_class until all classes "
        "are about as frequent as the largest one, aumente2025 by the rule of that publication, or false.",
    )
    plain_copies: Flag = Field(
        default=False, description="Also show each training image without augmentation, once per epoch."
    )
    cache: UserPath | None = Field(
        default=None,
        description="Folder of decoded images; null is the environment variable ACSNET_CACHE, or ~/.cache/acsnet.",
    )
    workers: Annotated[Whole, Field(ge=0)] = Field(default=0, description="Worker processes that load training images.")

    @model_validator(mode="after")
    def _consistent(self) -> "DataConfig":
        if self.root is not None and self.records is not None:
            raise ValueError("root and records are both set: set the folder or the table, and null for the other")
        if self.records is not None and len(set(self.records)) != len(self.records):
            raise ValueError(f"records is {[str(path) for path in self.records]}: name each table once")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes is {list(self.classes)}: name at least one class, each once")
        return self


class TransformConfig(BaseModel):
    """A transform of albumentations, ``ultrasound_transforms`` or ``screen_transforms``, with its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="Class name of the transform.")

    @property
    def arguments(self) -> dict[str, Any]:
        """All keys except the name."""
        return dict(self.model_extra or {})


class LossTerm(Section):
    """One term of the loss of a task."""

    name: str = Field(description="Name of the loss.")
    weight: Annotated[Real, Field(gt=0)] = Field(default=1.0, description="Weight of the term in the sum.")
    arguments: dict[str, Any] = Field(
        default={},
        description="Arguments of the loss; class_weights and alpha of classification losses may be balanced, which "
        "computes them from the class frequencies of the training subset.",
    )


class DistillationConfig(Section):
    """Learning from a trained model in addition to the labels (Hinton et al. 2015).

    The teacher predicts each augmented batch. The loss becomes (1 - ``weight``) * loss + ``weight`` * (divergence of
    the class probabilities at the ``temperature`` + cross entropy of the mask probabilities).
    """

    teacher: UserPaths = Field(
        description="A checkpoint or released name, or a list of them whose probabilities are averaged."
    )
    weight: Annotated[Real, Field(gt=0, le=1)] = Field(default=0.5, description="Weight of the teacher in the loss.")
    temperature: PositiveReal = Field(default=2.0, description="Temperature of the class probabilities.")
    allow_other_split: Flag = Field(
        default=False,
        description="Allow a teacher of another split, which may have been trained on the test images of this run.",
    )


class LossConfig(Section):
    """The loss of each task, and their weighting."""

    segmentation: Annotated[tuple[LossTerm, ...], Field(min_length=1)] = Field(
        default=(LossTerm(name="dice"),), description="Terms of the segmentation loss."
    )
    classification: Annotated[tuple[LossTerm, ...], Field(min_length=1)] = Field(
        default=(LossTerm(name="cross_entropy"),), description="Terms of the classification loss."
    )
    weighting: Literal["fixed", "uncertainty"] = Field(
        default="fixed",
        description="How the two losses are added: by segmentation_weight, or by learned uncertainties.",
    )
    segmentation_weight: Fraction = Field(
        default=0.5, description="Weight of the segmentation loss; classification has 1 - segmentation_weight."
    )
    deep_supervision: Literal["harmonic", "geometric", "none"] = Field(
        default="harmonic", description="Weight of the n-th further mask: 1/(n+1), 1/2^n, or 0."
    )
    distillation: DistillationConfig | None = Field(default=None, description="Learning from a teacher, or null.")


class OptimizerConfig(Section):
    """The optimizer."""

    name: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="Name of the optimizer.")
    learning_rate: Annotated[Real, Field(gt=0)] = Field(default=1e-4, description="Learning rate after warm-up.")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(default=1e-4, description="Weight decay of the model.")
    epsilon: PositiveReal = Field(
        default=1e-8, description="Term that Adam and AdamW add to the denominator of a step."
    )
    momentum: Annotated[Real, Field(ge=0, lt=1)] = Field(
        default=0.9, description="Momentum of SGD, with Nesterov's method if it is above 0."
    )


class ScheduleConfig(Section):
    """The learning rate of each epoch."""

    name: Literal["cosine", "poly", "plateau", "constant"] = Field(
        default="cosine",
        description="Curve after warm-up; plateau lowers the rate if the selection score does not improve.",
    )
    warmup_epochs: Annotated[Whole, Field(ge=0)] = Field(default=0, description="Epochs of linear warm-up.")
    final_fraction: Fraction = Field(
        default=0.1, description="Rate of the last epoch, and lowest rate of plateau, as a fraction of learning_rate."
    )
    power: Annotated[Real, Field(gt=0)] = Field(default=0.9, description="Exponent of poly.")
    factor: Annotated[Real, Field(gt=0, lt=1)] = Field(default=0.5, description="Factor of the rate at a plateau.")
    threshold: Fraction = Field(
        default=0.0, description="Smallest relative improvement of the score that counts for plateau."
    )
    patience: PositiveInt = Field(
        default=10, description="Epochs without a better score after which the next one lowers the rate of plateau."
    )


def _metric_weights(value: Any) -> Any:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(
            f"{value!r} is not a mapping of metric to weight: write one as in {{dice: 0.7, accuracy: 0.3}}"
        )
    for name, weight in value.items():
        if weight == 0 and not isinstance(weight, bool):
            raise ValueError(f"the weight of {name} is 0: leave the metric out")
    return value


def _factor(weight: float) -> str:
    return {1.0: "", -1.0: "-"}.get(weight, f"{weight:g}*")


# Metric -> weight.
Selection = Annotated[dict[str, Real], BeforeValidator(_metric_weights)]


class TrainingConfig(Section):
    """The training loop."""

    epochs: PositiveInt = Field(default=90, description="Number of epochs.")
    batch_size: PositiveInt = Field(default=8, description="Images per step, over all processes.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Number format; auto is bfloat16 if the device multiplies it faster than float32."
    )
    channels_last: bool = Field(default=True, description="Store feature maps with the channels last.")
    compile: Flag = Field(
        default=False,
        description="Speed up training steps by torch.compile, which takes a minute or more in the first step.",
    )
    gradient_clip: Annotated[Real, Field(gt=0)] | None = Field(
        default=None, description="Largest norm of the gradient, or null for no limit."
    )
    ema_decay: Annotated[Real, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay of the exponential moving average of the weights, which is then validated and saved, or "
        "null for none.",
    )
    selection: Selection = Field(
        default={"dice": 0.7, "accuracy": 0.3},
        description="Weight of each validation metric in the score that selects the best epoch; {epoch: 1} selects the "
        "last one.",
    )
    patience: PositiveInt | None = Field(
        default=None, description="Epochs without a better score that end the training, or null to train all epochs."
    )
    panel_every: PositiveInt = Field(
        default=5, description="Epochs between two panels of validation images in TensorBoard."
    )
    seed: Annotated[Whole, Field(ge=0)] = Field(default=0, description="Seed of weights, order and augmentation.")

    @property
    def selection_formula(self) -> str:
        """The selection score as text, such as ``0.7*dice + 0.3*accuracy``."""
        terms = [f"{_factor(weight)}{name}" for name, weight in self.selection.items()]
        return " + ".join(terms).replace("+ -", "- ")


class RefiningConfig(Section):
    """Prediction refining (Aumente-Maestro et al. 2025), off by default."""

    empty_mask_for_normal: bool = Field(
        default=False, description="Clear the mask of an image that is classified as normal."
    )
    normal_for_empty_mask: bool = Field(default=False, description="Classify an image with an empty mask as normal.")


class TestTimeAugmentationConfig(Section):
    """Test-time augmentation: predictions are averaged over all combinations of flips and scales."""

    horizontal_flip: Flag = Field(default=False, description="Also predict the image flipped left to right.")
    vertical_flip: Flag = Field(default=False, description="Also predict the image flipped upside down.")
    scales: Annotated[tuple[PositiveReal, ...], Field(min_length=1, max_length=MAX_SCALES)] = Field(
        default=(1.0,), description="Factors of the input size."
    )

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(scales)) != len(scales):
            raise ValueError(f"scales is {list(scales)}: name each scale once")
        return scales


class PostprocessingConfig(Section):
    """Postprocessing of a thresholded mask, in the order of the keys."""

    minimum_area: Annotated[Real, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Remove components smaller than this fraction of the image."
    )
    largest_component: Flag = Field(default=False, description="Keep the largest component only.")
    fill_holes: Flag = Field(default=False, description="Fill holes in the mask.")


CHOSEN_ON_VALIDATION = "validation"
# The keys of acsnet.metrics.published.PUBLISHED_METRICS, which a configuration may not import.
PublicationName = Literal["he2024", "chung2024", "aumente2025", "eee402"]
# Publications whose metrics need both tasks; the others also report networks of one task.
METRICS_OF_BOTH_TASKS = frozenset[PublicationName]({"he2024", "eee402"})


def _number_or_validation(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != CHOSEN_ON_VALIDATION and not (is_number and 0 < value < 1):
        raise ValueError(f"{value!r} is neither a number above 0 and below 1 nor the word {CHOSEN_ON_VALIDATION!r}")
    return value


class EvaluationConfig(Section):
    """Testing and predicting, in the order of the keys."""

    batch_size: Annotated[Whole, Field(ge=1, le=MAX_BATCH)] = Field(default=8, description="Images per batch.")
    test_time_augmentation: TestTimeAugmentationConfig = Field(
        default=TestTimeAugmentationConfig(), description="Test-time augmentation."
    )
    threshold: Annotated[float | Literal["validation"], BeforeValidator(_number_or_validation)] = Field(
        default=0.5,
        description="Lowest mask probability of the foreground; validation chooses it on the validation subset of a "
        "test.",
    )
    postprocessing: PostprocessingConfig = Field(default=PostprocessingConfig(), description="Postprocessing of masks.")
    refining: RefiningConfig = Field(default=RefiningConfig(), description="Prediction refining.")
    published_metrics: tuple[PublicationName, ...] = Field(
        default=(),
        description="Publications whose own metrics a test adds to metrics.json, counted as their code counts them.",
    )
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = Field(
        default=None,
        description="Classes over which the probabilities are renormalized and between which is decided, such as "
        "[benign, malignant] for images without normal cases, or null for all classes of the network.",
    )
    operating_point: str | None = Field(
        default=None,
        description="Operating point of the checkpoint, such as specificity_90: its temperature, its threshold of the "
        "probability of malignant and its mask threshold are used; null for the most probable class.",
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _several_classes(cls, names: Any) -> Any:
        if isinstance(names, list | tuple) and (len(names) < 2 or len({*map(str, names)}) != len(names)):
            raise ValueError(
                f"classes is {list(names)}: name at least two classes, each once, or null for all of the network"
            )
        return names

    @field_validator("published_metrics")
    @classmethod
    def _each_publication_once(cls, names: tuple[PublicationName, ...]) -> tuple[PublicationName, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"published_metrics is {list(names)}: name each publication once")
        return names


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
