"""The metadata of a checkpoint: everything that is needed to rebuild its network and to prepare its input.

It is stored as JSON in the header of the safetensors file, under the key ``acsnet``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acsnet._utils.json_text import parse_json
from acsnet._utils.registration import is_module_name
from acsnet.checkpoints.operating_points import OperatingPoints
from acsnet.config import EvaluationConfig
from acsnet.config.bounds import Flag, Mean, PrintableName, Side, StandardDeviation, Whole, check_scaled_sides
from acsnet.errors import CheckpointError
from acsnet.labels import TASKS, Task
from acsnet.version import __version__

METADATA_KEY = "acsnet"
FORMAT: Final = 1
MAX_MEMBERS = 1000
MAX_CLASSES = 1000
_MAX_SHOWN = 200
_Kind = TypeVar("_Kind", bound=BaseModel)


def _check_module(name: str) -> str:
    if not is_module_name(name):
        raise ValueError(f"{name[:_MAX_SHOWN]!r} is not the name of a module")
    return name


class _SharedArguments(BaseModel):
    """Arguments of a network that the package also reads without building it; the others are the registry's."""

    in_channels: Annotated[Whole, Field(ge=1, le=MAX_CLASSES)] = 3
    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=len(TASKS))] = TASKS


class _Dataset(BaseModel):
    """Entries of the training data that the package reads."""

    names: tuple[PrintableName, ...] = ()
    n: Annotated[Whole, Field(ge=0)] | None = None
    hash: str | None = None


class _Loss(BaseModel):
    distillation: dict[str, Any] | None = None


class _TrainingConfig(BaseModel):
    """Sections of the configuration of the training that the package reads from the metadata."""

    model: dict[str, Any] = {}
    data: dict[str, Any] = {}
    loss: _Loss = _Loss()
    evaluation: EvaluationConfig = EvaluationConfig()


