"""A training's first weights from another checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from acsnet._utils.download import file_sha256
from acsnet.checkpoints import resolve_checkpoint
from acsnet.checkpoints.metadata import read_metadata, read_weights
from acsnet.errors import CheckpointError

_NAMED = 3


@dataclass(frozen=True)
class InitialWeights:
    """What a network has of a file.

    Attributes:
        path: the file.
        sha256: of the file.
        taken: how many of the network's tensors.
        left: the names of those that stay as they were, in the network's order.
        dataset_hash, split_hash: of the training that the file comes from, where it says so.
    """

    path: Path
    sha256: str
    taken: int
    left: tuple[str, ...]
    dataset_hash: str | None
    split_hash: str | None

    @property
    def record(self) -> dict[str, object]:
        """For ``environment.json``."""
        return {
            "sha256": self.sha256,
            "tensors_taken": self.taken,
            "tensors": self.taken + len(self.left),
            "dataset_hash": self.dataset_hash,
            "split_hash": self.split_hash,
        }

    @property
    def summary(self) -> str:
        """For the terminal."""
        names = ", ".join(self.left[:_NAMED]) + (", ..." if len(self.left) > _NAMED else "")
        rest = f"{len(self.left)} start at random ({names})" if self.left else "none starts at random"
        return f"initial weights: {self.taken} of {self.taken + len(self.left)} tensors are {self.path}'s, {rest}"


def load_initial_weights(network: nn.Module, path: Path) -> InitialWeights:
    """Load every tensor of a safetensors file, or a released checkpoint, whose name and shape are those of one of the
    network's.

    Raises:
        CheckpointError: for a file that cannot be read, or of which no parameter fits.
        UnknownNameError: for a name that is not released.
    """
    path = resolve_checkpoint(path)
    found = read_weights(path)
    own = network.state_dict()
    fitting = {key: found[key] for key, value in own.items() if key in found and found[key].shape == value.shape}
    if not any(name in fitting for name, _ in network.named_parameters()):
        raise CheckpointError(
            f"model.initial_weights: no parameter of {path} has the name and shape of one of {type(network).__name__}: "
            "give a checkpoint of the same network, or null"
        )
    # It copies into the network's own tensors: half-precision files are widened.
    network.load_state_dict(fitting, strict=False)
    left = tuple(key for key in own if key not in fitting)
    dataset_hash, split_hash = _origin(path)
    return InitialWeights(path, file_sha256(path), len(fitting), left, dataset_hash, split_hash)


def _origin(path: Path) -> tuple[str | None, str | None]:
    try:
        metadata = read_metadata(path)
    except CheckpointError:
        # Weights of other programs have no card.
        return None, None
    return metadata.dataset.get("hash"), metadata.split_hash
