"""Checks of a run before it is resumed: its data, its state and its best checkpoint."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acsnet.checkpoints import CheckpointMetadata, check_weights, read_metadata
from acsnet.config import Config, build_config, changed_keys
from acsnet.data import mask_hash, read_split_list
from acsnet.errors import AcsnetError, RunError
from acsnet.training.data import TrainingData
from acsnet.training.run_folder import RunFolder

_NEW_RUN = "start a new run by --work-dir"


class _State(BaseModel):
    """The content of ``last.pt``; earlier versions of the package wrote no configuration and no encoder weights."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)

    epoch: int = Field(ge=1)
    steps: int = Field(ge=1)
    best_score: float
    epochs_without_better: int = Field(ge=0)
    history: list[dict[str, Any]]
    split_hash: str
    encoder_weights: list[dict[str, Any]] = []
    config: dict[str, Any] | None = None
    network: dict[str, torch.Tensor]
    ema: dict[str, torch.Tensor] | None
    loss: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    scaler: dict[str, Any] | None


def data_hashes(data: TrainingData) -> dict[str, Any]:
    """Return what ``environment.json`` says of the data, which :func:`check_same_data` compares."""
    return {"split_hash": data.split.hash, "dataset": data.description, "mask_hash": mask_hash(data.records)}


def check_same_data(folder: RunFolder, data: TrainingData) -> None:
    """Check that a run is resumed on the images, masks and subsets that it was started on.

    Raises:
        RunError: if they differ; the message says in what. Also if ``environment.json``, which has their hashes, is
            broken, or missing although an epoch was finished.
    """
    environment = folder.started_environment()
    if environment is None:
        if folder.last.exists():
            raise RunError(
                f"{folder.environment} is missing, so the images that the run was started on are unknown: put the file "
                f"back, or {_NEW_RUN}"
            )
        return
    now = data_hashes(data)
    # Runs of earlier versions of the package have no hash of the masks.
    changed = [key for key, value in now.items() if environment.get(key, value) != value]
    if changed:
        raise RunError(
            f"{folder.path} was started on other data ({_describe_change(folder, data, changed)}): point data.root at "
            f"the same images, or {_NEW_RUN}"
        )


def check_same_images(runs: Iterable[RunFolder], data: TrainingData) -> None:
    """Check that other runs of an experiment were started on the same images and masks; their splits may differ.

    Raises:
        RunError: if a run was started on others.
    """
    now = data_hashes(data)
    for run in runs:
        environment = run.started_environment() or {}
        if any(environment.get(key, now[key]) != now[key] for key in ("dataset", "mask_hash")):
            raise RunError(
                f"the images or masks differ from those of {run.path}, so the two cannot be compared: restore the "
                "images, or start again in another folder by --work-dir"
            )


def _describe_change(folder: RunFolder, data: TrainingData, changed: Sequence[str]) -> str:
    now = {(record.dataset, record.name): record.label for record in data.split.subset("all")}
    try:
        before = {key: image.label for key, image in read_split_list(folder.split_list).images.items()}
    except AcsnetError:
        # Without its list of images, the hashes alone show that the data differs.
        before = now
    differences = {
        "removed": [key for key in before if key not in now],
        "added": [key for key in now if key not in before],
        "of another class now": [key for key in now if before.get(key, now[key]) != now[key]],
    }
    found = [f"{_count(keys)} {what}" for what, keys in differences.items() if keys]
    if not found and "dataset" in changed:
        found.append("the pixels of images differ")
    if not found and "split_hash" in changed:
        found.append("the split differs")
    if "mask_hash" in changed and not any(differences.values()):
        found.append("the masks differ")
    return ", ".join(found)


def _count(images: Sequence[tuple[str, str]]) -> str:
    first = "/".join(images[0])
    return f"the image {first} is" if len(images) == 1 else f"{len(images)} images are, such as {first},"


def load_checked_state(folder: RunFolder, config: Config) -> dict[str, Any] | None:
    """Read ``last.pt`` and check it, or return None if no epoch was finished.

    Raises:
        RunError: if it is missing although an epoch was finished, or broken, not of this configuration, or has values
            that are not finite.
    """
    state = folder.load_state()
    if state is None:
        return None
    try:
        checked = _State.model_validate(state)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the content"
        raise RunError(
            f"{folder.last} is not the state of a run ({key}: {first['msg']}): put the right file back, or {_NEW_RUN}"
        ) from error
    epochs = [row.get("epoch") for row in checked.history]
    if epochs != [*range(1, checked.epoch + 1)] or not all("score" in row for row in checked.history):
        raise RunError(
            f"{folder.last} is of epoch {checked.epoch}, but its history is not that of {checked.epoch} epochs: put "
            f"the right file back, or {_NEW_RUN}"
        )
    if checked.config is not None:
        trained = build_config(checked.config, (), str(folder.last)).to_dict()
        changed = changed_keys(trained, config.to_dict())
        if changed:
            raise RunError(
                f"{folder.path} was trained with another configuration than {folder.config.name} now has: "
                f"{', '.join(changed)}; restore {folder.config.name}, or {_NEW_RUN}"
            )
    parts = {name: state[name] for name in ("network", "ema", "loss", "optimizer")}
    if not all(tensor.isfinite().all() for tensor in _tensors(parts) if tensor.is_floating_point()):
        raise RunError(f"{folder.last} has weights that are not finite: put the right file back, or {_NEW_RUN}")
    return state


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)


def best_row(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row of the best epoch: the first one with the highest score.

    Example:
        >>> from acsnet.training.resuming import best_row
        >>> best_row([{"epoch": 1, "score": 0.2}, {"epoch": 2, "score": 0.5}, {"epoch": 3, "score": 0.5}])["epoch"]
        2
    """
    return max(history, key=lambda row: float(row.get("score", -math.inf)))


def is_best_saved(folder: RunFolder, expected: CheckpointMetadata) -> bool:
    """Return whether ``best.safetensors`` is the undamaged checkpoint of the best epoch, whose metadata is given."""
    try:
        found = read_metadata(folder.best)
        check_weights(folder.best)
    except AcsnetError:
        return False
    # The protocol names the epoch. Operating points may have been added since.
    return (found.model, found.split_hash, found.metrics.get("protocol")) == (
        expected.model,
        expected.split_hash,
        expected.metrics["protocol"],
    )


def check_best(folder: RunFolder, expected: CheckpointMetadata, best_epoch: int, last_epoch: int) -> None:
    """Check that ``best.safetensors`` is there, or can be written again because the last epoch is the best.

    Raises:
        RunError: if it is not.
    """
    if best_epoch != last_epoch and not is_best_saved(folder, expected):
        raise RunError(
            f"{folder.best} is missing, broken or not of epoch {best_epoch}, the best, and {folder.last.name} is of "
            f"epoch {last_epoch}: put the right file back, or {_NEW_RUN}"
        )
