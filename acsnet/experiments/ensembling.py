"""The folds of a cross-validation as one model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from acsnet.checkpoints import open_checkpoint, read_weights, save_checkpoint
from acsnet.errors import InputError


def save_ensemble(path: Path, checkpoints: Sequence[Path], metrics: Mapping[str, Any], config: dict[str, Any]) -> None:
    """Write the networks of several checkpoints into one, which ``acsnet.load_model`` reads as an ensemble.

    Args:
        path: of the new checkpoint.
        checkpoints: of networks that differ in their weights only; at least one.
        metrics: what is known of it, and under ``protocol`` how.
        config: the resolved configuration of its trainings.

    Raises:
        InputError: for no checkpoint, or networks, classes or inputs that differ.
        CheckpointError: for a file that cannot be read.
        DiskFullError: where there is no space left.
    """
    if not checkpoints:
        raise InputError("an ensemble has no members: give one checkpoint at least")
    members = [open_checkpoint(checkpoint).metadata for checkpoint in checkpoints]
    for checkpoint, metadata in zip(checkpoints, members, strict=True):
        for field in ("model", "members", "arguments", "class_names", "input_size", "mean", "std"):
            mine, first = getattr(metadata, field), getattr(members[0], field)
            if mine != first:
                raise InputError(
                    f"{checkpoint} and {checkpoints[0]} cannot be one ensemble: {field} is {mine} and {first}"
                )
    weights: dict[str, torch.Tensor] = {}
    for index, checkpoint in enumerate(checkpoints):
        weights |= {f"members.{index}.{key}": value for key, value in read_weights(checkpoint).items()}
    metadata = members[0].model_copy(
        update={"members": len(members), "metrics": dict(metrics), "split_hash": None, "config": config}
    )
    save_checkpoint(path, weights, metadata)
