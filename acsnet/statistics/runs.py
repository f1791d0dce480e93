"""The test results of runs: folders with ``metrics.json`` and ``cases.csv``, as ``tools/test.py`` writes them."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acsnet.data.csv_io import CsvRow, read_csv
from acsnet.errors import AcsnetError, RunError
from acsnet.statistics.results import FloatArray

_AGAIN = "test the checkpoint again with tools/test.py"
# What metrics.json must have, and of which type.
_PROVENANCE: dict[str, tuple[type, ...]] = {
    "n": (int,),
    "model": (str,),
    "class_names": (list,),
    "subset": (str,),
    "dataset_hash": (str,),
    "split_hash": (str, type(None)),
}
_METRICS = ("segmentation", "classification", "overall_score", "datasets", "n")
_TEXTS = ("image", "label", "predicted", "dataset", "group")
_PROBABILITY = "probability_"


@dataclass(frozen=True)
class RunResult:
    """What a network made of the images it was tested on, in one run or pooled over folds.

    Attributes:
        name: of the network.
        folders: where it was read from, one a run.
        class_names: in the order of the network's outputs.
        subset: which part of the split was tested.
        split_hashes: one a run, sorted; None for a test of all images, with no split.
        dataset_hashes: of the tested images' names, labels and pixels, one a run, sorted.
        metrics: the metrics of each run, as in ``metrics.json``.
        provenance: what else is in the ``metrics.json`` of each run: checkpoint, data, protocol.
        images: dataset and name of each image (N,), sorted.
        labels: the true class of each image (N,).
        groups: the group of each image (N,); an image without one is a group of its own.
        predicted: the predicted class of each image (N,), or None of a network without classes.
        probabilities: (N, K) of each class, or None.
        measures: what was measured on each image (N,), as ``dice``, NaN where undefined; of a network without masks
            there is no ``dice``.
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
    probabilities: FloatArray | None
    measures: Mapping[str, FloatArray]


def read_runs(folders: Sequence[Path]) -> tuple[list[RunResult], list[str]]:
    """Read the results of several runs; one that is missing or broken is told of, and does not keep the rest back.

    Returns:
        The runs that can be used, and a line for each that cannot.
    """
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except AcsnetError as error:
            problems.append(str(error))
    return runs, problems


def read_run(folder: Path, name: str | None = None) -> RunResult:
    """Read the result of one test.

    Args:
        folder: holds ``metrics.json`` and ``cases.csv``.
        name: what to call the network; by default as the registry does. Runs of one name are folds of one network.

    Raises:
        RunError: for a file that is missing or broken, or two that do not belong together.
        DataError: for a ``cases.csv`` that is missing or no CSV table.
    """
    facts = _read_facts(folder / "metrics.json")
    path = folder / "cases.csv"
    columns, rows = read_csv(path, f"there is no {path}: {_AGAIN}")
    classes = tuple(facts["class_names"])
    _check_columns(path, columns, classes)
    _check_rows(path, rows, facts["n"])
    cells = sorted((row for _, row in rows), key=lambda row: (row["dataset"], row["image"]))
    _check_classes(path, cells, classes)
    measures = [column for column in columns if column not in _TEXTS]
    values = {column: np.array([_number(row[column]) for row in cells]) for column in measures}
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
        # Images without a group are each alone.
        groups=tuple(row["group"] or f"{row['dataset']}/{row['image']}" for row in cells),
        predicted=tuple(row["predicted"] for row in cells) if probabilities else None,
        probabilities=np.column_stack(probabilities) if probabilities else None,
        measures=values,
    )


def name_first(things: Sequence[object]) -> str:
    """Name the first five of some things, and how many more there are."""
    return ", ".join(map(str, things[:5])) + (f" and {len(things) - 5} more" if len(things) > 5 else "")


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise RunError(f"there is no {path}: {_AGAIN}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is broken ({error}): {_AGAIN}") from error
    if not isinstance(facts, dict):
        raise RunError(f"{path} holds a {type(facts).__name__}, expected an object: {_AGAIN}")
    missing = [key for key, types in _PROVENANCE.items() if not isinstance(facts.get(key, ...), types)]
    if missing:
        raise RunError(f"{path} has no {', '.join(missing)}, or of the wrong type: {_AGAIN}")
    names = facts["class_names"]
    if not names or not all(isinstance(name, str) for name in names) or len({*names}) != len(names):
        raise RunError(f"{path} has the class_names {names}, expected one name a class: {_AGAIN}")
    return facts


def _check_columns(path: Path, columns: Sequence[str], classes: Sequence[str]) -> None:
    missing = [column for column in _TEXTS if column not in columns]
    if missing:
        raise RunError(f"{path} has no column {', '.join(missing)}: {_AGAIN}")
    found = {column for column in columns if column.startswith(_PROBABILITY)}
    expected = {f"{_PROBABILITY}{label}" for label in classes}
    if found and found != expected:
        raise RunError(
            f"{path} has the columns {', '.join(sorted(found))}, metrics.json beside it the classes "
            f"{', '.join(classes)}: they are of two tests; {_AGAIN}"
        )


def _check_rows(path: Path, rows: Sequence[CsvRow], expected: int) -> None:
    """Check that every line is whole, and that all are there."""
    broken = [line for line, row in rows if None in (*row, *row.values())]
    if broken:
        raise RunError(f"{path} has lines of too few or too many cells: {name_first(broken)}; {_AGAIN}")
    if len(rows) != expected or not rows:
        raise RunError(f"{path} has {len(rows)} images, metrics.json beside it {expected}: {_AGAIN}")
    for line, row in rows:
        wrong = [column for column, cell in row.items() if column not in _TEXTS and _is_wrong(column, cell)]
        if wrong:
            raise RunError(f"{path} line {line} has {wrong[0]} {row[wrong[0]]!r}, expected a number: {_AGAIN}")
    times = Counter(f"{row['dataset']}/{row['image']}" for _, row in rows)
    twice = [image for image, count in times.items() if count > 1]
    if twice:
        raise RunError(f"{path} has more than one line for {name_first(twice)}: {_AGAIN}")


def _check_classes(path: Path, cells: Sequence[Mapping[str, str]], classes: Sequence[str]) -> None:
    unknown = {row["label"] for row in cells} - {*classes}
    predicted = {row["predicted"] for row in cells}
    # A network without classes predicts "".
    unknown |= predicted - {*classes} if f"{_PROBABILITY}{classes[0]}" in cells[0] else predicted - {""}
    if unknown:
        raise RunError(
            f"{path} has the classes {', '.join(map(repr, sorted(unknown)))}, metrics.json beside it "
            f"{', '.join(classes)}: they are of two tests; {_AGAIN}"
        )


def _is_wrong(column: str, cell: str) -> bool:
    try:
        value = _number(cell)
    except ValueError:
        return True
    # What is undefined has an empty cell; every image has its probabilities.
    return math.isinf(value) or (column.startswith(_PROBABILITY) and math.isnan(value))


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan
