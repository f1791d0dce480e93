"""Cross-validations of the recipes of released files."""

import json
from pathlib import Path

from acsnet._utils.naming import look_up
from acsnet.checkpoints import (
    CheckpointMetadata,
    ReleasedCrossValidation,
    check_released_file,
    read_index,
    read_metadata,
)
from acsnet.config import build_config, changed_keys, load_config
from acsnet.errors import RunError
from acsnet.statistics import compare, read_run
from acsnet.statistics.pooling import pool_folds
from scripts.release.anonymization import check_public
from scripts.release.readme import write_index
from scripts.release.test_results import LEVEL, as_estimate

# What a cross-validation has to change in a recipe: which images are used, and their split.
_SPLIT_KEYS = ("data.folds", "data.split_file", "data.image_list")
_FOLD = "data.folds.index"
_CONFIG = "config.yaml"


def add_crossval(name: str, results: Path, folder: Path) -> ReleasedCrossValidation:
    """Add the cross-validation of a recipe to the entry of its released checkpoint; an earlier one is replaced.

    Args:
        name: the name of the checkpoint in the index.
        results: the folder of the configuration that ``acsnet crossval`` wrote, with ``fold0``, ``fold1`` and so on.
        folder: the folder of the index.

    Raises:
        UnknownNameError: if the name is unknown; the message has near matches.
        CheckpointError: if the file is not the released one.
        RunError: if folds are missing or broken, or were trained by another recipe.
        InputError: if the results contain local paths.
    """
    index = read_index(folder)
    entry = look_up("released checkpoint", name, index.checkpoints, "")
    check_released_file(folder / entry.file, entry)
    crossval = read_crossval(read_metadata(folder / entry.file), results)
    check_public(crossval.model_dump(mode="json"), f"the cross-validation in {results}")
    entry = entry.model_copy(update={"crossval": crossval})
    write_index(folder, index.model_copy(update={"checkpoints": {**index.checkpoints, name: entry}}))
    return crossval


def read_crossval(metadata: CheckpointMetadata, results: Path) -> ReleasedCrossValidation:
    """Read a cross-validation of the recipe of a checkpoint; for arguments and errors, see :func:`add_crossval`."""
    folders = _find_folds(results)
    for fold in folders:
        _check_recipe(metadata, fold)
    pooled = pool_folds([read_run(fold / "test") for fold in folders])
    estimates = compare([pooled], level=LEVEL).networks[0].estimates
    return ReleasedCrossValidation(
        folds=len(folders),
        n=len(pooled.images),
        groups=len(set(pooled.groups)),
        classes={label: pooled.labels.count(label) for label in pooled.class_names},
        split_hashes=tuple(str(split) for split in pooled.split_hashes),
        overrides=_overrides(metadata, results),
        level=LEVEL,
        metrics={key: as_estimate(interval) for key, interval in estimates.items()},
    )


def _find_folds(results: Path) -> list[Path]:
    first = results / "fold0"
    count = load_config(first / _CONFIG).data.folds.count if (first / _CONFIG).is_file() else None
    folders = [results / f"fold{fold}" for fold in range(count or 1)]
    for folder in folders:
        if count is None or not (folder / _CONFIG).is_file() or not (folder / "test").is_dir():
            until = "" if count is None else f": run it until all {count} folds are done"
            raise RunError(f"{folder} is not a fold of acsnet crossval{until}")
    return folders


def _check_recipe(metadata: CheckpointMetadata, fold: Path) -> None:
    trained = build_config(metadata.config, (), "the configuration in the checkpoint")
    changed = changed_keys(trained.for_metadata(), load_config(fold / _CONFIG).for_metadata())
    other = [key for key in changed if not key.startswith(_SPLIT_KEYS)]
    if other:
        raise RunError(
            f"{fold} was trained by another recipe than the released file: {', '.join(other)}; cross-validate the "
            "configuration of its training"
        )


def _overrides(metadata: CheckpointMetadata, results: Path) -> tuple[str, ...]:
    """Return the overrides that turn the recipe into the cross-validation."""
    trained = build_config(metadata.config, (), "the configuration in the checkpoint").for_metadata()
    crossed = load_config(results / "fold0" / _CONFIG).for_metadata()
    keys = [f"data.folds.{key}" for key in crossed["data"]["folds"]] + [*_SPLIT_KEYS[1:]]
    return tuple(
        # JSON is valid YAML.
        f"{key}={json.dumps(now)}"
        for key in keys
        if key != _FOLD and (now := _value(crossed, key)) != _value(trained, key)
    )


def _value(content: dict[str, object], key: str) -> object:
    value: object = content
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else None
    return value
