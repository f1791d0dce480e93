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
    Strict,
    field_validator,
    model_serializer,
    model_validator,
)

from acsnet.labels import CLASS_NAMES, NORMAL, TASKS, Task

Subset = Literal["train", "val", "test", "all"]
# Strict: pydantic would else take true for 1 and "40" for 40.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict()]
Fraction = Annotated[Real, Field(ge=0, le=1)]
# A path in which ~ stands for the home folder, as in a shell.
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
PositiveInt = Annotated[Whole, Field(ge=1)]
PositiveReal = Annotated[Real, Field(gt=0)]
Flag = Annotated[bool, Strict()]


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


# Label of the data -> class; null, unlike {}, clears what a parent file or the training's configuration says.
ClassMap = Annotated[dict[str, str], BeforeValidator(_none_is_empty)]
# One path, or a list of them.
UserPaths = Annotated[tuple[UserPath, ...], Field(min_length=1), BeforeValidator(_one_or_several)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class ModelConfig(Section):
    """Which network: the arguments of ``acsnet.create_model``, but for the number of classes, which the data gives.

    ``initial_weights`` is a safetensors file or released name that training starts from: every tensor is taken whose
    name and shape fit.
    """

    name: str
    in_channels: Literal[1, 3] = 3
    encoder_weights: str | None = None
    initial_weights: UserPath | None = None
    tasks: tuple[Task, ...] = TASKS
    arguments: dict[str, Any] = {}


class FoldsConfig(Section):
    """The split: which part is tested, and which share of the rest is the validation subset.

    Tested is fold ``index`` of ``count``, or in one single split the share ``test``; null stands for what is not given.
    ``grouped`` keeps copies, and all images of a patient, on one side, and gives each side its share of the classes and
    lesion sizes; false deals images out plainly at random, as publications of this field did.
    """

    count: Annotated[Whole, Field(ge=2)] = 5
    index: Annotated[Whole, Field(ge=0)] = 0
    test: Annotated[Real, Field(gt=0, le=0.5)] | None = None
    validation: Annotated[Real, Field(gt=0, le=0.5)] = 0.125
    grouped: Flag = True
    seed: Whole = 0

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
                f"{', '.join(both)} are set together: give count and index for folds, or test for one single split, "
                "and null for the other"
            )
        if self.index >= self.count:
            raise ValueError(f"index is {self.index}, with count {self.count} it has to be at most {self.count - 1}")
        return self

    @model_serializer(mode="wrap")
    def _what_is_used(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = {"test"} if self.test is None else {"count", "index"}
        return {key: value for key, value in serialize(self).items() if key not in unused}


WAYS_TO_TEST = ("count", "index", "test")
WAYS_TO_NAME_DATA = ("root", "records")


class DataConfig(Section):
    """Where the images are and how they are brought to the network.

    ``root`` is a folder in the published layout of ``dataset`` (a name of ``acsnet.data.list_datasets()``), ``records``
    a CSV table of records, or a list of them: exactly one of the two is needed by the time data is read. ``class_map``
    says what labels of the data are called here, as in ``{cyst: benign}``; null is for none. ``split_file`` says
    which image is in which subset: a CSV table (such as ``split.csv`` of a run) or the name of a released one. It
    replaces ``folds``. ``split`` is the subset that ``tools/test.py`` tests. ``oversample`` repeats the training images
    of small classes, with no randomness, until classes are about equally frequent. ``cache`` is the folder of decoded
    images, by default that of the environment variable ACSNET_CACHE or ~/.cache/acsnet.
    """

    root: UserPath | None = None
    dataset: str = "busi"
    records: UserPaths | None = None
    class_map: ClassMap = {}
    classes: tuple[str, ...] = CLASS_NAMES
    image_size: tuple[PositiveInt, PositiveInt] = (256, 256)
    mean: tuple[Real, ...] = (0.330,)
    std: tuple[Annotated[Real, Field(gt=0)], ...] = (0.204,)
    folds: FoldsConfig = FoldsConfig()
    split_file: UserPath | None = None
    split: Subset = "test"
    oversample: bool = False
    cache: UserPath | None = None
    workers: Annotated[Whole, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> "DataConfig":
        if self.root is not None and self.records is not None:
            raise ValueError("root and records are both set: give the folder or the table, and null for the other")
        if self.records is not None and len(set(self.records)) != len(self.records):
            raise ValueError(f"records is {[str(path) for path in self.records]}: name each table once")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes is {list(self.classes)}: name at least one class, each once")
        return self


class TransformConfig(BaseModel):
    """A transform of albumentations or :mod:`acsnet.data.ultrasound_transforms`: ``name`` and the arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class LossTerm(Section):
    """One term of a task's loss."""

    name: str
    weight: Annotated[Real, Field(gt=0)] = 1.0
    arguments: dict[str, Any] = {}


class DistillationConfig(Section):
    """Learning from a trained network as well as from the truth (Hinton et al. 2015).

    The ``teacher``, a checkpoint or released name, or several whose probabilities are averaged, predicts each augmented
    batch; the loss becomes (1 - ``weight``) * loss + ``weight`` * (divergence of the classes' probabilities at the
    ``temperature`` + cross entropy of the mask's). A teacher of another split may have been trained on the images that
    the student is tested on, which has to be allowed.
    """

    teacher: UserPaths
    weight: Annotated[Real, Field(gt=0, le=1)] = 0.5
    temperature: PositiveReal = 2.0
    allow_other_split: Flag = False


class LossConfig(Section):
    """The loss of each task, and how the two are balanced.

    Where a classification loss takes a weight a class (``class_weights``, ``alpha``), ``balanced`` stands for those
    from the classes' shares of the training subset.

    ``weighting`` is ``fixed`` (``segmentation_weight`` * segmentation + (1 - ``segmentation_weight``) * classification)
    or ``uncertainty`` (learned weights). ``deep_supervision`` weighs further masks by rank: ``harmonic`` 1/(n+1),
    ``geometric`` 1/2^n, ``none``. ``distillation`` adds a teacher.
    """

    segmentation: Annotated[tuple[LossTerm, ...], Field(min_length=1)] = (LossTerm(name="dice"),)
    classification: Annotated[tuple[LossTerm, ...], Field(min_length=1)] = (LossTerm(name="cross_entropy"),)
    weighting: Literal["fixed", "uncertainty"] = "fixed"
    segmentation_weight: Fraction = 0.5
    deep_supervision: Literal["harmonic", "geometric", "none"] = "harmonic"
    distillation: DistillationConfig | None = None


class OptimizerConfig(Section):
    """The optimizer; ``momentum`` is SGD's (Nesterov's where above 0)."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[Real, Field(gt=0)] = 1e-4
    weight_decay: Annotated[Real, Field(ge=0)] = 1e-4
    momentum: Annotated[Real, Field(ge=0, lt=1)] = 0.9


class ScheduleConfig(Section):
    """The learning rate over the epochs.

    ``cosine`` and ``poly`` end at ``final_fraction`` of the rate; ``plateau`` multiplies it by ``factor`` once more
    than ``patience`` epochs in a row brought no better selection score (torch's count); each after ``warmup_epochs``
    of linear warm-up.
    """

    name: Literal["cosine", "poly", "plateau", "constant"] = "cosine"
    warmup_epochs: Annotated[Whole, Field(ge=0)] = 0
    final_fraction: Fraction = 0.1
    power: Annotated[Real, Field(gt=0)] = 0.9
    factor: Annotated[Real, Field(gt=0, lt=1)] = 0.5
    patience: PositiveInt = 10


class TrainingConfig(Section):
    """The training loop.

    ``batch_size`` is the total over all processes. ``selection`` is the formula of validation metrics whose best epoch
    is kept; ``epoch``, its number, keeps the last one. ``patience`` epochs without a better one end the training; null
    never does. ``ema_decay`` keeps an exponential moving average of the weights, which is then what is validated and
    saved. ``compile`` has torch.compile make faster training steps, after a minute or more in the first of them.
    """

    epochs: PositiveInt = 90
    batch_size: PositiveInt = 8
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True
    compile: Flag = False
    gradient_clip: Annotated[Real, Field(gt=0)] | None = None
    ema_decay: Annotated[Real, Field(gt=0, lt=1)] | None = None
    selection: str = "0.7*dice + 0.3*accuracy"
    patience: PositiveInt | None = None
    panel_every: PositiveInt = 5
    seed: Annotated[Whole, Field(ge=0)] = 0


class RefiningConfig(Section):
    """Prediction refining (Aumente-Maestro et al. 2025), each direction by itself; off where both are false."""

    empty_mask_for_normal: bool = False
    normal_for_empty_mask: bool = False


class TestTimeAugmentationConfig(Section):
    """Test-time augmentation: the views that are averaged, each combination of flips and ``scales`` of the input."""

    horizontal_flip: Flag = False
    vertical_flip: Flag = False
    scales: Annotated[tuple[PositiveReal, ...], Field(min_length=1)] = (1.0,)

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(scales)) != len(scales):
            raise ValueError(f"scales is {list(scales)}: name each scale once")
        return scales


class PostprocessingConfig(Section):
    """What is done to a mask once it is cut, in this order.

    Pieces smaller than ``minimum_area``, a share of the image's area, go; of the rest only the largest is kept; holes
    are filled.
    """

    minimum_area: Annotated[Real, Field(ge=0, lt=1)] = 0.0
    largest_component: Flag = False
    fill_holes: Flag = False


CHOSEN_ON_VALIDATION = "validation"


def _number_or_word(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != CHOSEN_ON_VALIDATION and not (is_number and 0 < value < 1):
        raise ValueError(f"{value!r} is neither a number above 0 and below 1 nor the word {CHOSEN_ON_VALIDATION!r}")
    return value


class EvaluationConfig(Section):
    """Testing and predicting, in the order in which it is done; ``batch_size`` is how many images at once.

    A pixel is foreground from a mask probability of ``threshold`` on; ``validation`` has a test choose it on the
    validation subset.
    """

    batch_size: PositiveInt = 8
    test_time_augmentation: TestTimeAugmentationConfig = TestTimeAugmentationConfig()
    threshold: Annotated[float | Literal["validation"], BeforeValidator(_number_or_word)] = 0.5
    postprocessing: PostprocessingConfig = PostprocessingConfig()
    refining: RefiningConfig = RefiningConfig()


class Config(Section):
    """The whole configuration of a run."""

    model: ModelConfig
    data: DataConfig = DataConfig()
    augmentation: tuple[TransformConfig, ...] = ()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("augmentation", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return () if value is None else value

    @model_validator(mode="after")
    def _refining_has_what_it_needs(self) -> "Config":
        refining = self.evaluation.refining
        both = len(self.model.tasks) == 2 and NORMAL in self.data.classes
        if (refining.empty_mask_for_normal or refining.normal_for_empty_mask) and not both:
            raise ValueError(
                "evaluation.refining needs both tasks and a class 'normal' in data.classes: set both of its directions "
                "to false, or give it what it needs"
            )
        return self

    @model_validator(mode="after")
    def _masks_where_they_are_needed(self) -> "Config":
        settings = self.evaluation
        asked = (
            ("postprocessing", settings.postprocessing != PostprocessingConfig()),
            ("threshold: validation", settings.threshold == CHOSEN_ON_VALIDATION),
        )
        for key, is_on in asked:
            if is_on and "segmentation" not in self.model.tasks:
                raise ValueError(f"evaluation.{key} needs masks: add segmentation to model.tasks, or leave it out")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON types, from which it can be built again."""
        return self.model_dump(mode="json")

    def for_metadata(self) -> dict[str, Any]:
        """What a checkpoint's card keeps of it: no path (of teachers their files' names), and a number as threshold.

        The name of a released split is none.
        """
        content = self.to_dict()
        content["model"]["initial_weights"] = None
        for key in ("root", "records", "cache"):
            content["data"][key] = None
        if self.data.split_file is not None and (self.data.split_file.suffix or len(self.data.split_file.parts) > 1):
            content["data"]["split_file"] = None
        if self.loss.distillation is not None:
            content["loss"]["distillation"]["teacher"] = [path.name for path in self.loss.distillation.teacher]
        if self.evaluation.threshold == CHOSEN_ON_VALIDATION:
            content["evaluation"]["threshold"] = EvaluationConfig().threshold
        return content

    def to_yaml(self) -> str:
        """The resolved configuration as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
