"""The networks that the page offers: the checkpoint of the command line and the released ones on this machine."""

import threading
from dataclasses import dataclass, field
from functools import cached_property

import torch

from acsnet.checkpoints import Checkpoint, open_checkpoint, released_on_disk
from acsnet.errors import CheckpointError
from acsnet.inference import Decision, Predictor

#: The choice of the most probable class, next to the names of operating points.
MOST_PROBABLE = "most probable class"


@dataclass(frozen=True)
class Network:
    """A network that is ready to predict.

    Attributes:
        name: its name on the page.
        predictor: predicts as ``acsnet predict`` does by default.
        averaging: predicts the average whose entropy is the uncertainty: ``predictor`` if it averages itself, otherwise
            one that averages over the image and its mirror image.
        lock: held while a network runs: the heat map takes its feature maps from the network, which has one at a time.
    """

    name: str
    predictor: Predictor
    averaging: Predictor
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def points(self) -> tuple[str, ...]:
        """The names of its operating points."""
        points = self.predictor.metadata.operating_points
        return () if points is None else tuple(points.points)

    @property
    def choices(self) -> tuple[str, ...]:
        """The ways to decide on a class: the most probable one, or at an operating point."""
        return (MOST_PROBABLE, *self.points)

    @property
    def default_choice(self) -> str:
        """The way to decide on a class of the checkpoint's configuration."""
        return self.predictor.evaluation.operating_point or MOST_PROBABLE

    def threshold(self, choice: str = MOST_PROBABLE) -> float:
        """Return the mask threshold that belongs to a way to decide, 0 to 1."""
        points = self.predictor.metadata.operating_points
        if choice != MOST_PROBABLE and points is not None and points.mask_threshold is not None:
            return points.mask_threshold
        return float(self.predictor.metadata.evaluation.threshold)

    def decision(self, choice: str) -> Decision:
        """Return the decision on masks and classes.

        Raises:
            InputError, UnknownNameError: if the checkpoint has no such operating point.
        """
        point = None if choice == MOST_PROBABLE else choice
        evaluation = self.predictor.evaluation.model_copy(update={"operating_point": point})
        return Decision(self.predictor.metadata.class_names, evaluation, self.predictor.metadata.operating_points)


class Networks:
    """The networks that the page offers, each loaded when it is first used.

    Only those who start the page choose files: the page itself offers names.

    Args:
        checkpoint: a released name, a file, or a repository, as in ``acsnet.load_model``; it is loaded at once. None to
            offer the released networks only.
        device: the device, by default a GPU if there is one.

    Attributes:
        names: the names that the page offers, the checkpoint first.

    Raises:
        CheckpointError, UnknownNameError, DownloadError: if the checkpoint cannot be loaded.
        CheckpointError: if there is no checkpoint, and no released network is on this machine.

    Example:
        >>> from acsnet.app import Networks
        >>> networks = Networks()
        >>> "acsnet_busi" in networks.names
        True
    """

    def __init__(self, checkpoint: str | None = None, device: torch.device | str | None = None) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._loaded: dict[str, Network] = {}
        self._files: dict[str, Checkpoint | str] = {}
        if checkpoint is not None:
            opened = open_checkpoint(checkpoint)
            self._files[_name(opened)] = opened
        self._files |= {name: name for name in released_on_disk() if name not in self._files}
        self.names = tuple(self._files)
        if not self.names:
            raise CheckpointError("no released network is on this machine: name a file by --checkpoint FILE")
        if checkpoint is not None:
            self.load(self.names[0])

    def load(self, name: str) -> Network:
        """Return a network by its name on the page.

        Raises:
            KeyError: if the page does not offer it.
            CheckpointError: if it cannot be loaded.
        """
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = _load(name, self._files[name], self._device)
            return self._loaded[name]


def _name(checkpoint: Checkpoint) -> str:
    """Return a name for the page that does not show where on this machine the file is."""
    return checkpoint.released_name or "/".join(checkpoint.path.parts[-2:])


def _load(name: str, checkpoint: Checkpoint | str, device: torch.device | str | None) -> Network:
    predictor = Predictor.from_checkpoint(checkpoint, device=device)
    averaging = predictor
    if not predictor.supports_uncertainty:
        settings = predictor.evaluation.test_time_augmentation.model_copy(update={"horizontal_flip": True})
        evaluation = predictor.evaluation.model_copy(update={"test_time_augmentation": settings})
        averaging = Predictor(predictor.model, predictor.metadata, device, evaluation)
    return Network(name, predictor, averaging)
