"""The test protocol: configuration of a test, selection of the tested images, and provenance of the result."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acsnet.checkpoints import Checkpoint, CheckpointMetadata
from acsnet.config import (
    CHOSEN_ON_VALIDATION,
    Config,
    DataConfig,
    EvaluationConfig,
    Subset,
    build_config,
    load_config,
    read_config,
    without_paths,
)
from acsnet.data import Record, Split, dataset_entry, dataset_hash, load_records, split_data
from acsnet.errors import ConfigError
from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.threshold import choose_threshold
from acsnet.inference.predictor import Predictor
from acsnet.metrics.published import check_tasks
from acsnet.statistics.runs import SELECTED_ON_TEST, SELECTED_ON_VALIDATION

# Default output folder of acsnet download.
DOWNLOADS = Path("data")
logger = logging.getLogger(__name__)


def resolve_test_config(checkpoint: Checkpoint, config: str | Path | None, overrides: Sequence[str]) -> Config:
    """Return the configuration of a test.

    It is, in this order: the given one, ``config.yaml`` in the folder of the checkpoint, or the configuration in the
    metadata of the checkpoint. The latter names no data folder; by default it is the one to which
    ``acsnet download`` downloads the dataset. Only the plugins of a given file are imported: the other two come with
    the checkpoint, which may be somebody else's.

    Args:
        checkpoint: the checkpoint to test.
        config: a YAML file, or None.
        overrides: ``a.b=value`` each.

    Raises:
        ConfigError: if the configuration is invalid, or its network or classes are not those of the checkpoint.
        CheckpointError: if the checkpoint has no metadata.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.checkpoints import CheckpointMetadata, open_checkpoint, save_checkpoint
        >>> from acsnet.evaluation import resolve_test_config
        >>> metadata = CheckpointMetadata(
        ...     model="unet", arguments={}, class_names=("benign", "malignant", "normal"), input_size=(256, 256),
        ...     mean=(0.33,), std=(0.2,), config={"model": {"name": "unet"}},
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "best.safetensors"
        ...     save_checkpoint(path, {}, metadata)
        ...     config = resolve_test_config(open_checkpoint(path), None, ["evaluation.threshold=0.4"])
        >>> config.model.name, config.evaluation.threshold
        ('unet', 0.4)
    """
    config = None if config is None else Path(config)
    path, metadata = checkpoint.path, checkpoint.metadata
    run_config = path.parent / "config.yaml"
    if config is not None:
        resolved = load_config(config, overrides)
    elif run_config.is_file():
        resolved = read_config(run_config, overrides)
    else:
        trained = without_paths(metadata.config)
        resolved = _use_downloaded_data(build_config(trained, overrides, f"the configuration in {path}"))
    if resolved.model.name != metadata.model:
        raise ConfigError(
            f"{path} is a checkpoint of the network {metadata.model}, the configuration names {resolved.model.name}: "
            "give the configuration of its training, or none"
        )
    unknown = [label for label in resolved.data.classes if label not in metadata.class_names]
    if unknown:
        raise ConfigError(
            f"data.classes has {', '.join(unknown)}, which {path} was not trained on: its classes are "
            f"{', '.join(metadata.class_names)}"
        )
    return resolved


def _use_downloaded_data(config: Config) -> Config:
    data = config.data
    if data.root is not None or data.records is not None:
        return config
    entry = dataset_entry(data.dataset)
    folder = DOWNLOADS / (entry.folder or entry.name)
    if not folder.is_dir():
        return config
    return config.model_copy(update={"data": data.model_copy(update={"root": folder})})


def default_out(checkpoint: Checkpoint) -> Path:
    """Return the default output folder of a test: ``results/NAME`` for a released name, otherwise next to the file."""
    if checkpoint.released_name is None:
        return checkpoint.path.parent / "test"
    return Path("results") / checkpoint.released_name


def run_test(
    checkpoint: Checkpoint,
    config: Config,
    progress: bool = True,
    save_predictions_to: str | Path | None = None,
    device: str | None = None,
    precision: str = "float32",
) -> tuple[Evaluation, dict[str, Any]]:
    """Test a checkpoint on the configured subset of the configured data.

    Args:
        checkpoint: the checkpoint to test.
        config: a configuration from :func:`resolve_test_config`.
        progress: show progress bars.
        save_predictions_to: folder for predictions, or None; see :mod:`acsnet.inference.saved_predictions`.
        device: see :class:`~acsnet.inference.Predictor`.
        precision: see :class:`~acsnet.inference.Predictor`.

    Returns:
        The result, and its provenance: checkpoint, protocol, precision, data and split, with their hashes.

    Raises:
        AcsnetError: if the checkpoint or the data cannot be used, if a class or the operating point is unknown, if the
            threshold has to be chosen on the validation subset and that is unknown, or if the network lacks a task that
            the metrics of a publication need.
    """
    save_predictions_to = None if save_predictions_to is None else Path(save_predictions_to)
    settings = config.evaluation
    is_chosen = settings.threshold == CHOSEN_ON_VALIDATION
    if is_chosen:
        _check_validation_subset(checkpoint, config.data.split)
    # Any threshold will do until one is chosen.
    initial = settings.model_copy(update={"threshold": EvaluationConfig().threshold}) if is_chosen else settings
    if is_chosen and settings.operating_point is not None:
        raise ConfigError(
            "evaluation.threshold is validation, but an operating point has its own mask threshold: set "
            "evaluation.threshold to a number, or evaluation.operating_point to null"
        )
    predictor = Predictor.from_checkpoint(checkpoint, device, initial, precision)
    if config.data.split == "all":
        # All images of the data, whether or not a split or an image list has them.
        everything = config.data.model_copy(update={"split_file": None, "image_list": None})
        config = config.model_copy(update={"data": everything})
    check_tasks(settings.published_metrics, predictor.tasks)
    _warn_of_other_framing(checkpoint.metadata, config.data)
    records = load_records(config.data, progress)
    is_own_dataset = dataset_hash(records) == checkpoint.metadata.dataset.get("hash")
    if is_own_dataset:
        _warn_of_leaks(checkpoint.metadata)
    is_selected_on_test = _is_selected_on_test(checkpoint.metadata, config.data.split, is_own_dataset)
    if is_selected_on_test:
        logger.warning("the epoch was selected on the test subset: the metrics are too good")
    split = None if config.data.split == "all" else split_data(records, config.data)
    if split is not None:
        _check_split(split, checkpoint.metadata, is_chosen)
    if split is not None and is_chosen:
        if split.val == split.subset(config.data.split):
            logger.warning("the threshold is chosen on the tested images: the metrics are too good")
        threshold = choose_threshold(predictor, split.val, settings.batch_size, progress)
        predictor = predictor.with_threshold(threshold)
    tested = records if split is None else split.subset(config.data.split)
    result = evaluate(predictor, tested, settings.batch_size, progress, save_predictions_to)
    provenance = {
        "checkpoint": checkpoint.path.name,
        "checkpoint_sha256": checkpoint.sha256,
        "threshold_source": _threshold_source(predictor, is_chosen),
        "checkpoint_split_hash": checkpoint.metadata.split_hash,
        "seconds_per_image": result.seconds_per_image,
        "device": predictor.device.type,
        "precision": precision,
        "predictions_kept": save_predictions_to is not None,
    }
    return result, {**provenance, **_describe(predictor, config, tested, split, is_selected_on_test)}


def _threshold_source(predictor: Predictor, is_chosen: bool) -> str:
    points = predictor.metadata.operating_points
    if predictor.operating_point is not None and points is not None and points.mask_threshold is not None:
        return "operating point"
    return "validation subset" if is_chosen else "configuration"


def _describe(
    predictor: Predictor, config: Config, tested: Sequence[Record], split: Split | None, is_selected_on_test: bool
) -> dict[str, Any]:
    """Return the provenance of a test: network, data, split and protocol."""
    return {
        "model": predictor.metadata.network_names,
        "parameters": sum(parameter.numel() for parameter in predictor.model.parameters()),
        "class_names": list(predictor.class_names),
        "subset": config.data.split,
        "selection": SELECTED_ON_TEST if is_selected_on_test else SELECTED_ON_VALIDATION,
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


def _is_selected_on_test(metadata: CheckpointMetadata, subset: Subset, is_own_dataset: bool) -> bool:
    """Return whether the tested images selected the epoch; all images of another dataset did not."""
    return metadata.selected_on == "test" and (subset in ("test", "val") or (subset == "all" and is_own_dataset))


def _warn_of_other_framing(metadata: CheckpointMetadata, data: DataConfig) -> None:
    for key in ("crop_margins", "keep_aspect"):
        own, other = getattr(metadata, key), getattr(data, key)
        if own != other:
            logger.warning(
                "data.%s is %s in the configuration, but %s in the preprocessing of the checkpoint, which is used",
                key,
                str(other).lower(),
                str(own).lower(),
            )


def _warn_of_leaks(metadata: CheckpointMetadata) -> None:
    """Warn if a checkpoint may have been trained on all images of its own dataset, whichever subset is tested."""
    if metadata.members > 1 and metadata.split_hash is None:
        logger.warning("members of the ensemble were trained on every image of this dataset: the metrics are too good")
    if metadata.taught_across_splits:
        logger.warning("the checkpoint's teacher may have been trained on the tested images: the metrics are too good")


_UNKNOWN = "evaluation.threshold is validation, but the checkpoint's validation subset is unknown:"
_REMEDY = "give a number, or test a subset of the data and split of its training"


def _check_validation_subset(checkpoint: Checkpoint, subset: Subset) -> None:
    """Check that there can be a validation subset for the choice of the threshold, before any image is read."""
    if subset == "all":
        raise ConfigError(f"{_UNKNOWN} data.split is all, which is not a subset of a split; {_REMEDY}")
    if checkpoint.metadata.split_hash is None:
        raise ConfigError(f"{_UNKNOWN} {checkpoint.path} has no split hash; {_REMEDY}")


def _check_split(split: Split, metadata: CheckpointMetadata, is_chosen: bool) -> None:
    if metadata.split_hash is None or split.hash == metadata.split_hash:
        return
    if is_chosen:
        raise ConfigError(
            f"{_UNKNOWN} it was trained on the split {metadata.split_hash}, this one is {split.hash}; {_REMEDY}"
        )
    logger.warning(
        "the checkpoint was trained on another split (%s, this one is %s): it may have been trained on tested images",
        metadata.split_hash,
        split.hash,
    )
