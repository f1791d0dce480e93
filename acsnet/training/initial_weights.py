"""Initial weights of a training from another checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from acsnet.checkpoints import Checkpoint, CheckpointMetadata, open_checkpoint, read_weights
from acsnet.errors import CheckpointError

_MAX_NAMED_TENSORS = 3


@dataclass(frozen=True)
class InitialWeights:
    """Description of the weights that were loaded from a file.

    Attributes:
        path: the file.
        sha256: SHA-256 of the file.
        loaded: number of the network's tensors that were loaded.
        not_loaded: names of the other tensors, in the order of the network.
        dataset_hash: hash of the data that the checkpoint was trained on, or None if unknown.
        split_hash: hash of the split that the checkpoint was trained on, or None if unknown.
        normalization: mean and standard deviation of the checkpoint's normalization, or None if unknown.
    """

    path: Path
    sha256: str
    loaded: int
    not_loaded: tuple[str, ...]
    dataset_hash: str | None
    split_hash: str | None
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None

    @property
    def record(self) -> dict[str, object]:
        """Provenance for ``environment.json``."""
        return {
            "sha256": self.sha256,
            "tensors_taken": self.loaded,
            "tensors": self.loaded + len(self.not_loaded),
            "dataset_hash": self.dataset_hash,
            "split_hash": self.split_hash,
        }

    @property
    def summary(self) -> str:
        """Message for the log."""
        names = ", ".join(self.not_loaded[:_MAX_NAMED_TENSORS])
        names += ", ..." if len(self.not_loaded) > _MAX_NAMED_TENSORS else ""
        rest = f"; {len(self.not_loaded)} start at random ({names})" if self.not_loaded else ""
        total = self.loaded + len(self.not_loaded)
        return f"initial weights: {self.loaded} of {total} tensors loaded from {self.path}{rest}"


def load_initial_weights(network: nn.Module, checkpoint: str | Path | Checkpoint) -> InitialWeights:
    """Load every tensor of a checkpoint whose name and shape match a tensor of the network.

    Args:
        network: the network, changed in place.
        checkpoint: a released name, a safetensors file (with or without metadata) or an opened checkpoint.

    Raises:
        CheckpointError: if the file cannot be read, or if none of its tensors matches a parameter of the network.
        UnknownNameError: if the name is not released.
        DownloadError: if a released file cannot be downloaded.
    """
    checkpoint = open_checkpoint(checkpoint)
    weights = read_weights(checkpoint.path)
    state = network.state_dict()
    matching = {
        key: weights[key] for key, value in state.items() if key in weights and weights[key].shape == value.shape
    }
    if not any(name in matching for name, _ in network.named_parameters()):
        raise CheckpointError(
            f"model.initial_weights: no tensor of {checkpoint.path} matches the name and shape of a parameter of "
            f"{type(network).__name__}: give a checkpoint of the same network, or null"
        )
    # Half-precision tensors are converted to the precision of the network.
    network.load_state_dict(matching, strict=False)
    not_loaded = tuple(key for key in state if key not in matching)
    metadata = _known_metadata(checkpoint)
    return InitialWeights(
        path=checkpoint.path,
        sha256=checkpoint.sha256,
        loaded=len(matching),
        not_loaded=not_loaded,
        dataset_hash=None if metadata is None else metadata.dataset.get("hash"),
        split_hash=None if metadata is None else metadata.split_hash,
        normalization=None if metadata is None else (metadata.mean, metadata.std),
    )


def _known_metadata(checkpoint: Checkpoint) -> CheckpointMetadata | None:
    try:
        return checkpoint.metadata
    except CheckpointError:
        # Weights of other programs have no metadata.
        return None
