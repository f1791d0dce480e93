"""Initial weights of a training from another checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from acsnet.checkpoints import Checkpoint, open_checkpoint
from acsnet.errors import CheckpointError
from acsnet.models._transfer import LoadedWeights, load_fitting


@dataclass(frozen=True)
class InitialWeights:
    """Description of the weights that were loaded from a file.

    Attributes:
        weights: the file, and which tensors were loaded.
        sha256: SHA-256 of the file.
    """

    weights: LoadedWeights
    sha256: str

    @property
    def dataset_hash(self) -> str | None:
        """Hash of the data that the checkpoint was trained on, or None if unknown."""
        metadata = self.weights.metadata
        return None if metadata is None else metadata.dataset.get("hash")

    @property
    def split_hash(self) -> str | None:
        """Hash of the split that the checkpoint was trained on, or None if unknown."""
        metadata = self.weights.metadata
        return None if metadata is None else metadata.split_hash

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation of the checkpoint's normalization, or None if unknown."""
        metadata = self.weights.metadata
        return None if metadata is None else (metadata.mean, metadata.std)

    @property
    def record(self) -> dict[str, object]:
        """Provenance for ``environment.json``."""
        return {
            "sha256": self.sha256,
            "tensors_taken": self.weights.loaded,
            "tensors": self.weights.loaded + len(self.weights.not_loaded),
            "dataset_hash": self.dataset_hash,
            "split_hash": self.split_hash,
        }

    @property
    def summary(self) -> str:
        """Message for the log."""
        return f"initial weights: {self.weights.summary}"


def load_initial_weights(network: nn.Module, checkpoint: str | Path | Checkpoint) -> InitialWeights:
    """Load the tensors of a checkpoint that fit a network; see :func:`acsnet.models._transfer.load_fitting`.

    Args:
        network: the network, changed in place.
        checkpoint: a released name, a safetensors file (with or without metadata) or an opened checkpoint.

    Raises:
        CheckpointError: if the file cannot be read, or is of another network.
        UnknownNameError: if the name is not released.
        DownloadError: if a released file cannot be downloaded.
    """
    checkpoint = open_checkpoint(checkpoint)
    try:
        weights = load_fitting(network, checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"model.initial_weights: {error}") from error
    return InitialWeights(weights, checkpoint.sha256)
