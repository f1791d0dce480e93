"""Calibration of a checkpoint: operating points chosen on images that its training, or that of its folds, has not seen.

Two sources are possible: the tests of a cross-validation of the same recipe, in which each image was predicted by the
training that has not seen it, and the validation subset of the checkpoint's own training. The tested images of the
checkpoint are never used.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acsnet._utils.devices import choose_device
from acsnet._utils.folders import check_writable
from acsnet._utils.paths import AnyPaths, list_paths
from acsnet._utils.typing import Float64Array
from acsnet.checkpoints import (
    Checkpoint,
    OperatingPoints,
    open_checkpoint,
    rewrite_metadata,
    weights_sha256,
)
from acsnet.config import CHOSEN_ON_VALIDATION, Config, EvaluationConfig, changed_keys
from acsnet.data import Record, Split, load_records, split_data
from acsnet.data.images import read_image, read_merged_mask
from acsnet.data.records import lack_masks
from acsnet.errors import CheckpointError, ConfigError, InputError, RunError
from acsnet.evaluation.batches import read_batches
from acsnet.evaluation.operating_points import DEFAULT_POINTS, choose_operating_points, parse_point
from acsnet.evaluation.threshold import THRESHOLDS, dice_per_threshold, stable_step
from acsnet.inference.class_decision import adjust_probabilities, select_classes
from acsnet.inference.decision import Decision, Probabilities
from acsnet.inference.predictor import Predictor
from acsnet.inference.saved_predictions import probability_path
from acsnet.statistics.pooling import pool_folds
from acsnet.statistics.runs import RunResult, name_first, read_run

logger = logging.getLogger(__name__)

# Settings that change the class probabilities.
_PROBABILITY_SETTINGS = ("test_time_augmentation", "refining", "classes", "operating_point")
_AGAIN = "test the folds again with acsnet test"


@dataclass(frozen=True)
class _Predictions:
    """Predictions for images that the networks have not seen.

    Attributes:
        labels: the true class of each image.
        probabilities: probabilities of the evaluated classes (N, S).
        dice: Dice of each image at each of :data:`THRESHOLDS` (N, T), or None without masks.
        source: the predictions in words.
        split_hashes: hashes of the splits of the trainings.
    """

    labels: Sequence[str]
    probabilities: Float64Array
    dice: Float64Array | None
    source: str
    split_hashes: tuple[str, ...]


def calibrate_checkpoint(
    checkpoint: Checkpoint,
    config: Config,
    predictions: AnyPaths = (),
    points: Sequence[str] = DEFAULT_POINTS,
    progress: bool = True,
    device: str | None = None,
    precision: str = "float32",
) -> OperatingPoints:
    """Choose the temperature, the operating points and the mask threshold of a checkpoint.

    With ``evaluation.classes``, images of other classes are left out.

    Args:
        checkpoint: the checkpoint.
        config: its configuration, from :func:`~acsnet.evaluation.resolve_test_config`, which names the data.
        predictions: results of the tests of a cross-validation of the same recipe: folders of ``acsnet test``, their
            ``cases.csv``, or folders with ``fold*/test``. The images of the test subset of the checkpoint are left out.
            By default the validation subset of the checkpoint is predicted.
        points: names of the operating points, such as ``specificity_90``.
        progress: show a progress bar.
        device: see :class:`~acsnet.inference.Predictor`.
        precision: see :class:`~acsnet.inference.Predictor`.

    Returns:
        The operating points. The mask threshold is the one of 0.05, 0.1, ..., 0.95 that is nearest to 0.5 among those
        whose mean Dice is within one standard error of the best; it is None if the network has no masks, or if the
        tests of a cross-validation were not saved with their predictions.

    Raises:
        ConfigError: if the split of the checkpoint is unknown or another one, or it was selected on its test subset.
        RunError: if a result is missing or broken, of another network or other settings, or if its images may have been
            trained on.
        InputError: if there are too few images, or no threshold reaches a target.
        DataError: if the data cannot be read.
    """
    predictions = list_paths(predictions)
    for name in points:
        parse_point(name)
    names = checkpoint.metadata.class_names
    settings = _settings(config.evaluation)
    classes = select_classes(names, settings.classes)
    if "classification" not in checkpoint.metadata.tasks:
        raise InputError(
            f"the network of {checkpoint.path} predicts no classes, and has no operating points: name a checkpoint "
            "with the task classification; the threshold of masks is chosen by acsnet test --set "
            "evaluation.threshold=validation"
        )
    if predictions:
        found = _out_of_fold(checkpoint, config, settings, _find_tests(predictions), progress)
    else:
        choose_device(device)
        load_predictor = partial(Predictor.from_checkpoint, checkpoint, device, settings, precision)
        found = _validation(checkpoint, config, load_predictor, progress)
    chosen = [index for index, label in enumerate(found.labels) if label in classes]
    if not chosen:
        raise InputError(
            f"no image is of the classes {', '.join(classes)}, so that operating points cannot be chosen: name their "
            "images by --set data.root=FOLDER, or other classes by --set evaluation.classes=[...]"
        )
    labels = np.array([classes.index(found.labels[index]) for index in chosen])
    result = choose_operating_points(labels, found.probabilities[chosen], classes, points, found.source)
    return result.model_copy(
        update={
            "mask_threshold": None if found.dice is None else THRESHOLDS[stable_step(found.dice[chosen])],
            "split_hashes": found.split_hashes,
            "weights_sha256": weights_sha256(checkpoint.path),
        }
    )


def check_target(path: str | Path, overwrite: bool) -> None:
    """Check that a checkpoint may, and can, be written to a path.

    Raises:
        CheckpointError: if the path has another suffix, or the file exists and may not be overwritten.
        WriteError: if the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"--out is {path}: the name of a checkpoint ends in .safetensors")
    if path.exists() and not overwrite:
        raise CheckpointError(f"{path} exists: choose another name by --out, or pass --overwrite")
    check_writable(path)


