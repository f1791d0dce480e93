"""A checkpoint of a training made into the file that is released: half precision, nothing private, checked."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from acsnet._utils.download import file_sha256
from acsnet.checkpoints import (
    CheckpointMetadata,
    Recipe,
    ReleasedCheckpoint,
    ReleasedData,
    ReleasedInput,
    is_path,
    read_index,
    read_metadata,
    read_weights,
    save_checkpoint,
)
from acsnet.config import build_config, changed_keys, load_config
from acsnet.errors import CheckpointError, InputError
from acsnet.models import load_model
from scripts.release.anonymization import check_public, public_card
from scripts.release.readme import readmes, write_index

MAX_FILE_BYTES = 70_000_000
MAX_TOTAL_BYTES = 130_000_000
# By how much a probability of a pixel or a class may differ from that of the original.
PROBABILITY_TOLERANCE = 0.01
INTENDED_USE = (
    "Research on segmentation and classification of breast-ultrasound images, as a baseline or a starting point. Not "
    "for diagnosis: it is no medical device."
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def release_checkpoint(
    checkpoint: Path,
    name: str,
    config: Path,
    overrides: Sequence[str],
    license: str,
    limits: Sequence[str],
    folder: Path,
    before: Sequence[str] = (),
) -> float:
    """Write the released file of a checkpoint and its entry in the index, which has no figures yet.

    Figures are those of the released file: it is tested by its name, and :func:`add_test` takes what came out. An
    entry of the same name is replaced, and its figures with it.

    Args:
        checkpoint: of a training.
        name: to be released under; lower-case letters, digits, ``_`` and ``-``.
        config: the configuration it was trained by, a file of this repository.
        overrides: what was given by ``--set`` in its training; where the data lay may be left out.
        license: of the weights.
        limits: what it is not good at, a sentence each.
        folder: of the index.
        before: the commands that made the weights which training started from, ``tools/train.py ...`` each.

    Returns:
        The largest difference of a probability from the original's, on random images.

    Raises:
        InputError: for a name that is none, a configuration other than the checkpoint's, initial weights without the
            commands that made them, paths of this machine, files that would be too large, weights that half
            precision cannot hold, or a README of the clone without a place for the table.
        CheckpointError: for a checkpoint that cannot be read, or a file whose outputs differ from its.
        ConfigError: for a configuration that is wrong.
        DiskFullError: where there is no space left.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"the name is {name!r}: use lower-case letters, digits, _ and -, a letter or digit first")
    metadata = public_card(read_metadata(checkpoint))
    recipe = _recipe(config, overrides, metadata, before)
    index = read_index(folder)
    readmes(folder, index)  # so that a README without a place for the table is told before anything is written
    weights = _halve(read_weights(checkpoint))
    target = folder / f"{name}.safetensors"
    staged = target.with_name(f".{name}.{os.getpid()}.staged.safetensors")
    try:
        save_checkpoint(staged, weights, metadata)
        _check_sizes(staged, {key: entry.size for key, entry in index.checkpoints.items() if key != name})
        difference = largest_difference(checkpoint, staged)
        if not difference <= PROBABILITY_TOLERANCE:
            raise CheckpointError(
                f"{checkpoint} cannot be released in half precision: a probability differs by {difference:.4f} from "
                f"the original's, more than {PROBABILITY_TOLERANCE}"
            )
        entry = _entry(staged, target.name, metadata, recipe, license, limits)
        check_public(entry.model_dump(mode="json"), "the entry of the index")
        os.replace(staged, target)
    finally:
        staged.unlink(missing_ok=True)
    write_index(folder, index.model_copy(update={"checkpoints": {**index.checkpoints, name: entry}}))
    return difference


