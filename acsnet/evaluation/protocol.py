"""Which images a checkpoint is tested on, and how that is written down."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acsnet._utils.download import file_sha256
from acsnet.checkpoints import is_path, resolve_checkpoint
from acsnet.checkpoints.metadata import CheckpointMetadata, read_metadata
from acsnet.config import CHOSEN_ON_VALIDATION, Config, EvaluationConfig, Subset, build_config, load_config
from acsnet.data import Record, Split, dataset_entry, dataset_hash, load_records, split_data
from acsnet.errors import ConfigError
from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.threshold import choose_threshold
from acsnet.inference.predictor import Predictor

# Where tools/download.py puts datasets by default.
DOWNLOADS = Path("data")
logger = logging.getLogger(__name__)


def resolve_test_config(checkpoint: str | Path, config: Path | None, overrides: Sequence[str]) -> Config:
    """The configuration of a test: the one named, else ``config.yaml`` beside the checkpoint, else the card's own.

    A card names no folder of data: where nothing else does, it is where ``tools/download.py`` puts the dataset.

    Args:
        checkpoint: a ``.safetensors`` file, or the name of a released checkpoint.
        config: a YAML file, if any is named.
        overrides: ``a.b=value`` each.

    Raises:
        ConfigError: where it is wrong, or its network or classes are not those of the checkpoint.
        CheckpointError: where the checkpoint has no card, or is a released file that is damaged.
        UnknownNameError: for a name that is not released.
    """
    checkpoint = resolve_checkpoint(checkpoint)
    metadata = read_metadata(checkpoint)
    beside = checkpoint.parent / "config.yaml"
    if config is not None or beside.is_file():
        resolved = load_config(config or beside, overrides)
    else:
        resolved = _with_downloaded(build_config(metadata.config, overrides, f"the configuration in {checkpoint}"))
    if resolved.model.name != metadata.model:
        raise ConfigError(
            f"{checkpoint} is of the network {metadata.model}, the configuration names {resolved.model.name}: give the "
            "configuration of its training, or none"
        )
    unknown = [label for label in resolved.data.classes if label not in metadata.class_names]
    if unknown:
        raise ConfigError(
            f"data.classes has {', '.join(unknown)}, which {checkpoint} does not know: it tells apart "
            f"{', '.join(metadata.class_names)}"
        )
    return resolved


def _with_downloaded(config: Config) -> Config:
    data = config.data
    if data.root is not None or data.records is not None:
        return config
    entry = dataset_entry(data.dataset)
    folder = DOWNLOADS / (entry.folder or entry.name)
    if not folder.is_dir():
        return config
    return config.model_copy(update={"data": data.model_copy(update={"root": folder})})


def default_out(checkpoint: str) -> Path:
    """Where the result of a test goes by default: beside the file, but for a released name to ``results/NAME``."""
    path = Path(checkpoint)
    return path.parent / "test" if path.is_file() or is_path(checkpoint) else Path("results") / checkpoint


def run_test(
    checkpoint: str | Path, config: Config, progress: bool = True, keep: Path | None = None
) -> tuple[Evaluation, dict[str, Any]]:
    """Test a checkpoint on the configured part of the configured data.

    Args:
        checkpoint: a ``.safetensors`` file, or the name of a released checkpoint.
        config: from :func:`resolve_test_config`.
        progress: show progress bars.
        keep: the folder in which predictions are kept, if any; see :mod:`acsnet.inference.saved_predictions`.

    Returns:
        The result, and its provenance: checkpoint, protocol, data and split, with their hashes.

    Raises:
        AcsnetError: for a checkpoint or data that cannot be used, or a threshold that is to be chosen on a validation
            part that is not known.
    """
    checkpoint = resolve_checkpoint(checkpoint)
    settings = config.evaluation
    chosen = settings.threshold == CHOSEN_ON_VALIDATION
    if chosen:
        _check_validation_subset(checkpoint, config.data.split)
    # Until the threshold is chosen there is any.
    first = settings.model_copy(update={"threshold": EvaluationConfig().threshold}) if chosen else settings
    predictor = Predictor.from_checkpoint(checkpoint, evaluation=first)
    if config.data.split == "all":
        # All images of whatever data is named, listed in a split or not.
        config = config.model_copy(update={"data": config.data.model_copy(update={"split_file": None})})
    records = load_records(config.data, progress)
    if dataset_hash(records) == predictor.metadata.dataset.get("hash"):
        _warn_of_leaks(predictor.metadata)
    split = None if config.data.split == "all" else split_data(records, config.data)
    if split is not None:
        _check_split(split, predictor.metadata, chosen)
    if split is not None and chosen:
        threshold = choose_threshold(predictor, split.val, settings.batch_size, progress)
        predictor = predictor.with_threshold(threshold)
    tested = records if split is None else split.subset(config.data.split)
    result = evaluate(predictor, tested, settings.batch_size, progress, keep)
    provenance = {
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": file_sha256(checkpoint),
        "threshold_source": "validation subset" if chosen else "configuration",
        "seconds_per_image": result.seconds_per_image,
        "predictions_kept": keep is not None,
    }
    return result, {**provenance, **_describe(predictor, config, tested, split)}


def _describe(predictor: Predictor, config: Config, tested: Sequence[Record], split: Split | None) -> dict[str, Any]:
    """What was tested, on what, and in which way."""
    return {
        "model": predictor.metadata.model,
        "parameters": sum(parameter.numel() for parameter in predictor.model.parameters()),
        "class_names": list(predictor.metadata.class_names),
        "subset": config.data.split,
        "dataset_sizes": dict(Counter(record.dataset for record in tested)),
        "class_map": config.data.class_map,
        "protocol": "each image at its original size, then the mean over images",
        "evaluation": config.evaluation.model_dump(mode="json"),
        "threshold": predictor.evaluation.threshold,
        "dataset_hash": dataset_hash(tested),
        "folds": None if split is None or config.data.split_file else config.data.folds.model_dump(),
        "split_file": None if config.data.split_file is None else config.data.split_file.name,
        "split_hash": None if split is None else split.hash,
    }


def _warn_of_leaks(metadata: CheckpointMetadata) -> None:
    """Say what a checkpoint may know of the very dataset that it was trained on, whichever part is tested."""
    if metadata.members > 1:
        logger.warning("each image of this dataset was trained on by members of the ensemble: the figures are too good")
    if metadata.taught_across_splits:
        logger.warning("the checkpoint's teacher may have been trained on the tested images: the figures are too good")


_UNKNOWN = "evaluation.threshold is validation, but which images are the checkpoint's validation subset is not known:"
_REMEDY = "give a number, or test a part of the data and split of its training"


def _check_validation_subset(checkpoint: Path, part: Subset) -> None:
    """Check, before any image is read, that there can be a validation subset to choose the threshold on."""
    if part == "all":
        raise ConfigError(f"{_UNKNOWN} data.split is all, which is no part of a split; {_REMEDY}")
    if read_metadata(checkpoint).split_hash is None:
        raise ConfigError(f"{_UNKNOWN} {checkpoint} names no split; {_REMEDY}")
    if part == "val":
        logger.warning("the threshold is chosen on the images that are tested: the figures are better than they should")


def _check_split(split: Split, metadata: CheckpointMetadata, chosen: bool) -> None:
    if metadata.split_hash is None or split.hash == metadata.split_hash:
        return
    if chosen:
        raise ConfigError(
            f"{_UNKNOWN} it was trained on the split {metadata.split_hash}, here is {split.hash}; {_REMEDY}"
        )
    logger.warning(
        "the checkpoint was trained on another split (%s, here %s): tested images may have been trained on",
        metadata.split_hash,
        split.hash,
    )
