"""Ensembles of the folds of a cross-validation."""

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


def save_ensemble(path: Path, checkpoints: Sequence[Path], metrics: Mapping[str, Any], config: dict[str, Any]) -> None:
    """Write the models of several checkpoints into one checkpoint, which ``acsnet.load_model`` loads as an ensemble.

    Args:
        path: path of the new checkpoint.
        checkpoints: at least one checkpoint; their models differ in the weights only.
        metrics: metrics for the metadata, with their ``protocol``.
        config: the resolved configuration of the trainings.

    Raises:
        InputError: if there is no checkpoint, or models, classes or inputs differ.
        CheckpointError: if a file cannot be read.
        DiskFullError: if the disk is full.
    """
    if not checkpoints:
        raise InputError("an ensemble has no members: name at least one checkpoint")
    members = [open_checkpoint(checkpoint).metadata for checkpoint in checkpoints]
    for checkpoint, metadata in zip(checkpoints, members, strict=True):
        for field in _SHARED_FIELDS:
            value, first = getattr(metadata, field), getattr(members[0], field)
            if value != first:
                raise InputError(
                    f"{checkpoint} and {checkpoints[0]} cannot be one ensemble: {field} is {value} and {first}"
                )
    weights: dict[str, torch.Tensor] = {}
    for index, checkpoint in enumerate(checkpoints):
        weights |= {f"members.{index}.{key}": value for key, value in read_weights(checkpoint).items()}
    metadata = members[0].model_copy(
        update={
            "members": len(members),
            "metrics": dict(metrics),
            "split_hash": None,
            "config": config,
            # Those of a member are not those of the average.
            "operating_points": None,
        }
    )
    save_checkpoint(path, weights, metadata)
