"""Ensembles: the folds of a cross-validation, or trainings with several seeds, in one checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from acsnet.checkpoints import open_checkpoint, read_weights, save_checkpoint
from acsnet.errors import InputError

# Metadata that the members of an ensemble share.
_SHARED_FIELDS = (
    "model",
    "members",
    "arguments",
    "class_names",
    "input_size",
    "crop_margins",
    "keep_aspect",
    "mean",
    "std",
    "selected_on",
)


def save_ensemble(
    path: Path,
    checkpoints: Sequence[str | Path],
    metrics: Mapping[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> None:
    """Write the models of several checkpoints into one checkpoint, which ``acsnet.load_model`` loads as an ensemble.

    The ensemble has the split of its members if they share one, as trainings that differ in the seed do. It can then be
    tested on the test subset of that split.

    Args:
        path: path of the new checkpoint.
        checkpoints: at least one file or released name; their models differ in the weights only.
        metrics: metrics for the metadata, with their ``protocol``; None if the ensemble is not tested yet.
        config: the resolved configuration of the trainings; None for that of the first checkpoint.

    Raises:
        InputError: if there is no checkpoint, one is given twice, or models, classes or inputs differ.
        CheckpointError: if a file cannot be read.
        DiskFullError: if the disk is full.
    """
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
    weights: dict[str, torch.Tensor] = {}
    for index, member in enumerate(opened):
        weights |= {f"members.{index}.{key}": value for key, value in read_weights(member.path).items()}
    splits = {metadata.split_hash for metadata in members}
    metadata = members[0].model_copy(
        update={
            "members": len(members),
            "metrics": dict(metrics or {}),
            "split_hash": splits.pop() if len(splits) == 1 else None,
            "config": members[0].config if config is None else config,
            # Those of a member are not those of the average.
            "operating_points": None,
        }
    )
    save_checkpoint(path, weights, metadata)
