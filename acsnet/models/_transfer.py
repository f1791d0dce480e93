"""Transfer of weights into a network whose last layer, tasks or channels are not those of the checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from acsnet._utils.state_dicts import describe_differences
from acsnet.checkpoints import Checkpoint, CheckpointMetadata, open_checkpoint, read_weights
from acsnet.errors import CheckpointError

_MAX_NAMED = 4
# The part of a network whose weights make a transfer; a file with less than half of them is of another network.
_SHARED_PART = "encoder."


@dataclass(frozen=True, repr=False)
class LoadedWeights:
    """Tensors that were loaded from a checkpoint into a network, and those that were not.

    Attributes:
        path: the file.
        loaded: number of the network's tensors that were loaded.
        not_loaded: names of the network's other tensors, which keep their random values, in the order of the network.
        unused: names of the tensors of the file that the network does not have.
        metadata: metadata of the checkpoint, with its classes and normalization; None for weights of other programs.
    """

    path: Path
    loaded: int
    not_loaded: tuple[str, ...]
    unused: tuple[str, ...]
    metadata: CheckpointMetadata | None

    def __repr__(self) -> str:
        """Return the summary: a network may have hundreds of tensors, and metadata fills pages."""
        return f"<LoadedWeights: {self.summary}>"

    @property
    def is_complete(self) -> bool:
        """Whether the tensors of file and network are the same."""
        return not self.not_loaded and not self.unused

    @property
    def summary(self) -> str:
        """Message for the log, which names what was left."""
        total = self.loaded + len(self.not_loaded)
        start = f"; {len(self.not_loaded)} start at random ({_first(self.not_loaded)})" if self.not_loaded else ""
        unused = f"; {len(self.unused)} of the file are not used ({_first(self.unused)})" if self.unused else ""
        return f"{self.loaded} of {total} tensors loaded from {self.path}{start}{unused}"


def load_fitting(network: nn.Module, checkpoint: str | Path | Checkpoint) -> LoadedWeights:
    """Load every tensor of a checkpoint whose name and shape are those of a tensor of the network.

    All others keep their values, such as a last layer for other classes. Half-precision tensors are converted to the
    precision of the network.

    Args:
        network: the network, changed in place.
        checkpoint: a released name, a safetensors file (with or without metadata) or an opened checkpoint.

    Raises:
        CheckpointError: if the file cannot be read, or is of another network: less than half of the weights of the
            encoder (of the whole network, if it has no module of this name) fit. The network is then unchanged.
        UnknownNameError: if the name is not released.
        DownloadError: if a released file cannot be downloaded.
    """
    checkpoint = open_checkpoint(checkpoint)
    weights, state = read_weights(checkpoint.path), network.state_dict()
    fitting = {key: weights[key] for key, value in state.items() if key in weights and _fits(weights[key], value)}
    _check_shared_part(network, checkpoint.path, weights, fitting)
    network.load_state_dict(fitting, strict=False)
    return LoadedWeights(
        path=checkpoint.path,
        loaded=len(fitting),
        not_loaded=tuple(key for key in state if key not in fitting),
        unused=tuple(key for key in weights if key not in state),
        metadata=_known_metadata(checkpoint),
    )


def _fits(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return found.shape == expected.shape and found.is_floating_point() == expected.is_floating_point()


def _check_shared_part(
    network: nn.Module, path: Path, weights: Mapping[str, torch.Tensor], fitting: Mapping[str, torch.Tensor]
) -> None:
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    shared = {name: size for name, size in sizes.items() if name.startswith(_SHARED_PART)} or sizes
    total, loaded = sum(shared.values()), sum(size for name, size in shared.items() if name in fitting)
    if loaded == 0 or 2 * loaded < total:
        where = "encoder's" if shared is not sizes else "network's"
        differences = describe_differences(network.state_dict(), weights)
        raise CheckpointError(
            f"{path} does not match the architecture of {type(network).__name__}: {'; '.join(differences)}; "
            f"{loaded / max(total, 1):.0%} of the {where} weights fit, at least half are needed: use a checkpoint of "
            "this network, or build the network with the arguments of the checkpoint"
        )


def _known_metadata(checkpoint: Checkpoint) -> CheckpointMetadata | None:
    try:
        return checkpoint.metadata
    except CheckpointError:
        # Weights of other programs have no metadata.
        return None


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")
