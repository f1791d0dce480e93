"""A network from its checkpoint alone."""

from pathlib import Path

from torch import nn

from acsnet.checkpoints import resolve_checkpoint
from acsnet.checkpoints.metadata import CheckpointCard, load_weights, read_card
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models._registry import create_model
from acsnet.models.ensemble import Ensemble


def load_model(path: str | Path) -> nn.Module:
    """Rebuild a network from a checkpoint alone, in evaluation mode.

    Args:
        path: a ``.safetensors`` file written by training, or by cross-validation: an :class:`Ensemble` of its folds; or
            the name of a released checkpoint (``acsnet.list_checkpoints()``).

    Returns:
        The network, with the checkpoint's :class:`~acsnet.checkpoints.CheckpointCard` as its attribute ``card``.

    Raises:
        CheckpointError: for a file that is missing, truncated, not safetensors, without a card, or that does not fit,
            for a card whose network this version of the package cannot build, and for a released file that is damaged.
        UnknownNameError: for a name that is not released, with near matches.
        DownloadError: for a released file that is not here and cannot be fetched.
    """
    path = resolve_checkpoint(path)
    card = read_card(path)
    try:
        model = _build(card)
    except (InputError, UnknownNameError, TypeError) as error:
        raise CheckpointError(f"{path}: the network of its card cannot be built: {error}") from error
    load_weights(model, path)
    model.card = card  # type: ignore[assignment]
    return model.eval()


def _build(card: CheckpointCard) -> nn.Module:
    members = [
        create_model(card.model, num_classes=len(card.class_names), **card.arguments) for _ in range(card.members)
    ]
    return members[0] if card.members == 1 else Ensemble(members)
