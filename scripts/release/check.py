"""Whether what is released still holds: files, README, and every figure."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acsnet.checkpoints import ReleasedTest, check_released_file, read_index, resolve_split
from acsnet.checkpoints.metadata import read_metadata
from acsnet.data import read_split_list
from acsnet.errors import AcsnetError, CheckpointError
from acsnet.evaluation.protocol import resolve_test_config, run_test
from acsnet.statistics import METRICS
from scripts.release.conversion import MAX_FILE_BYTES, MAX_TOTAL_BYTES
from scripts.release.readme import readmes
from scripts.release.test_results import read_test

# By how much a figure may differ: devices and versions round differently, and a pixel at the threshold flips.
FIGURE_TOLERANCE = 1e-3


def check_release(folder: Path) -> list[str]:
    """Name what is wrong with the files, the index and the README of a folder; nothing where all is right.

    Raises:
        CheckpointError: for an index that is missing or broken.
    """
    index = read_index(folder)
    problems = []
    for name, entry in index.checkpoints.items():
        try:
            check_released_file(folder / entry.file, entry)
            _check_split(name, entry.split_hash, read_metadata(folder / entry.file).config)
        except AcsnetError as error:
            problems.append(str(error))
        if entry.size > MAX_FILE_BYTES:
            problems.append(f"{name} has {entry.size / 1e6:.1f} MB, at most {MAX_FILE_BYTES / 1e6:.0f} may be")
        if not entry.tests:
            problems.append(f"{name} has no figures: test it by its name, and give the folder to --results")
    total = sum(entry.size for entry in index.checkpoints.values())
    if total > MAX_TOTAL_BYTES:
        problems.append(f"all files have {total / 1e6:.1f} MB, at most {MAX_TOTAL_BYTES / 1e6:.0f} may be")
    known = {entry.file for entry in index.checkpoints.values()}
    problems += [
        f"{path} is not in the index" for path in sorted(folder.glob("*.safetensors")) if path.name not in known
    ]
    return problems + [
        f"{path} is stale: write it anew by python -m scripts.release --readme"
        for path, text in readmes(folder, index).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def _check_split(name: str, split_hash: str | None, config: Mapping[str, Any]) -> None:
    """Check that the list of a checkpoint's split, where it has one, makes the split that it was trained on."""
    parts = config.get("data", {}).get("parts")
    if parts is not None and read_split_list(resolve_split(parts)).hash != split_hash:
        raise CheckpointError(f"{name} was trained on the split {split_hash}, which the list {parts} is not")


def check_figures(names: Sequence[str], overrides: Sequence[str], folder: Path, progress: bool = True) -> list[str]:
    """Test released checkpoints again, and name the figures that differ by more than :data:`FIGURE_TOLERANCE`.

    Args:
        names: of the index.
        overrides: where the data lies, as ``data.root=FOLDER``; they come after those of each test.
        folder: of the index.
        progress: show progress bars.

    Raises:
        AcsnetError: for a file or data that cannot be used.
    """
    index = read_index(folder)
    problems = []
    for name in names:
        entry = index.checkpoints[name]
        path = folder / entry.file
        for released in entry.tests:
            config = resolve_test_config(path, None, [*released.overrides, *overrides])
            result, provenance = run_test(path, config, progress)
            if provenance["dataset_hash"] != released.dataset_hash:
                problems.append(f"{name}: {provenance['dataset_sizes']} are other images than {released.datasets}")
                continue
            with tempfile.TemporaryDirectory() as results:
                result.write(Path(results), provenance)
                again = read_test(entry, read_metadata(path), Path(results), ())
            problems += [f"{name}: {difference}" for difference in _differing(released, again)]
    return problems


def _differing(released: ReleasedTest, again: ReleasedTest) -> list[str]:
    lines = []
    for key, figure in released.metrics.items():
        for part in ("estimate", "low", "high"):
            then, now = getattr(figure, part), getattr(again.metrics[key], part)
            same = then is now if then is None or now is None else math.isclose(then, now, abs_tol=FIGURE_TOLERANCE)
            if not same:
                lines.append(f"{METRICS[key].title} ({part}) is released as {then}, and now {now}")
    return lines
