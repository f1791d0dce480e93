"""Rebuilding of a network from its checkpoint alone."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from acsnet.checkpoints import (
    Checkpoint,
    CheckpointMetadata,
    MemberNetwork,
    at_revision,
    check_tensors,
    load_weights,
    open_checkpoint,
    read_tensor_list,
)
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models._registry import create_model, saved_arguments
from acsnet.models.ensemble import Ensemble

_MISSING = "name and arguments of the network, class names, input size, mean and std of the normalization"
_HOW_TO_DESCRIBE = (
    "acsnet.checkpoints.CheckpointMetadata(model=..., arguments=..., class_names=..., input_size=(height, width), "
    "mean=..., std=...)"
)


def load_model(checkpoint: str | Path | Checkpoint, *, revision: str | None = None) -> nn.Module:
    """Rebuild a network from a checkpoint alone, in evaluation mode.

    This is the one way to load a trained network. Access tokens, caches and offline use of the Hub are those of
    ``huggingface_hub``: ``hf auth login`` or ``HF_TOKEN``, ``HF_HUB_CACHE``, ``HF_HUB_OFFLINE``.

    Args:
        checkpoint: one of

            - a released name (``acsnet.list_checkpoints()``);
            - the path of a ``.safetensors`` file that training, cross-validation or a tool wrote;
            - the path of a folder that :func:`acsnet.save_pretrained` wrote;
            - the id of a repository on the Hugging Face Hub, ``"owner/name"`` or ``"owner/name@revision"``;
            - an opened checkpoint.
        revision: branch, tag or commit of the repository, by default the main branch.

    Returns:
        The network, an :class:`Ensemble` if the checkpoint has several members. Its attribute ``metadata`` is the
        checkpoint's :class:`~acsnet.checkpoints.CheckpointMetadata`.

    Raises:
        CheckpointError: if the file is missing, truncated, modified or not safetensors; if its metadata is missing or
            describes a network that this version of the package cannot build; if its weights do not match.
        UnknownNameError: if the name is not released; the message lists near matches.
        DownloadError: if a file cannot be downloaded.
        InputError: if there is a revision and the checkpoint is not the id of a repository.

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
    checkpoint = open_checkpoint(checkpoint if revision is None else at_revision(checkpoint, revision))
    metadata = checkpoint.metadata
    members = [build() for build in _describe_members(checkpoint)]
    model = members[0] if metadata.members == 1 else Ensemble(members)
    load_weights(model, checkpoint.path)
    model.metadata = metadata  # type: ignore[assignment]
    return model.eval()


def metadata_of(model: nn.Module) -> CheckpointMetadata:
    """Return the metadata of a network.

    Raises:
        InputError: if the network has none.
    """
    metadata = getattr(model, "metadata", None)
    if metadata is None:
        raise InputError(
            f"this {type(model).__name__} has no metadata: {_MISSING} are missing; load a trained network by "
            f"acsnet.load_model, or describe this one by model.metadata = {_HOW_TO_DESCRIBE}"
        )
    return check_metadata(metadata)


def check_metadata(metadata: object) -> CheckpointMetadata:
    """Return metadata that is of the right type.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(metadata, CheckpointMetadata):
        raise InputError(f"the metadata is of type {type(metadata).__name__}: expected {_HOW_TO_DESCRIBE}")
    return metadata


def check_network(model: object) -> None:
    """Check that a model is a network.

    Raises:
        InputError: if it is another object, such as the name of a checkpoint.
    """
    if isinstance(model, nn.Module):
        return
    advice = "expected a network, a torch.nn.Module"
    if isinstance(model, str | Path | Checkpoint):
        advice = "load it by acsnet.load_model, or use Predictor.from_checkpoint"
    raise InputError(f"the model is of type {type(model).__name__}: {advice}")


def _describe_members(checkpoint: Checkpoint) -> list[Callable[[], nn.Module]]:
    """Return the builder of each member, after comparing the networks in the metadata with the tensors in the file.

    Metadata can describe networks of any size. They are built without memory first, so that only those whose tensors
    are in the file are built with it.
    """
    networks = checkpoint.metadata.member_networks
    build, network = _describe_network(checkpoint, networks[0])
    if len(networks) == 1:
        check_tensors(network.state_dict(), checkpoint.path, type(network).__name__)
        return [build]
    stored = len(read_tensor_list(checkpoint.path))
    builders: list[Callable[[], nn.Module]] = []
    expected: dict[str, torch.Tensor] = {}
    for index, described in enumerate(networks):
        if index > 0 and described != networks[index - 1]:
            build, network = _describe_network(checkpoint, described)
        builders.append(build)
        expected |= {f"members.{index}.{key}": value for key, value in network.state_dict().items()}
        if len(expected) > stored:
            raise CheckpointError(
                f"{checkpoint.path} has {stored} tensors, fewer than the {len(networks)} networks that its metadata "
                "describes: copy the file again"
            )
    check_tensors(expected, checkpoint.path, Ensemble.__name__)
    return builders


def _describe_network(checkpoint: Checkpoint, network: MemberNetwork) -> tuple[Callable[[], nn.Module], nn.Module]:
    """Return the builder of a network, and the network without memory."""
    metadata = checkpoint.metadata
    try:
        arguments = saved_arguments(network.model, network.arguments)
        build = partial(create_model, network.model, num_classes=len(metadata.class_names), **arguments)
        with torch.device("meta"):
            return build, build()
    # Libraries raise these for values that the registry cannot know to be wrong, such as a size beyond all memory.
    except (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0] + _name_plugins(metadata, error)
        raise CheckpointError(
            f"{checkpoint.path}: the network described by its metadata cannot be built: {reason}"
        ) from error


def _name_plugins(metadata: CheckpointMetadata, error: Exception) -> str:
    """Return how to import the plugins of an unknown network; a checkpoint itself never causes an import."""
    missing = [name for name in metadata.plugins if name not in sys.modules]
    if not missing or not isinstance(error, UnknownNameError):
        return ""
    plugins = "the plugin" if len(missing) == 1 else "the plugins"
    options = " ".join(f"--import {name}" for name in missing)
    return f"; it was registered by {plugins} {', '.join(missing)}: pass {options} if you trust its code"