def write_calibrated(
    checkpoint: Checkpoint, points: OperatingPoints, path: str | Path, overwrite: bool = False
) -> None:
    """Write a copy of a checkpoint with operating points; its tensors are copied byte by byte.

    Args:
        checkpoint: the checkpoint.
        points: its operating points.
        path: the file to write.
        overwrite: whether the file may exist; it may be the checkpoint itself.

    Raises:
        CheckpointError: if the file exists and ``overwrite`` is false, or the tensors of the copy differ.
        DiskFullError: if the disk is full.
    """
    path = Path(path)
    check_target(path, overwrite)
    before = weights_sha256(checkpoint.path)
    rewrite_metadata(checkpoint.path, path, checkpoint.metadata.model_copy(update={"operating_points": points}))
    if weights_sha256(path) != before or open_checkpoint(path).metadata.operating_points != points:
        raise CheckpointError(f"{path} was not written correctly: remove it, and run the command again")


def _settings(evaluation: EvaluationConfig) -> EvaluationConfig:
    """Return the settings for predictions without an operating point; the mask threshold is yet to be chosen."""
    threshold = EvaluationConfig().threshold if evaluation.threshold == CHOSEN_ON_VALIDATION else evaluation.threshold
    return evaluation.model_copy(update={"operating_point": None, "threshold": threshold})


def _own_split(checkpoint: Checkpoint, config: Config, records: Sequence[Record]) -> Split:
    """Return the split of the training of a checkpoint."""
    split = split_data(records, config.data)
    if split.hash != checkpoint.metadata.split_hash:
        raise ConfigError(
            f"{checkpoint.path} was trained on the split {checkpoint.metadata.split_hash}, this one is {split.hash}: "
            "name the data and the split of its training by --set data.root=FOLDER and the like"
        )
    return split


