"""Teachers of a distillation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from acsnet.checkpoints import Checkpoint, CheckpointMetadata, open_checkpoint
from acsnet.config import Config
from acsnet.errors import ConfigError
from acsnet.models import Ensemble, load_model
from acsnet.models._base import MultiTaskOutput, check_network_size


@dataclass(frozen=True)
class TeacherCheckpoint:
    """The checkpoint of a teacher.

    Attributes:
        checkpoint: the checkpoint.
        same_split: whether it was trained only on the training subset of the student's split.
    """

    checkpoint: Checkpoint
    same_split: bool

    @property
    def record(self) -> dict[str, object]:
        """Provenance for ``environment.json``."""
        metadata = self.checkpoint.metadata
        return {
            "sha256": self.checkpoint.sha256,
            "model": metadata.network_names,
            "members": metadata.members,
            "split_hash": metadata.split_hash,
            "same_split": self.same_split,
        }

    @property
    def name(self) -> str:
        """Network and digest in words."""
        return f"{self.checkpoint.metadata.title}, SHA-256 {self.checkpoint.sha256}"


@dataclass(frozen=True)
class Teacher:
    """A trained network, or the averaged probabilities of several, from which a student learns.

    Attributes:
        network: the network in evaluation mode, without gradients; it takes the input of the student.
        checkpoints: one per network or ensemble.
    """

    network: nn.Module
    checkpoints: tuple[TeacherCheckpoint, ...]

    @property
    def record(self) -> list[dict[str, object]]:
        """Provenance for ``environment.json``."""
        return [checkpoint.record for checkpoint in self.checkpoints]

    @property
    def protocol(self) -> str:
        """Description of the distillation for the student's metadata."""
        same = all(checkpoint.same_split for checkpoint in self.checkpoints)
        split = "of the same split" if same else "of ANOTHER split, which may have seen these images"
        names = "; ".join(checkpoint.name for checkpoint in self.checkpoints)
        return f"distilled from a teacher {split} ({names})"


class GrayscaleAdapter(nn.Module):
    """Runs a network with one input channel on images with three, by converting them to luminance (ITU-R BT.601).

    The images (B, 3, H, W) have to be normalized by one mean and standard deviation for all channels, those of the
    network.

    Args:
        network: a network with one input channel.
    """

    _LUMINANCE_WEIGHTS = (0.299, 0.587, 0.114)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.divisor = int(getattr(network, "divisor", 1))
        self.image_size = getattr(network, "image_size", None)

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """Return the output of the network for the luminance of images (B, 3, H, W)."""
        weights = images.new_tensor(self._LUMINANCE_WEIGHTS).view(1, 3, 1, 1)
        return self.network((images * weights).sum(dim=1, keepdim=True))


def open_teachers(config: Config) -> tuple[Checkpoint, ...]:
    """Open the configured teachers, and check from their metadata that they fit the student.

    Classes, tasks, channels and normalization have to be equal, except that a student with three channels may learn
    from a teacher with one.

    Args:
        config: configuration of the student's training.

    Returns:
        The opened checkpoints; none without distillation.

    Raises:
        ConfigError: if classes, tasks, channels or normalization differ.
        CheckpointError: if a file cannot be used.
        UnknownNameError: if a name is not released.
        DownloadError: if a released file cannot be downloaded.
    """
    if config.loss.distillation is None:
        return ()
    checkpoints = tuple(map(open_checkpoint, config.loss.distillation.teacher))
    for checkpoint in checkpoints:
        for key, own, other in _comparisons(config, checkpoint.metadata):
            if own != other and (key, own, other) != ("model.in_channels", 3, 1):
                raise ConfigError(
                    f"loss.distillation: {key} is {_plain(own)}, the teacher's ({checkpoint.path}) is {_plain(other)}: "
                    "set it to the teacher's, or choose another teacher"
                )
    return checkpoints


def load_teacher(config: Config, checkpoints: Sequence[Checkpoint], split_hash: str) -> Teacher | None:
    """Load the teachers of a training.

    Args:
        config: configuration of the student's training.
        checkpoints: the teachers, from :func:`open_teachers`.
        split_hash: hash of the student's split.

    Returns:
        The teacher, or None without distillation.

    Raises:
        ConfigError: if a teacher was trained on another split, or on an unknown one, and the configuration does not
            allow it: it may have been trained on the student's validation and test images.
        CheckpointError: if a file cannot be used.
        InputError: if a teacher cannot take images of the configured size.
    """
    settings = config.loss.distillation
    if settings is None:
        return None
    teachers, networks = [], []
    for checkpoint in checkpoints:
        network, metadata = load_model(checkpoint), checkpoint.metadata
        same_split = metadata.split_hash == split_hash and not metadata.taught_across_splits
        if not same_split and not settings.allow_other_split:
            raise ConfigError(_other_split_message(checkpoint, split_hash))
        check_network_size(config.data.image_size, network)
        teachers.append(TeacherCheckpoint(checkpoint, same_split))
        networks.append(GrayscaleAdapter(network) if metadata.in_channels < config.model.in_channels else network)
    network = networks[0] if len(networks) == 1 else Ensemble(networks)
    return Teacher(network.eval().requires_grad_(False), tuple(teachers))


def _comparisons(config: Config, metadata: CheckpointMetadata) -> list[tuple[str, Any, Any]]:
    """Return the settings that have to be equal: key, value of the student, value of the teacher."""
    return [
        ("data.classes", config.data.classes, metadata.class_names),
        ("model.tasks", sorted(config.model.tasks), sorted(metadata.tasks)),
        ("model.in_channels", config.model.in_channels, metadata.in_channels),
        ("data.mean", config.data.mean, metadata.mean),
        ("data.std", config.data.std, metadata.std),
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else value


def _other_split_message(checkpoint: Checkpoint, split_hash: str) -> str:
    metadata = checkpoint.metadata
    several = metadata.members > 1 and metadata.split_hash is None
    trained = "an ensemble of several splits" if several else f"trained on the split {metadata.split_hash}"
    trained += ", with a teacher of another split" if metadata.taught_across_splits else ""
    return (
        f"loss.distillation: the teacher {checkpoint.path} is {trained}, this training uses {split_hash}: the teacher "
        "may have been trained on images that are validated and tested here; use a teacher of the same data and split, "
        "or set loss.distillation.allow_other_split=true if it was not, or if no metric of this split will be reported"
    )
