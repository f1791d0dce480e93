"""A network from its checkpoint alone."""

from pathlib import Path

from torch import nn

from acsnet.checkpoints import resolve_checkpoint
from acsnet.checkpoints.metadata import CheckpointMetadata, load_weights, read_metadata
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models._registry import create_model
from acsnet.models.ensemble import Ensemble


def load_model(path: str | Path) -> nn.Module:
    """Rebuild a network from a checkpoint alone, in evaluation mode.

    Args:
        path: a ``.safetensors`` file written by training, or by cross-validation: an :class:`Ensemble` of its folds; or
            the name of a released checkpoint (``acsnet.list_checkpoints()``).

    Returns:
        The network, with the checkpoint's :class:`~acsnet.checkpoints.CheckpointMetadata` as its attribute ``card``.

    Raises:
        CheckpointError: for a file that is missing, truncated, not safetensors, without a card, or that does not fit,
            for a card whose network this version of the package cannot build, and for a released file that is damaged.
        UnknownNameError: for a name that is not released, with near matches.
        DownloadError: for a released file that is not here and cannot be fetched.
    """
    path = resolve_checkpoint(path)
    metadata = read_metadata(path)
    try:
        model = _build(metadata)
    except (InputError, UnknownNameError, TypeError) as error:
        raise CheckpointError(f"{path}: the network of its card cannot be built: {error}") from error
    load_weights(model, path)
    model.metadata = metadata  # type: ignore[assignment]
    return model.eval()


def _build(metadata: CheckpointMetadata) -> nn.Module:
    members = [
        create_model(metadata.model, num_classes=len(metadata.class_names), **metadata.arguments)
        for _ in range(metadata.members)
    ]
    return members[0] if metadata.members == 1 else Ensemble(members)
