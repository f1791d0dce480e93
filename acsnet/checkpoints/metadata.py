"""The metadata of a checkpoint: everything that is needed to rebuild its network and to prepare its input.

It is stored as JSON in the header of the safetensors file, under the key ``acsnet``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acsnet._utils.json_text import parse_json
from acsnet.checkpoints.operating_points import OperatingPoints
from acsnet.config import EvaluationConfig
from acsnet.errors import CheckpointError
from acsnet.version import __version__

METADATA_KEY = "acsnet"
FORMAT: Final = 1
_Kind = TypeVar("_Kind", bound=BaseModel)


class CheckpointMetadata(BaseModel):
    """Metadata of a checkpoint.

    Attributes:
        format: version of this format.
        model: name of the network in the registry.
        members: number of networks in the file, all with this name and these arguments; more than one is an ensemble
            (``acsnet.models.Ensemble``).
        arguments: all other arguments of ``acsnet.create_model``, except the encoder's weights.
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
        operating_points: temperature and thresholds, or None if none were chosen (``tools/calibrate.py``).
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
    model: str
    members: int = Field(default=1, ge=1)
    arguments: dict[str, Any]
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    crop_margins: bool = False
    keep_aspect: bool = False
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metrics: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    split_hash: str | None = None
    selected_on: Literal["validation", "test"] = "validation"
    encoder_weights: tuple[dict[str, Any], ...] = ()
    config: dict[str, Any] = {}
    operating_points: OperatingPoints | None = None
    code_version: str = __version__

    @property
    def in_channels(self) -> int:
        """Number of channels of the network's input."""
        return int(self.arguments.get("in_channels", 3))

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
            f"{path} has no acsnet metadata in its header: build the network with "
            f"acsnet.create_model(name, checkpoint={path.name!r}) instead"
        )
    content = _parse_json(header[METADATA_KEY], path)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {content.get('format')!r}, this version of acsnet reads {FORMAT}: upgrade "
            "acsnet"
        )
    metadata = _validate(CheckpointMetadata, content, path)
    _validate(EvaluationConfig, metadata.config.get("evaluation", {}), path, "config.evaluation.")
    return metadata


def _parse_json(text: str, path: Path) -> dict[str, Any]:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: the metadata is not valid JSON ({error}): copy the file again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: the metadata is not a JSON object: copy the file again")
    return content


def _validate(kind: type[_Kind], content: Any, path: Path, prefix: str = "") -> _Kind:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: the metadata entry {key!r} is invalid: {first['msg']}") from error
