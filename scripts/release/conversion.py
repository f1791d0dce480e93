"""Conversion of a training checkpoint to the released file: half precision, no local paths, verified outputs."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from acsnet._utils.download import file_sha256
from acsnet.checkpoints import (
    CheckpointMetadata,
    MemberNetwork,
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
from acsnet.models._arguments import CONTRACT
from scripts.release.anonymization import check_public, remove_data_paths
from scripts.release.readme import readmes, write_index

# The wheel carries the files.
MAX_TOTAL_BYTES = 40_000_000
# The largest difference of a pixel or class probability from that of the original.
PROBABILITY_TOLERANCE = 0.01
INTENDED_USE = (
    "Research on segmentation and classification of breast-ultrasound images, as a baseline or a starting point. Not "
    "for diagnosis: it is not a medical device."
)
_SELECTED_ON_TEST = "Its epoch was selected on the test subset, as in the publication: test metrics are too good."
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
    after: Sequence[str] = (),
) -> float:
    """Write the released file of a checkpoint and its entry in the index, without test results.

    Results are those of the released file: it is tested by its name, and :func:`add_test` adds the results. An entry of
    the same name is replaced together with its results.

    Args:
        checkpoint: the checkpoint of a training.
        name: the name of the released checkpoint; lower-case letters, digits, ``_`` and ``-``.
        config: the configuration of the training, a file of this repository.
        overrides: the ``--set`` overrides of the training; the location of the data may be omitted.
        license: the license of the weights.
        limits: known limitations, one sentence each.
        folder: the folder of the index.
        before: the commands that made the initial weights, or the other members of an ensemble, such as ``acsnet train
            ...``.
        after: the commands that combined the members of an ensemble.

    Returns:
        The largest difference of a probability from that of the original, on random images.

    Raises:
        InputError: if the name is invalid, the configuration differs from that of the checkpoint, the commands for
            initial weights or for an ensemble of different networks are missing, local paths are found, files would be
            too large, half precision cannot represent the weights, or a page has no section for its table.
        CheckpointError: if the checkpoint cannot be read, or the outputs of the released file differ.
        ConfigError: if the configuration is invalid.
        DiskFullError: if the disk is full.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"the name is {name!r}: use lower-case letters, digits, _ and -, a letter or digit first")
    metadata = remove_data_paths(read_metadata(checkpoint))
    recipe = _recipe(config, overrides, metadata, before, after)
    index = read_index(folder)
    readmes(folder, index)  # fails before anything is written if a page has no section for its table
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
                f"that of the original; the limit is {PROBABILITY_TOLERANCE}"
            )
        entry = _entry(staged, target.name, metadata, recipe, license, limits)
        check_public(entry.model_dump(mode="json"), "the entry of the index")
        os.replace(staged, target)
    finally:
        staged.unlink(missing_ok=True)
    write_index(folder, index.model_copy(update={"checkpoints": {**index.checkpoints, name: entry}}))
    return difference


def largest_difference(first: Path, second: Path) -> float:
    """Return the largest difference of a probability between two checkpoints, on two images of noise."""
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
    too_large = [key for key, value in halved.items() if not value.isfinite().all()]
    if too_large:
        raise InputError(
            f"half precision cannot represent {len(too_large)} of the tensors ({too_large[0]}, ...): their values are "
            "too large"
        )
    return halved


def _check_sizes(file: Path, others: Mapping[str, int]) -> None:
    total = file.stat().st_size + sum(others.values())
    if total > MAX_TOTAL_BYTES:
        remedy = f"remove one of {', '.join(others)}" if others else "train a smaller network"
        raise InputError(
            f"all released files would be {total / 1e6:.1f} MB; the limit is {MAX_TOTAL_BYTES / 1e6:.0f} MB: {remedy}"
        )


def _recipe(
    config: Path,
    overrides: Sequence[str],
    metadata: CheckpointMetadata,
    before: Sequence[str],
    after: Sequence[str],
) -> Recipe:
    """Return the recipe after checking that the checkpoint was trained by it."""
    path = config.resolve()
    if not path.is_relative_to(Path.cwd()):
        raise InputError(
            f"{config} is outside {Path.cwd()}: pass a configuration of this repository, and run from its root"
        )
    loaded = load_config(config, overrides)
    initial = loaded.model.initial_weights
    if initial is not None and is_path(str(initial)) and not before:
        raise InputError(f"{config} starts from {initial}: pass the commands that made it by --before")
    if metadata.networks and not after:
        raise InputError(f"the checkpoint is an {metadata.title}: pass the commands that combined them by --after")
    for option, commands in (("--before", before), ("--after", after)):
        foreign = [command for command in commands if not re.match(r"acsnet [a-z-]+ ", command)]
        if foreign:
            raise InputError(
                f"{option} {foreign[0]!r} is not a command of this package: expected one such as 'acsnet train CONFIG'"
            )
    given = loaded.for_metadata()
    trained = build_config(metadata.config, (), "the configuration in the checkpoint").to_dict()
    if metadata.members > 1:
        # Each member was trained on a different fold.
        given["data"]["folds"]["index"] = trained["data"]["folds"]["index"]
    changed = changed_keys(trained, given)
    if changed:
        raise InputError(
            f"{config} is not the recipe of the checkpoint, which was trained with other values: {'; '.join(changed)}; "
            "pass the overrides of the training by --set"
        )
    name = path.relative_to(Path.cwd()).as_posix()
    return Recipe(config=name, overrides=tuple(overrides), before=tuple(before), after=tuple(after))


def _without_contract(network: MemberNetwork) -> MemberNetwork:
    """Leave out the arguments that the entry has elsewhere."""
    own = {key: value for key, value in network.arguments.items() if key not in CONTRACT}
    return network.model_copy(update={"arguments": own})


def _entry(
    path: Path, file: str, metadata: CheckpointMetadata, recipe: Recipe, license: str, limits: Sequence[str]
) -> ReleasedCheckpoint:
    height, width = metadata.input_size
    data = metadata.dataset
    if not {"names", "n", "hash"} <= data.keys():
        raise InputError(
            "the metadata of the checkpoint does not name its training data: it was not written by a training"
        )
    return ReleasedCheckpoint(
        file=file,
        size=path.stat().st_size,
        sha256=file_sha256(path),
        model=metadata.model,
        arguments=metadata.config["model"]["arguments"],
        parameters=sum(parameter.numel() for parameter in load_model(path).parameters()),
        members=metadata.members,
        networks=tuple(_without_contract(network) for network in metadata.networks),
        classes=metadata.class_names,
        input=ReleasedInput(height=height, width=width, channels=int(metadata.arguments.get("in_channels", 3))),
        recipe=recipe,
        data=ReleasedData(names=tuple(data["names"]), n=data["n"], hash=data["hash"]),
        split_hash=metadata.split_hash,
        intended_use=INTENDED_USE,
        limits=(*([_SELECTED_ON_TEST] if metadata.selected_on == "test" else []), *limits),
        code_version=metadata.code_version,
        license=license,
    )
