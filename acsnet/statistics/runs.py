"""Test results of runs: folders with ``metrics.json`` and ``cases.csv``, as written by ``acsnet test``."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acsnet._utils.csv_io import CsvRow, read_csv
from acsnet._utils.json_text import parse_json
from acsnet._utils.paths import AnyPaths, list_paths
from acsnet._utils.reading import read_text
from acsnet._utils.typing import Float64Array
from acsnet.errors import AcsnetError, RunError

_AGAIN = "test the checkpoint again with acsnet test"
# The required entries of metrics.json and their types.
_REQUIRED: dict[str, tuple[type, ...]] = {
    "n": (int,),
    "model": (str,),
    "class_names": (list,),
    "subset": (str,),
    "dataset_hash": (str,),
    "split_hash": (str, type(None)),
}
_METRICS = (
    "segmentation",
    "classification",
    "classification_renormalized",
    "operating_points",
    "overall_score",
    "datasets",
    "published",
    "n",
)
# The values of "selection" in metrics.json.
SELECTED_ON_TEST = "selected on the test subset"
SELECTED_ON_VALIDATION = "selected on the validation subset"
_TEXT_COLUMNS = ("image", "label", "predicted", "dataset", "group")
_PROBABILITY = "probability_"


@dataclass(frozen=True)
class RunResult:
    """Test results of a network, of one run or pooled over folds.

    Attributes:
        name: the name of the network.
        folders: the result folder of each run.
        class_names: the classes in the order of the network's outputs.
        subset: the tested subset of the split.
        split_hashes: the hash of the split of each run, sorted; None for a test of all images without a split.
        dataset_hashes: the hash of the names, labels and pixels of the tested images of each run, sorted.
        metrics: the metrics of each run, as in ``metrics.json``.
        provenance: the other entries of the ``metrics.json`` of each run: checkpoint, data, protocol.
        images: dataset and name of each image (N,), sorted.
        labels: the true class of each image (N,).
        groups: the group of each image (N,); an image without a group is its own group.
        predicted: the predicted class of each image (N,), or None for a network without classes.
        probabilities: the probability of each class (N, K), or None.
        per_image: the metrics of each image (N,) by their names, such as ``dice``, NaN where undefined. Networks
            without masks have no ``dice``.
    """

    name: str
    folders: tuple[Path, ...]
    class_names: tuple[str, ...]
    subset: str
    split_hashes: tuple[str | None, ...]
    dataset_hashes: tuple[str, ...]
    metrics: tuple[Mapping[str, Any], ...]
    provenance: tuple[Mapping[str, Any], ...]
    images: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    predicted: tuple[str, ...] | None
    probabilities: Float64Array | None
    per_image: Mapping[str, Float64Array]

    @property
    def selected_on_test(self) -> bool:
        """Whether the epoch of a run was selected on the tested images, so that its metrics are too good."""
        return any(facts.get("selection") == SELECTED_ON_TEST for facts in self.provenance)


def read_runs(folders: AnyPaths) -> tuple[list[RunResult], list[str]]:
    """Read the results of several runs, skipping those that are missing or broken.

    Returns:
        The results, and one line per skipped run that says why.
    """
    folders = list_paths(folders)
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except AcsnetError as error:
            problems.append(str(error))
    return runs, problems


def read_run(folder: str | Path, name: str | None = None) -> RunResult:
    """Read the results of one test.

    Args:
        folder: the folder with ``metrics.json`` and ``cases.csv``.
        name: the name of the network, by default its name in the registry. Runs of one name are folds of one network.

    Raises:
        RunError: if a file is missing or broken, or the two files are of different tests.
        DataError: if ``cases.csv`` is missing or not a CSV table.
    """
    folder = Path(folder)
    facts = _read_facts(folder / "metrics.json")
    path = folder / "cases.csv"
    columns, rows = read_csv(path, f"there is no {path}: {_AGAIN}")
    classes = tuple(facts["class_names"])
    _check_columns(path, columns, classes)
    _check_rows(path, rows, facts["n"])
    cells = sorted((row for _, row in rows), key=lambda row: (row["dataset"], row["image"]))
    _check_classes(path, cells, classes)
    metrics = [column for column in columns if column not in _TEXT_COLUMNS]
    values = {column: np.array([_parse_number(row[column]) for row in cells]) for column in metrics}
    probabilities = [values.pop(f"{_PROBABILITY}{label}") for label in classes if f"{_PROBABILITY}{label}" in values]
    return RunResult(
        name=name or facts["model"],
        folders=(folder,),
        class_names=classes,
        subset=facts["subset"],
        split_hashes=(facts["split_hash"],),
        dataset_hashes=(facts["dataset_hash"],),
        metrics=({key: facts[key] for key in _METRICS if key in facts},),
        provenance=({key: value for key, value in facts.items() if key not in _METRICS},),
        images=tuple((row["dataset"], row["image"]) for row in cells),
        labels=tuple(row["label"] for row in cells),
        # An image without a group is its own group.
        groups=tuple(row["group"] or f"{row['dataset']}/{row['image']}" for row in cells),
        predicted=tuple(row["predicted"] for row in cells) if probabilities else None,
        probabilities=np.column_stack(probabilities) if probabilities else None,
        per_image=values,
    )


def name_first(items: Sequence[object]) -> str:
    """Return the first five items as text, with the number of further ones."""
    return ", ".join(map(str, items[:5])) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = parse_json(read_text(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise RunError(f"there is no {path}: {_AGAIN}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): {_AGAIN}") from error
    except ValueError as error:
        raise RunError(f"{path} is broken ({error}): {_AGAIN}") from error
    if not isinstance(facts, dict):
        raise RunError(f"{path} holds a {type(facts).__name__}, expected an object: {_AGAIN}")
    missing = [key for key, types in _REQUIRED.items() if not isinstance(facts.get(key, ...), types)]
    if missing:
        raise RunError(f"{path} has no {', '.join(missing)}, or a value of the wrong type: {_AGAIN}")
    names = facts["class_names"]
    if not names or not all(isinstance(name, str) for name in names) or len({*names}) != len(names):
        raise RunError(f"{path} has the class_names {names}, expected one name per class: {_AGAIN}")
    return facts


def _check_columns(path: Path, columns: Sequence[str], classes: Sequence[str]) -> None:
    missing = [column for column in _TEXT_COLUMNS if column not in columns]
    if missing:
        raise RunError(f"{path} has no column {', '.join(missing)}: {_AGAIN}")
    found = {column for column in columns if column.startswith(_PROBABILITY)}
    expected = {f"{_PROBABILITY}{label}" for label in classes}
    if found and found != expected:
        raise RunError(
            f"{path} has the columns {', '.join(sorted(found))}, but metrics.json in the same folder has the classes "
            f"{', '.join(classes)}: the files are of different tests; {_AGAIN}"
        )


def _check_rows(path: Path, rows: Sequence[CsvRow], expected: int) -> None:
    """Check that every line is complete, and that there is one line per image."""
    broken = [line for line, row in rows if None in (*row, *row.values())]
    if broken:
        raise RunError(f"{path} has lines with too few or too many cells: {name_first(broken)}; {_AGAIN}")
    if len(rows) != expected or not rows:
        raise RunError(f"{path} has {len(rows)} images, but metrics.json in the same folder says {expected}: {_AGAIN}")
    for line, row in rows:
        wrong = [column for column, cell in row.items() if column not in _TEXT_COLUMNS and _is_wrong(column, cell)]
        if wrong:
            raise RunError(f"{path} line {line} has {wrong[0]} {row[wrong[0]]!r}, expected a number: {_AGAIN}")
    counts = Counter(f"{row['dataset']}/{row['image']}" for _, row in rows)
    repeated = [image for image, count in counts.items() if count > 1]
    if repeated:
        raise RunError(f"{path} has more than one line for {name_first(repeated)}: {_AGAIN}")


def _check_classes(path: Path, cells: Sequence[Mapping[str, str]], classes: Sequence[str]) -> None:
    unknown = {row["label"] for row in cells} - {*classes}
    predicted = {row["predicted"] for row in cells}
    # The predicted class is "" for a network without classes.
    unknown |= predicted - {*classes} if f"{_PROBABILITY}{classes[0]}" in cells[0] else predicted - {""}
    if unknown:
        raise RunError(
            f"{path} has the classes {', '.join(map(repr, sorted(unknown)))}, but metrics.json in the same folder has "
            f"{', '.join(classes)}: the files are of different tests; {_AGAIN}"
        )


def _is_wrong(column: str, cell: str) -> bool:
    try:
        value = _parse_number(cell)
    except ValueError:
        return True
    # Undefined metrics are empty cells, but every image needs its probabilities.
    return math.isinf(value) or (column.startswith(_PROBABILITY) and math.isnan(value))


def _parse_number(cell: str) -> float:
    return float(cell) if cell else math.nan