class MemberNetwork(BaseModel):
    """The network of one member of an ensemble.

    Attributes:
        model: name of the network in the registry.
        arguments: all other arguments of ``acsnet.create_model``, except the encoder's weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: PrintableName
    arguments: dict[PrintableName, Any]


class CheckpointMetadata(BaseModel):
    """Metadata of a checkpoint.

    Attributes:
        format: version of this format.
        model: name of the network in the registry.
        members: number of networks in the file; more than one is an ensemble (``acsnet.models.Ensemble``).
        arguments: all other arguments of ``acsnet.create_model``, except the encoder's weights.
        networks: the network of each member of an ensemble of different networks, the first of which is ``model`` with
            ``arguments``; empty if all members are.
        class_names: classes in the order of the logits.
        input_size: (height, width) in pixels to which images are resized.
        crop_margins: whether images are cropped to the scanned region first, as by ``data.crop_margins``.
        keep_aspect: whether images are padded to the input size instead of stretched, as by ``data.keep_aspect``.
        mean: mean of the normalization ``(pixel / 255 - mean) / std``, one value for all channels or one per channel.
        std: standard deviation of the normalization, like ``mean``.
        metrics: metrics by name, and a description of how they were computed under ``protocol``.
        dataset: names, number of images and hash of the training data.
        split_hash: hash of the split into training, validation and test subsets.
        selected_on: the subset on which the epoch was selected: ``validation``, or ``test`` where a published protocol
            has no validation images of its own. Test metrics of the latter are too good.
        encoder_weights: origin of the pretrained weights of each encoder that the training started from
            (``acsnet.layers.PretrainedWeights``): encoder, file name or repository, SHA-256, format, numbers of loaded
            and skipped tensors, and their normalization; empty for random weights, or if unknown.
        config: resolved configuration of the training, without paths; its threshold is a number.
        plugins: modules outside of this package that registered the network, for messages: they are never imported
            because a checkpoint names them.
        operating_points: temperature and thresholds, or None if none were chosen (``acsnet calibrate``).
        code_version: version of this package that wrote the file.

    Example:
        >>> from acsnet.checkpoints import CheckpointMetadata
        >>> metadata = CheckpointMetadata(
        ...     model="unet",
        ...     arguments={"in_channels": 1},
        ...     class_names=("benign", "malignant", "normal"),
        ...     input_size=(256, 256),
        ...     mean=(0.33,),
        ...     std=(0.2,),
        ... )
        >>> metadata.members, metadata.evaluation.threshold
        (1, 0.5)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: Literal[1] = FORMAT
    model: PrintableName
    members: Annotated[Whole, Field(ge=1, le=MAX_MEMBERS)] = 1
    arguments: dict[PrintableName, Any]
    networks: Annotated[tuple[MemberNetwork, ...], Field(max_length=MAX_MEMBERS)] = ()
    class_names: Annotated[tuple[PrintableName, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    input_size: tuple[Side, Side]
    crop_margins: Flag = False
    keep_aspect: Flag = False
    mean: Annotated[tuple[Mean, ...], Field(min_length=1)]
    std: Annotated[tuple[StandardDeviation, ...], Field(min_length=1)]
    metrics: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    split_hash: PrintableName | None = None
    selected_on: Literal["validation", "test"] = "validation"
    encoder_weights: tuple[dict[str, Any], ...] = ()
    config: dict[str, Any] = {}
    plugins: Annotated[tuple[Annotated[str, AfterValidator(_check_module)], ...], Field(max_length=100)] = ()
    operating_points: OperatingPoints | None = None
    code_version: PrintableName = __version__

    @field_validator("class_names")
    @classmethod
    def _each_class_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"{list(names)[:5]} has a class twice: name each once")
        return names

    @model_validator(mode="after")
    def _check_what_the_package_reads(self) -> "CheckpointMetadata":
        shared = _check(_SharedArguments, self.arguments, "arguments")
        _check(_Dataset, self.dataset, "dataset")
        evaluation = _check(_TrainingConfig, self.config, "config").evaluation
        check_scaled_sides(self.input_size, evaluation.test_time_augmentation.scales)
        for name in ("mean", "std"):
            count = len(getattr(self, name))
            if count not in (1, shared.in_channels):
                raise ValueError(
                    f"{name} has {count} values for {shared.in_channels} channels: expected one, or one per channel"
                )
        return self

    @model_validator(mode="after")
    def _check_networks(self) -> "CheckpointMetadata":
        if not self.networks:
            return self
        if len(self.networks) != self.members or self.networks[0] != self._first_network:
            raise ValueError("networks has to name the network of each of the members, and model is the first of them")
        first = _check(_SharedArguments, self.arguments, "arguments")
        for index, network in enumerate(self.networks):
            shared = _check(_SharedArguments, network.arguments, f"networks.{index}.arguments")
            if shared != first:
                raise ValueError(f"networks.{index} has other channels or tasks than the first: {shared} and {first}")
        return self

    @property
    def _first_network(self) -> MemberNetwork:
        return MemberNetwork(model=self.model, arguments=self.arguments)

    @property
    def member_networks(self) -> tuple[MemberNetwork, ...]:
        """The network of each member, a single one unless the checkpoint is an ensemble."""
        return self.networks or (self._first_network,) * self.members

    @property
    def network_names(self) -> str:
        """The names of all networks, each once, as in ``acsnet`` or ``acsnet + unet``."""
        return " + ".join(dict.fromkeys(network.model for network in self.member_networks))

    @property
    def title(self) -> str:
        """The network in words, such as ``acsnet`` or ``ensemble of 2 acsnet + unet``."""
        return describe_members([network.model for network in self.member_networks])

    @property
    def in_channels(self) -> int:
        """Number of channels of the network's input."""
        return int(self.arguments.get("in_channels", 3))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of the network, in the order of :data:`acsnet.labels.TASKS`."""
        own = self.arguments.get("tasks", TASKS)
        return tuple(task for task in TASKS if task in own)

    @property
    def taught_across_splits(self) -> bool:
        """Whether the network may have learned from a teacher of another split than ``split_hash``."""
        distillation = self.config.get("loss", {}).get("distillation") or {}
        return bool(distillation.get("allow_other_split", False))

    @property
    def evaluation(self) -> EvaluationConfig:
        """Default settings for prediction: those of the training configuration."""
        return EvaluationConfig.model_validate(self.config.get("evaluation", {}))


def parse_metadata(header: Mapping[str, str], path: Path) -> CheckpointMetadata:
    """Parse the metadata in the header of a safetensors file.

    Args:
        header: the file's header.
        path: the file, for error messages.

    Raises:
        CheckpointError: if the metadata is missing, invalid or of a newer format.
    """
    if METADATA_KEY not in header:
        raise CheckpointError(
            f"{path} has no acsnet metadata in its header, which names network, classes and normalization: load "
            f"weights of a network of acsnet with acsnet.create_model(name, checkpoint={path.name!r}), train from "
            "weights of timm or torchvision with acsnet train --set model.encoder_weights=FILE, or convert weights "
            "of the published ACSNet with acsnet import-weights FILE --out OUT"
        )
    content = _parse(header[METADATA_KEY], path)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {content.get('format')!r:.40}, this version of acsnet reads {FORMAT}: "
            "upgrade acsnet"
        )
    try:
        return CheckpointMetadata.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: the metadata {describe_invalid(error)}") from error


def describe_members(names: Sequence[str]) -> str:
    """Return the networks of a checkpoint in words, from the name of each member.

    Example:
        >>> describe_members(["unet"])
        'unet'
        >>> describe_members(["acsnet", "unet", "acsnet"])
        'ensemble of 2 acsnet + unet'
    """
    if len(names) == 1:
        return names[0]
    counts = Counter(names)
    return "ensemble of " + " + ".join(f"{count} {name}" if count > 1 else name for name, count in counts.items())


def describe_invalid(error: ValidationError) -> str:
    """Return the first fault of metadata in words, as in "entry 'std.0' is invalid: ..."."""
    key, message = _first_fault(error)
    # Faults of several entries together have no key; the message names them.
    return f"entry {key[:_MAX_SHOWN]!r} is invalid: {message}" if key else f"is invalid: {message}"


class _EntryError(ValueError):
    """A fault below an entry whose other content is free."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _first_fault(error: ValidationError) -> tuple[str, str]:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, _EntryError):
        key = ".".join(filter(None, (key, cause.key)))
    return key, " ".join(first["msg"].removeprefix("Value error, ").split())


def _check(kind: type[_Kind], content: Any, name: str) -> _Kind:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        key, message = _first_fault(error)
        raise _EntryError(f"{name}.{key}", message) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: the metadata is not valid JSON ({error}): copy the file again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: the metadata is not a JSON object: copy the file again")
    return content
