"""The checkpoint file: safetensors with a card in its header, so that a network can be rebuilt from the file alone.

Nothing here ever unpickles. The header's metadata holds one key, ``acsnet``, whose value is the card as JSON.
"""

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from acsnet._utils.files import whole_file
from acsnet.config import EvaluationConfig
from acsnet.errors import CheckpointError
from acsnet.version import __version__

_KEY = "acsnet"
_Kind = TypeVar("_Kind", bound=BaseModel)


class CheckpointMetadata(BaseModel):
    """What a checkpoint says of itself.

    Attributes:
        model: the network's name in the registry.
        members: how many networks of that name and these arguments the file holds; several are an ensemble
            (``acsnet.models.Ensemble``).
        arguments: everything else that ``acsnet.create_model`` was given, but for the encoder's weights.
        class_names: the classes in the order of the logits.
        input_size: (height, width) that images are resized to.
        mean, std: of the normalization ``(pixel / 255 - mean) / std``, one value a channel.
        metrics: measured figures, and under ``protocol`` how and on what they were measured.
        dataset: name, number of images and hash of the data it was trained on.
        split_hash: hash of the split into training, validation and test subsets.
        config: the resolved configuration of its training, without paths; its threshold is a number.
        code_version: the version of this package that wrote it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format: Literal[1] = 1
    model: str
    members: int = Field(default=1, ge=1)
    arguments: dict[str, Any]
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metrics: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    split_hash: str | None = None
    config: dict[str, Any] = {}
    code_version: str = __version__

    @property
    def taught_across_splits(self) -> bool:
        """Whether its network may have learned from a teacher of another split than ``split_hash``."""
        distillation = self.config.get("loss", {}).get("distillation") or {}
        return bool(distillation.get("allow_other_split", False))

    @property
    def evaluation(self) -> EvaluationConfig:
        """How to predict by default: as the configuration of the training says."""
        return EvaluationConfig.model_validate(self.config.get("evaluation", {}))


def save_checkpoint(path: Path, state_dict: dict[str, torch.Tensor], metadata: CheckpointMetadata) -> None:
    """Write weights and card to ``path``, whole or not at all.

    Raises:
        DiskFullError: where there is no space left.
    """
    # Clones: safetensors refuses tensors that share storage and keeps no memory format.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={_KEY: metadata.model_dump_json()}))


def read_metadata(path: Path) -> CheckpointMetadata:
    """Read a checkpoint's card without its weights.

    Raises:
        CheckpointError: for a file that is missing, truncated, not safetensors, of a newer format, or whose card is
            missing or broken.
    """
    header = read_header(path)
    if _KEY not in header:
        raise CheckpointError(
            f"{path} has no acsnet card in its metadata: build the network with "
            f"acsnet.create_model(name, checkpoint={path.name!r}) instead"
        )
    content = _parse(header[_KEY], path)
    if content.get("format") != 1:
        raise CheckpointError(
            f"{path} has checkpoint format {content.get('format')!r}, this version of acsnet reads 1: upgrade acsnet"
        )
    metadata = _validate(CheckpointMetadata, content, path)
    _validate(EvaluationConfig, metadata.config.get("evaluation", {}), path, "config.evaluation.")
    return metadata


def _validate(kind: type[_Kind], content: Any, path: Path, prefix: str = "") -> _Kind:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = prefix + ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: the card's entry {where!r} cannot be used: {first['msg']}") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: the card in its metadata is not JSON ({error}): copy the file again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: the card in its metadata is no JSON object: copy the file again")
    return content


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint's tensors.

    Raises:
        CheckpointError: for a file that is missing, truncated or not safetensors.
    """
    with _open(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a safetensors file is no mapping)


def read_header(path: Path) -> dict[str, str]:
    """Read the metadata in the header of a safetensors file; {} where it has none.

    Raises:
        CheckpointError: for a file that is missing, truncated or not safetensors.
    """
    return _open(path).metadata() or {}


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a checkpoint's tensors into a network, all or nothing.

    Raises:
        CheckpointError: naming the missing, the unexpected and the misshapen keys; the network is left as it was.
    """
    weights = read_weights(path)
    expected = model.state_dict()
    problems = _differences(expected, weights)
    if problems:
        raise CheckpointError(f"{path} is of another network than {type(model).__name__}: {'; '.join(problems)}")
    # It copies into the network's own tensors: half-precision files are widened.
    model.load_state_dict(weights)


def _differences(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> list[str]:
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    misshapen = [
        f"{key} is {tuple(found[key].shape)} and should be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    return [f"{len(keys)} {what} ({_first(keys)})" for what, keys in groups if keys]


def _first(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")


def _open(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: give the path of a .safetensors file")
    try:
        return safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({error}): copy it again; pickled files (.pt, .pth) are "
            "never opened"
        ) from error