def _validation(
    checkpoint: Checkpoint, config: Config, load_predictor: Callable[[], Predictor], progress: bool
) -> _Predictions:
    """Predict the validation subset of the training of a checkpoint."""
    metadata = checkpoint.metadata
    if metadata.split_hash is None:
        raise ConfigError(
            f"{checkpoint.path} has no split hash, so its validation subset is unknown: pass the tests of a "
            "cross-validation by --predictions"
        )
    if metadata.selected_on == "test":
        raise ConfigError(
            f"{checkpoint.path} has no validation subset of its own, its epoch was selected on the test subset: pass "
            "the tests of a cross-validation by --predictions"
        )
    split = _own_split(checkpoint, config, load_records(config.data, progress))
    predictor = load_predictor()
    rows: list[list[float]] = []
    dice: list[Float64Array] = []
    with ThreadPoolExecutor() as pool:
        for batch in read_batches(split.val, config.evaluation.batch_size, "calibrating", progress):
            probabilities = predictor.probabilities(batch.images)
            for one in probabilities:
                prediction = predictor.decide(one)
                assert prediction.probabilities is not None  # the network has the task
                rows.append([*prediction.probabilities.values()])
            if "segmentation" in predictor.tasks and not lack_masks(split.val):
                deciders = [predictor.decide] * len(probabilities)
                dice += pool.map(dice_per_threshold, deciders, probabilities, batch.masks)
    return _Predictions(
        labels=[record.label for record in split.val],
        probabilities=np.array(rows),
        dice=np.array(dice) if dice else None,
        source="validation subset of the training",
        split_hashes=(split.hash,),
    )


def _find_tests(paths: Sequence[Path]) -> list[Path]:
    """Return the folders of tests that the paths name."""
    folders: list[Path] = []
    for path in paths:
        folder = path.parent if path.is_file() else path
        if (folder / "metrics.json").is_file():
            folders.append(folder)
            continue
        inside = sorted(file.parent for file in folder.glob("fold*/test/metrics.json"))
        if not inside:
            raise RunError(
                f"{path} has no test results: pass a folder with metrics.json and cases.csv, or the folder of a "
                "configuration in a cross-validation, with fold0/test and so on"
            )
        folders += inside
    return folders


def _out_of_fold(
    checkpoint: Checkpoint, config: Config, settings: EvaluationConfig, folders: Sequence[Path], progress: bool
) -> _Predictions:
    """Pool the tests of folds, without the images of the test subset of the checkpoint."""
    metadata = checkpoint.metadata
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        _check_recipe(run, checkpoint, settings)
        _check_unseen(run)
    pooled = pool_folds(runs)
    if pooled.probabilities is None:
        raise RunError(f"{folders[0]} has no class probabilities: the network predicts no classes")
    records = load_records(config.data, progress)
    split = None if metadata.split_hash is None else _own_split(checkpoint, config, records)
    tested = set() if split is None else {(record.dataset, record.name) for record in split.test}
    used = [index for index, image in enumerate(pooled.images) if image not in tested]
    if not used:
        raise RunError(
            "all of the predicted images are of the test subset of the checkpoint, so that none is left: pass all "
            "folds of a cross-validation by --predictions"
        )
    if tested:
        logger.info("%d images of the test subset of the checkpoint are left out", len(pooled.images) - len(used))
    classes = select_classes(metadata.class_names, settings.classes)
    return _Predictions(
        labels=[pooled.labels[index] for index in used],
        probabilities=adjust_probabilities(pooled.probabilities[used], 1.0, metadata.class_names, classes),
        dice=_saved_dice(runs, [pooled.images[index] for index in used], records, metadata.class_names, settings),
        source=f"out-of-fold predictions of {len(runs)} {'training' if len(runs) == 1 else 'trainings'}",
        split_hashes=tuple(sorted(str(value) for value in pooled.split_hashes)),
    )