def largest_difference(first: Path, second: Path) -> float:
    """By how much two checkpoints of a network differ at most in a probability, of two images of noise."""
    metadata = read_metadata(first)
    shape = (2, int(metadata.arguments.get("in_channels", 3)), *metadata.input_size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = _probabilities(first, images), _probabilities(second, images)
    return max(float((one - other).abs().max()) for one, other in zip(ours, theirs, strict=True))


@torch.inference_mode()
def _probabilities(checkpoint: Path, images: torch.Tensor) -> list[torch.Tensor]:
    output = load_model(checkpoint)(images)
    mask = [] if output.mask is None else [output.mask.sigmoid()]
    return mask if output.label is None else [*mask, output.label.softmax(dim=1)]


def _halve(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    halved = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    lost = [key for key, value in halved.items() if not value.isfinite().all()]
    if lost:
        raise InputError(f"half precision cannot hold {len(lost)} of the tensors ({lost[0]}, ...): they are too large")
    return halved


def _check_sizes(file: Path, others: Mapping[str, int]) -> None:
    size, total = file.stat().st_size, file.stat().st_size + sum(others.values())
    if size > MAX_FILE_BYTES:
        raise InputError(f"the released file would have {size / 1e6:.1f} MB, at most {MAX_FILE_BYTES / 1e6:.0f} may be")
    if total > MAX_TOTAL_BYTES:
        raise InputError(
            f"all released files would have {total / 1e6:.1f} MB, at most {MAX_TOTAL_BYTES / 1e6:.0f} may be: remove "
            f"one of {', '.join(others)}"
        )


def _recipe(config: Path, overrides: Sequence[str], metadata: CheckpointMetadata, before: Sequence[str]) -> Recipe:
    """The recipe, after a check that it is the one the checkpoint was trained by."""
    path = config.resolve()
    if not path.is_relative_to(Path.cwd()):
        raise InputError(f"{config} lies outside {Path.cwd()}: give a configuration of this repository, from its root")
    loaded = load_config(config, overrides)
    initial = loaded.model.initial_weights
    if initial is not None and is_path(str(initial)) and not before:
        raise InputError(f"{config} starts from {initial}: give the commands that make it by --before")
    wrong = [command for command in before if not re.match(r"tools/\w+\.py\b", command)]
    if wrong:
        raise InputError(f"--before {wrong[0]!r} is no command of this repository: it begins like tools/train.py")
    given = loaded.for_metadata()
    trained = build_config(metadata.config, (), "the configuration in the checkpoint").to_dict()
    if metadata.members > 1:
        # Its members were trained on one fold each.
        given["data"]["folds"]["index"] = trained["data"]["folds"]["index"]
    changed = changed_keys(trained, given)
    if changed:
        raise InputError(
            f"{config} is not the recipe of the checkpoint, which was trained with other values: {'; '.join(changed)}; "
            "give what its training was given by --set"
        )
    return Recipe(config=path.relative_to(Path.cwd()).as_posix(), overrides=tuple(overrides), before=tuple(before))


def _entry(
    path: Path, file: str, metadata: CheckpointMetadata, recipe: Recipe, license: str, limits: Sequence[str]
) -> ReleasedCheckpoint:
    height, width = metadata.input_size
    data = metadata.dataset
    if not {"names", "n", "hash"} <= data.keys():
        raise InputError("the checkpoint's card does not say what it was trained on: it was not written by a training")
    return ReleasedCheckpoint(
        file=file,
        size=path.stat().st_size,
        sha256=file_sha256(path),
        model=metadata.model,
        arguments=metadata.config["model"]["arguments"],
        parameters=sum(parameter.numel() for parameter in load_model(path).parameters()),
        members=metadata.members,
        classes=metadata.class_names,
        input=ReleasedInput(height=height, width=width, channels=int(metadata.arguments.get("in_channels", 3))),
        recipe=recipe,
        data=ReleasedData(names=tuple(data["names"]), n=data["n"], hash=data["hash"]),
        split_hash=metadata.split_hash,
        intended_use=INTENDED_USE,
        limits=tuple(limits),
        code_version=metadata.code_version,
        license=license,
    )
