"""Checks of released checkpoints: files, READMEs, and reproduction of the results."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acsnet.checkpoints import (
    ReleasedTest,
    check_released_file,
    open_checkpoint,
    read_index,
    read_metadata,
    resolve_split,
)
from acsnet.data import read_split_list
from acsnet.errors import AcsnetError, CheckpointError
from acsnet.evaluation.protocol import resolve_test_config, run_test
from acsnet.statistics import METRICS
from scripts.release.conversion import MAX_TOTAL_BYTES
from scripts.release.readme import readmes
from scripts.release.test_results import read_test

# The largest difference of a metric: devices and versions round differently, which flips pixels at the threshold.
METRIC_TOLERANCE = 1e-3


def check_release(folder: Path) -> list[str]:
    """Return one line per problem with the files, the index and the READMEs of a folder.

    Raises:
        CheckpointError: if the index is missing or broken.
    """
    index = read_index(folder)
    problems = []
    for name, entry in index.checkpoints.items():
        try:
            check_released_file(folder / entry.file, entry)
            _check_split(name, entry.split_hash, read_metadata(folder / entry.file).config)
        except AcsnetError as error:
            problems.append(str(error))
        if not entry.tests:
            problems.append(f"{name} has no results: test it by its name, and pass the folder to add-results")
    total = sum(entry.size for entry in index.checkpoints.values())
    if total > MAX_TOTAL_BYTES:
        problems.append(f"all files are {total / 1e6:.1f} MB; the limit is {MAX_TOTAL_BYTES / 1e6:.0f} MB")
    known = {entry.file for entry in index.checkpoints.values()}
    problems += [
        f"{path} is not in the index" for path in sorted(folder.glob("*.safetensors")) if path.name not in known
    ]
    return problems + [
        f"{path} is stale: rewrite it by python -m scripts.release readme"
        for path, text in readmes(folder, index).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def _check_split(name: str, split_hash: str | None, config: Mapping[str, Any]) -> None:
    """Check that the split file of a checkpoint, if it has one, gives the split of its training."""
    split_file = config.get("data", {}).get("split_file")
    if split_file is not None and read_split_list(resolve_split(split_file)).hash != split_hash:
        raise CheckpointError(
            f"{name} was trained on the split {split_hash}, which differs from the split file {split_file}"
        )


def reproduce_results(names: Sequence[str], overrides: Sequence[str], folder: Path, progress: bool = True) -> list[str]:
    """Test released checkpoints again, and return one line per metric outside :data:`METRIC_TOLERANCE`.

    Args:
        names: the names of the checkpoints in the index.
        overrides: the location of the data, such as ``data.root=FOLDER``; applied after those of each test.
        folder: the folder of the index.
        progress: show progress bars.

    Raises:
        AcsnetError: if a file or the data cannot be used.
    """
    index = read_index(folder)
    problems = []
    for name in names:
        entry = index.checkpoints[name]
        checkpoint = open_checkpoint(folder / entry.file)
        for released in entry.tests:
            config = resolve_test_config(checkpoint, None, [*released.overrides, *overrides])
            result, provenance = run_test(checkpoint, config, progress)
            if provenance["dataset_hash"] != released.dataset_hash:
                problems.append(f"{name}: {provenance['dataset_sizes']} are different images from {released.datasets}")
                continue
            with tempfile.TemporaryDirectory() as results:
                result.write(Path(results), provenance)
                again = read_test(entry, checkpoint.metadata, Path(results), ())
            problems += [f"{name}: {difference}" for difference in _differences(released, again)]
    return problems


def _differences(released: ReleasedTest, again: ReleasedTest) -> list[str]:
    lines = _rate_differences(released, again)
    for key, figure in released.metrics.items():
        for field in ("estimate", "low", "high"):
            then, now = getattr(figure, field), getattr(again.metrics[key], field)
            same = then is now if then is None or now is None else math.isclose(then, now, abs_tol=METRIC_TOLERANCE)
            if not same:
                lines.append(f"{METRICS[key].title} ({field}) is {now}, but {then} was released")
    return lines


def _rate_differences(released: ReleasedTest, again: ReleasedTest) -> list[str]:
    if released.operating_points is None or again.operating_points is None:
        return []
    return [
        f"{key} at {name} is {now}, but {then} was released"
        for name, point in released.operating_points.points.items()
        for key, then in point.tested.items()
        if (now := again.operating_points.points[name].tested[key]) != then
    ]