def _check_recipe(run: RunResult, checkpoint: Checkpoint, settings: EvaluationConfig) -> None:
    """Check that predictions are of the same network with the same settings, over all of its classes."""
    folder, facts, metadata = run.folders[0], run.provenance[0], checkpoint.metadata
    written = facts.get("evaluation") or {}
    if run.class_names != metadata.class_names:
        raise RunError(
            f"{folder} has the classes {', '.join(run.class_names)}, the checkpoint has "
            f"{', '.join(metadata.class_names)}: {_AGAIN} and without evaluation.classes"
        )
    if facts.get("model") != metadata.network_names:
        raise RunError(
            f"{folder} is a test of the network {facts.get('model')}, the checkpoint is of {metadata.network_names}: "
            "pass tests of the same recipe"
        )
    expected = settings.model_copy(update={"classes": None}).model_dump(mode="json", include={*_PROBABILITY_SETTINGS})
    changed = changed_keys({key: written.get(key, expected[key]) for key in expected}, expected)
    if changed:
        raise RunError(
            f"{folder} was tested with other settings than those of the checkpoint: {'; '.join(changed)}; {_AGAIN}, or "
            "pass its settings by --set evaluation.KEY=VALUE"
        )


def _check_unseen(run: RunResult) -> None:
    """Check by hashes that no predicted image was trained on."""
    folder, facts = run.folders[0], run.provenance[0]
    refused = f"{folder} cannot be used to choose operating points:"
    if run.subset != "test":
        raise RunError(
            f"{refused} it is a test of the subset {run.subset}, and only predictions of the test subset are out of "
            "fold"
        )
    if run.selected_on_test:
        raise RunError(f"{refused} its epoch was selected on the tested images")
    trained_on, tested_on = _training_split(folder, facts), run.split_hashes[0]
    if trained_on is None:
        raise RunError(
            f"{refused} the split of its training is unknown, so that tested images may have been trained on; {_AGAIN}"
        )
    if trained_on != tested_on:
        raise RunError(
            f"{refused} the network was trained on the split {trained_on} and tested on the split {tested_on}, so that "
            "tested images may have been trained on"
        )


def _training_split(folder: Path, facts: Any) -> str | None:
    """Return the hash of the split on which a tested network was trained, or None if it is unknown."""
    if "checkpoint_split_hash" in facts:
        value = facts["checkpoint_split_hash"]
        return None if value is None else str(value)
    # Tests of earlier versions do not have it, but the folder of the training is above theirs.
    path = folder.parent / str(facts.get("checkpoint"))
    if not path.is_file():
        return None
    checkpoint = open_checkpoint(path)
    return checkpoint.metadata.split_hash if checkpoint.sha256 == facts.get("checkpoint_sha256") else None


def _saved_dice(
    runs: Sequence[RunResult],
    images: Sequence[tuple[str, str]],
    records: Sequence[Record],
    class_names: Sequence[str],
    settings: EvaluationConfig,
) -> Float64Array | None:
    """Return the Dice of saved mask probabilities at each threshold, or None if masks or images are missing."""
    by_key = {(record.dataset, record.name): record for record in records}
    labels: dict[tuple[str, str], Float64Array] = {}
    files = {}
    for run in runs:
        for index, image in enumerate(run.images):
            files[image] = probability_path(run.folders[0], *image)
            if run.probabilities is not None:
                labels[image] = run.probabilities[index]
    missing = [f"{dataset}/{name}" for dataset, name in images if (dataset, name) not in by_key]
    unsaved = [str(files[image]) for image in images if not files[image].is_file()]
    if missing or unsaved:
        reason = f"without {name_first(missing)} in the data" if missing else f"without {name_first(unsaved)}"
        logger.info("no mask threshold is chosen: %d images are %s", len(missing or unsaved), reason)
        return None
    if lack_masks(by_key[image] for image in images):
        logger.info("no mask threshold is chosen: no image of a lesion class has a mask")
        return None
    decide = Decision(class_names, settings)

    def read(image: tuple[str, str]) -> Float64Array:
        mask = read_image(files[image])[..., 0].astype(np.float32) / np.float32(255)
        truth = read_merged_mask(by_key[image].masks, mask.shape)
        return dice_per_threshold(decide, Probabilities(mask, labels[image].astype(np.float32)), truth)

    with ThreadPoolExecutor() as pool:
        return np.array([*pool.map(read, images)])
