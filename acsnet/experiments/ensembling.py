"""Ensembles: the folds of a cross-validation, trainings with several seeds, or different networks in one checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from acsnet.checkpoints import Checkpoint, open_checkpoint, read_weights, save_checkpoint
from acsnet.errors import InputError

# Metadata that the members of an ensemble share.
_SHARED_FIELDS = (
    "class_names",
    "in_channels",
    "tasks",
    "input_size",
    "crop_margins",
    "keep_aspect",
    "mean",
    "std",
    "selected_on",
)


def save_ensemble(
    path: str | Path,
    checkpoints: Sequence[str | Path],
    metrics: Mapping[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> None:
    """Write the models of several checkpoints into one checkpoint, which ``acsnet.load_model`` loads as an ensemble.

    The networks of the checkpoints may differ; their classes and their input may not. The members of an ensemble become
    members of the new one. The ensemble has the split of its members if they share one, as trainings that differ in the
    seed do. It can then be tested on the test subset of that split.

    Args:
        path: path of the new checkpoint.
        checkpoints: at least one file or released name.
        metrics: metrics for the metadata, with their ``protocol``; None if the ensemble is not tested yet.
        config: the resolved configuration of the trainings; None for that of the first checkpoint.

    Raises:
        InputError: if there is no checkpoint, one is given twice, or classes, tasks or inputs differ.
        CheckpointError: if a file cannot be read.
        DiskFullError: if the disk is full.
    """
    path = Path(path)
    if not checkpoints:
        raise InputError("an ensemble has no members: name at least one checkpoint")
    opened = [open_checkpoint(checkpoint) for checkpoint in checkpoints]
    members = [checkpoint.metadata for checkpoint in opened]
    hashes = [checkpoint.sha256 for checkpoint in opened]
    for index, sha256 in enumerate(hashes):
        if sha256 in hashes[:index]:
            raise InputError(f"{checkpoints[index]} is twice in the ensemble: name each checkpoint once")
    for checkpoint, metadata in zip(checkpoints, members, strict=True):
        for field in _SHARED_FIELDS:
            value, first = getattr(metadata, field), getattr(members[0], field)
            if value != first:
                raise InputError(
                    f"{checkpoint} and {checkpoints[0]} cannot be one ensemble: {field} is {value} and {first}"
                )
    networks = [network for metadata in members for network in metadata.member_networks]
    # A network whose teacher has another split may know the images of the test subset, too.
    splits = {None if metadata.taught_across_splits else metadata.split_hash for metadata in members}
    origins = [origin for metadata in members for origin in metadata.encoder_weights]
    metadata = members[0].model_copy(
        update={
            "members": len(networks),
            "networks": tuple(networks) if any(network != networks[0] for network in networks) else (),
            "encoder_weights": tuple(origin for i, origin in enumerate(origins) if origin not in origins[:i]),
            "plugins": tuple(dict.fromkeys(plugin for metadata in members for plugin in metadata.plugins)),
            "metrics": dict(metrics or {}),
            "split_hash": splits.pop() if len(splits) == 1 else None,
            "config": members[0].config if config is None else config,
            # Those of a member are not those of the average.
            "operating_points": None,
        }
    )
    weights = [own for checkpoint in opened for own in _read_members(checkpoint)]
    named = {f"members.{i}.{key}": value for i, own in enumerate(weights) for key, value in own.items()}
    save_checkpoint(path, named, metadata)


def _read_members(checkpoint: Checkpoint) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the weights of each network of a checkpoint."""
    weights = read_weights(checkpoint.path)
    if checkpoint.metadata.members == 1:
        yield weights
        return
    for index in range(checkpoint.metadata.members):
        prefix = f"members.{index}."
        yield {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
