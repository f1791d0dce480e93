"""Test results of released files, with intervals and worst cases."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acsnet._utils.naming import look_up
from acsnet.checkpoints import (
    CheckpointMetadata,
    Estimate,
    ReleasedCheckpoint,
    ReleasedTest,
    TestedOperatingPoint,
    TestedOperatingPoints,
    WorstCase,
    check_released_file,
    read_index,
    read_metadata,
)
from acsnet.config import build_config
from acsnet.errors import RunError
from acsnet.statistics import RunResult, compare, read_run
from acsnet.statistics.results import Interval
from scripts.release.anonymization import check_public
from scripts.release.readme import write_index

LEVEL = 0.95
RENORMALIZED = ("accuracy", "auroc_malignant", "sensitivity", "specificity")
_WORST_CASES = 5
_REQUIRED = (
    "checkpoint_sha256",
    "dataset_sizes",
    "class_map",
    "evaluation",
    "folds",
    "split_file",
    "threshold",
    "protocol",
)
# The overrides that name the tested data; recorded as passed.
_DATA_KEYS = ("data.root", "data.records", "data.dataset")


def add_test(name: str, results: Path, overrides: Sequence[str], folder: Path) -> ReleasedTest:
    """Add the results of a test to the entry of a released checkpoint.

    An earlier test on the same images with the same settings is replaced.

    Args:
        name: the name of the checkpoint in the index.
        results: the folder written by ``acsnet test --checkpoint NAME``.
        overrides: the overrides that named the tested data: ``data.root``, ``data.records`` or ``data.dataset``; empty
            for the default. Everything else is read from the results.
        folder: the folder of the index.

    Raises:
        UnknownNameError: if the name is unknown; the message has near matches.
        CheckpointError: if the file is not the released one.
        RunError: if the results are broken, of another file, or of images that may have been trained on.
        InputError: if the results contain local paths.
    """
    index = read_index(folder)
    entry = look_up("released checkpoint", name, index.checkpoints, "")
    check_released_file(folder / entry.file, entry)
    test = read_test(entry, read_metadata(folder / entry.file), results, overrides)
    check_public(test.model_dump(mode="json"), f"the test in {results}")
    tests = [other for other in entry.tests if _identity(other) != _identity(test)]
    entry = entry.model_copy(update={"tests": (*tests, test)})
    write_index(folder, index.model_copy(update={"checkpoints": {**index.checkpoints, name: entry}}))
    return test


def _identity(test: ReleasedTest) -> tuple[str, tuple[str, ...]]:
    return test.dataset_hash, test.settings


def read_test(
    entry: ReleasedCheckpoint, metadata: CheckpointMetadata, results: Path, overrides: Sequence[str]
) -> ReleasedTest:
    """Read the results of a test of the released file; for arguments and errors, see :func:`add_test`."""
    run = read_run(results)
    facts = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
    missing = [key for key in _REQUIRED if key not in facts]
    if missing:
        raise RunError(f"{results}/metrics.json has no {', '.join(missing)}: test the released file with acsnet test")
    if facts["checkpoint_sha256"] != entry.sha256:
        raise RunError(
            f"{results} is a test of another file ({facts.get('checkpoint')}, SHA-256 {facts['checkpoint_sha256']}): "
            f"test the released file {entry.file} by its name"
        )
    _check_unseen(entry, run, facts, results)
    other = [text for text in overrides if text.partition("=")[0] not in _DATA_KEYS]
    if other:
        raise RunError(
            f"--set {' '.join(other)}: expected only {', '.join(_DATA_KEYS)}; everything else is read from {results}"
        )
    estimates = compare([run], level=LEVEL).networks[0].estimates
    return ReleasedTest(
        datasets=facts["dataset_sizes"],
        subset=facts["subset"],
        n=len(run.images),
        groups=len(set(run.groups)),
        classes={label: run.labels.count(label) for label in run.class_names},
        dataset_hash=facts["dataset_hash"],
        split_hash=facts["split_hash"],
        protocol=facts["protocol"],
        threshold=facts["threshold"],
        overrides=(*overrides, *_differences(metadata, facts)),
        level=LEVEL,
        metrics={key: as_estimate(interval) for key, interval in estimates.items()},
        worst_cases=tuple(_worst_cases(run)),
        operating_points=_operating_points(facts.get("operating_points")),
        renormalized=_renormalized(facts.get("classification_renormalized")),
    )


def _operating_points(written: Mapping[str, Any] | None) -> TestedOperatingPoints | None:
    if written is None:
        return None
    points = {
        name: TestedOperatingPoint(**{key: point[key] for key in ("threshold", "chosen", "tested")})
        for name, point in written["points"].items()
    }
    return TestedOperatingPoints.model_validate({**written, "points": points})


def _renormalized(written: Mapping[str, Any] | None) -> dict[str, float | None]:
    return {} if written is None else {key: written[key] for key in RENORMALIZED}


def _check_unseen(entry: ReleasedCheckpoint, run: RunResult, facts: Mapping[str, Any], results: Path) -> None:
    """Check by hashes that no tested image can have been trained on."""
    if run.subset not in ("test", "all"):
        raise RunError(f"{results} is a test of the subset {run.subset}, which was used in training: test another one")
    if run.subset == "test" and facts["split_hash"] != entry.split_hash:
        raise RunError(
            f"{results} is a test on the split {facts['split_hash']}, but the checkpoint was trained on the split "
            f"{entry.split_hash}: tested images may have been trained on"
        )
    if run.subset == "all" and facts["dataset_hash"] == entry.data.hash:
        raise RunError(f"{results} is a test of all images of the training data: test its test subset, or other data")


def _differences(metadata: CheckpointMetadata, facts: Mapping[str, Any]) -> list[str]:
    """Return the overrides that turn the configuration of the training into that of the test."""
    trained = build_config(metadata.config, (), "the configuration in the checkpoint").to_dict()
    data = trained["data"]
    pairs = [("data.split", data["split"], facts["subset"]), ("data.class_map", data["class_map"], facts["class_map"])]
    if facts["folds"] is not None:
        pairs.append(("data.folds", data["folds"], facts["folds"]))
    if facts["subset"] != "all":
        pairs.append(("data.split_file", data["split_file"], facts["split_file"]))
    pairs += [
        (f"evaluation.{key}", trained["evaluation"].get(key), value)
        for key, value in facts["evaluation"].items()
        if key != "published_metrics"  # they add metrics, and change none
    ]
    # JSON is valid YAML.
    return [f"{key}={json.dumps(now)}" for key, then, now in pairs if then != now]


def as_estimate(interval: Interval) -> Estimate:
    """Return an interval in the form of the index."""
    return Estimate(
        estimate=_number(interval.estimate),
        low=_number(interval.low),
        high=_number(interval.high),
        reason=interval.reason,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _worst_cases(run: RunResult) -> list[WorstCase]:
    """Return the images with the lowest Dice, then the misclassified ones with the lowest true-class probability."""
    cases = [_case(run, i) for i in range(len(run.images))]
    segmented = sorted((case for case in cases if case.dice is not None), key=lambda case: case.dice or 0.0)
    misclassified = [case for case in cases if case.probability is not None and case.predicted != case.label]
    misclassified.sort(key=lambda case: case.probability or 0.0)
    return list(dict.fromkeys([*segmented[:_WORST_CASES], *misclassified[:_WORST_CASES]]))


def _case(run: RunResult, i: int) -> WorstCase:
    dataset, name = run.images[i]
    several = len({other for other, _ in run.images}) > 1
    dice = _number(run.per_image["dice"][i]) if "dice" in run.per_image else None
    probability = None
    if run.probabilities is not None:
        probability = float(run.probabilities[i, run.class_names.index(run.labels[i])])
    return WorstCase(
        image=f"{dataset}/{name}" if several else name,
        label=run.labels[i],
        predicted=run.predicted[i] if run.predicted else None,
        probability=probability,
        dice=dice,
    )
