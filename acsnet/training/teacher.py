"""The teacher of a distillation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from acsnet.checkpoint import CheckpointCard, read_card
from acsnet.config import Config
from acsnet.errors import ConfigError
from acsnet.models import load_model
from acsnet.models.base import check_size
from acsnet.registry import TASKS
from acsnet.transfer import file_sha256


@dataclass(frozen=True)
class Teacher:
    """A trained network, or an ensemble, that a student learns from.

    Attributes:
        network: in evaluation mode, without gradients.
        card: its checkpoint's.
        sha256: of its checkpoint.
        same_split: whether it was trained on the training part of the student's split and nothing else.
    """

    network: nn.Module
    card: CheckpointCard
    sha256: str
    same_split: bool

    @property
    def record(self) -> dict[str, object]:
        """For ``environment.json``."""
        return {
            "sha256": self.sha256,
            "model": self.card.model,
            "members": self.card.members,
            "split_hash": self.card.split_hash,
            "same_split": self.same_split,
        }

    @property
    def protocol(self) -> str:
        """How the student was trained, for its card."""
        name = f"{self.card.model} x {self.card.members}" if self.card.members > 1 else self.card.model
        split = "of the same split" if self.same_split else "of ANOTHER split, which may have seen these images"
        return f"distilled from a teacher {split} ({name}, SHA-256 {self.sha256})"


def check_teacher(config: Config) -> None:
    """Check, by its card alone, that the configured teacher sees and tells what the student does.

    Raises:
        CheckpointError: for a file that cannot be read.
        ConfigError: for other classes, tasks, channels or normalisation.
        InputError: for an image size that it cannot take.
    """
    settings = config.loss.distillation
    if settings is None:
        return
    card = read_card(settings.teacher)
    for key, own, other in _comparisons(config, card):
        if own != other:
            raise ConfigError(
                f"loss.distillation: {key} is {_plain(own)}, the teacher's ({settings.teacher}) is {_plain(other)}: "
                "set it to the teacher's, or choose another teacher"
            )


def load_teacher(config: Config, split_hash: str) -> Teacher | None:
    """Load the configured teacher, which :func:`check_teacher` has found to fit; None where there is none.

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
    network = load_model(settings.teacher).requires_grad_(False)
    card = read_card(settings.teacher)
    same_split = card.split_hash == split_hash and not card.taught_across_splits
    if not same_split and not settings.allow_other_split:
        raise ConfigError(_other_split(settings.teacher, card, split_hash))
    check_size(config.data.image_size, getattr(network, "divisor", 1))
    return Teacher(network, card, file_sha256(settings.teacher), same_split)


def _comparisons(config: Config, card: CheckpointCard) -> list[tuple[str, Any, Any]]:
    arguments = card.arguments
    return [
        ("data.classes", config.data.classes, card.class_names),
        ("model.tasks", sorted(config.model.tasks), sorted(arguments.get("tasks", TASKS))),
        ("model.in_channels", config.model.in_channels, arguments.get("in_channels", 3)),
        ("data.mean", config.data.mean, card.mean),
        ("data.std", config.data.std, card.std),
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else value


def _other_split(path: Path, card: CheckpointCard, split_hash: str) -> str:
    trained = "an ensemble of several splits" if card.members > 1 else f"trained on the split {card.split_hash}"
    trained += ", with a teacher of another" if card.taught_across_splits else ""
    return (
        f"loss.distillation: the teacher {path} is {trained}, this training's is {split_hash}: it may have seen the "
        "images that are validated and tested here; give one of the same data and split, or set "
        "loss.distillation.allow_other_split=true where it has not, or where no figure of this split is to be reported"
    )
