"""Rebuilding of a network from its checkpoint alone."""

from pathlib import Path

from torch import nn

from acsnet.checkpoints import Checkpoint, CheckpointMetadata, load_weights, open_checkpoint
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models._registry import create_model
from acsnet.models.ensemble import Ensemble


def load_model(checkpoint: str | Path | Checkpoint) -> nn.Module:
    """Rebuild a network from a checkpoint alone, in evaluation mode.

    Args:
        checkpoint: a released name (``acsnet.list_checkpoints()``), a ``.safetensors`` file written by training or
            cross-validation, or an opened checkpoint.

    Returns:
        The network, an :class:`Ensemble` if the checkpoint has several members. Its attribute ``metadata`` is the
        checkpoint's :class:`~acsnet.checkpoints.CheckpointMetadata`.

    Raises:
        CheckpointError: if the file is missing, truncated, modified or not safetensors; if its metadata is missing or
            describes a network that this version of the package cannot build; if its weights do not match.
        UnknownNameError: if the name is not released; the message lists near matches.
        DownloadError: if a released file cannot be downloaded.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import acsnet
        >>> from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
        >>> model = acsnet.load_model("acsnet_busi")  # doctest: +SKIP
        >>> metadata = CheckpointMetadata(
        ...     model="unet", arguments={"width": 4, "depth": 2}, class_names=("benign", "malignant", "normal"),
        ...     input_size=(32, 32), mean=(0.33,), std=(0.2,),
        ... )
        >>> weights = acsnet.create_model("unet", width=4, depth=2).state_dict()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "best.safetensors"
        ...     save_checkpoint(path, weights, metadata)
        ...     model = acsnet.load_model(path)
        >>> model.metadata.class_names, model.training
        (('benign', 'malignant', 'normal'), False)
    """
    checkpoint = open_checkpoint(checkpoint)
    try:
        model = _build(checkpoint.metadata)
    except (InputError, UnknownNameError, TypeError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: the network described by its metadata cannot be built: {error}"
        ) from error
    load_weights(model, checkpoint.path)
    model.metadata = checkpoint.metadata  # type: ignore[assignment]
    return model.eval()


def _build(metadata: CheckpointMetadata) -> nn.Module:
    members = [
        create_model(metadata.model, num_classes=len(metadata.class_names), **metadata.arguments)
        for _ in range(metadata.members)
    ]
    return members[0] if metadata.members == 1 else Ensemble(members)
