"""The teacher of a distillation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acsnet._utils.download import file_sha256
from acsnet.checkpoints import resolve_checkpoint
from acsnet.checkpoints.metadata import CheckpointMetadata, read_metadata
from acsnet.config import Config
from acsnet.errors import ConfigError
from acsnet.models import TASKS, Ensemble, load_model
from acsnet.models._base import MultiTaskOutput, check_size


@dataclass(frozen=True)
class TeacherCheckpoint:
    """Where a teacher is from.

    Attributes:
        card: its checkpoint's.
        sha256: of its checkpoint.
        same_split: whether it was trained on the training subset of the student's split and nothing else.
    """

    metadata: CheckpointMetadata
    sha256: str
    same_split: bool

    @property
    def record(self) -> dict[str, object]:
        """For ``environment.json``."""
        return {
            "sha256": self.sha256,
            "model": self.metadata.model,
            "members": self.metadata.members,
            "split_hash": self.metadata.split_hash,
            "same_split": self.same_split,
        }

    @property
    def name(self) -> str:
        """For people."""
        network = (
            f"{self.metadata.model} x {self.metadata.members}" if self.metadata.members > 1 else self.metadata.model
        )
        return f"{network}, SHA-256 {self.sha256}"


@dataclass(frozen=True)
class Teacher:
    """What a student learns from: a trained network, or the averaged probabilities of several.

    Attributes:
        network: in evaluation mode, without gradients; takes what the student takes.
        checkpoints: one a network or ensemble.
    """

    network: nn.Module
    checkpoints: tuple[TeacherCheckpoint, ...]

    @property
    def record(self) -> list[dict[str, object]]:
        """For ``environment.json``."""
        return [checkpoint.record for checkpoint in self.checkpoints]

    @property
    def protocol(self) -> str:
        """How the student was trained, for its card."""
        same = all(checkpoint.same_split for checkpoint in self.checkpoints)
        split = "of the same split" if same else "of ANOTHER split, which may have seen these images"
        names = "; ".join(checkpoint.name for checkpoint in self.checkpoints)
        return f"distilled from a teacher {split} ({names})"


class OfLuminance(nn.Module):
    """A network of one channel for images of three: it is given their luminance (ITU-R BT.601), as it was trained.

    (B, 3, H, W), normalized by one mean and deviation for all channels -> what the network gives.
    """

    _WEIGHTS = (0.299, 0.587, 0.114)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.divisor = int(getattr(network, "divisor", 1))

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """See the class."""
        weights = images.new_tensor(self._WEIGHTS).view(1, 3, 1, 1)
        return self.network((images * weights).sum(dim=1, keepdim=True))


def check_teacher(config: Config) -> None:
    """Check, by their cards alone, that the configured teachers see and tell what the student does.

    A student of three channels may learn from a teacher of one.

    Raises:
        ConfigError: for other classes, tasks, channels or normalization.
        CheckpointError: for a file that cannot be used.
        UnknownNameError: for a name that is not released.
    """
    if config.loss.distillation is None:
        return
    for path in map(resolve_checkpoint, config.loss.distillation.teacher):
        for key, own, other in _comparisons(config, read_metadata(path)):
            if own != other and (key, own, other) != ("model.in_channels", 3, 1):
                raise ConfigError(
                    f"loss.distillation: {key} is {_plain(own)}, the teacher's ({path}) is {_plain(other)}: set it to "
                    "the teacher's, or choose another teacher"
                )


def load_teacher(config: Config, split_hash: str) -> Teacher | None:
    """Load the configured teachers, which :func:`check_teacher` has found to fit; None where there is none.

    Args:
        config: of the student's training.
        split_hash: of the student's split.

    Raises:
        ConfigError: for a teacher of another split, or of none in particular, unless the configuration allows it: it
            may have been trained on the student's validation and test images.
        CheckpointError: for a file that cannot be used.
        InputError: for an image size that it cannot take.
    """
    settings = config.loss.distillation
    if settings is None:
        return None
    checkpoints, networks = [], []
    for path in map(resolve_checkpoint, settings.teacher):
        network, metadata = load_model(path), read_metadata(path)
        same_split = metadata.split_hash == split_hash and not metadata.taught_across_splits
        if not same_split and not settings.allow_other_split:
            raise ConfigError(_other_split(path, metadata, split_hash))
        check_size(config.data.image_size, getattr(network, "divisor", 1))
        checkpoints.append(TeacherCheckpoint(metadata, file_sha256(path), same_split))
        networks.append(OfLuminance(network) if _channels(metadata) < config.model.in_channels else network)
    network = networks[0] if len(networks) == 1 else Ensemble(networks)
    return Teacher(network.eval().requires_grad_(False), tuple(checkpoints))


def _channels(metadata: CheckpointMetadata) -> int:
    return int(metadata.arguments.get("in_channels", 3))


def _comparisons(config: Config, metadata: CheckpointMetadata) -> list[tuple[str, Any, Any]]:
    arguments = metadata.arguments
    return [
        ("data.classes", config.data.classes, metadata.class_names),
        ("model.tasks", sorted(config.model.tasks), sorted(arguments.get("tasks", TASKS))),
        ("model.in_channels", config.model.in_channels, _channels(metadata)),
        ("data.mean", config.data.mean, metadata.mean),
        ("data.std", config.data.std, metadata.std),
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else value


def _other_split(path: Path, metadata: CheckpointMetadata, split_hash: str) -> str:
    trained = "an ensemble of several splits" if metadata.members > 1 else f"trained on the split {metadata.split_hash}"
    trained += ", with a teacher of another" if metadata.taught_across_splits else ""
    return (
        f"loss.distillation: the teacher {path} is {trained}, this training's is {split_hash}: it may have seen the "
        "images that are validated and tested here; give one of the same data and split, or set "
        "loss.distillation.allow_other_split=true where it has not, or where no figure of this split is to be reported"
    )
