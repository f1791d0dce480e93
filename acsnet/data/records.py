"""The record table: the one form in which every data set is handed on."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acsnet.errors import DataError
from acsnet.files import write_csv

COLUMNS = ("image", "masks", "label", "group", "dataset", "patient", "name")
REQUIRED_COLUMNS = ("image", "masks", "label")
_SEPARATOR = ";"


@dataclass(frozen=True)
class Record:
    """One image with all that is known of it.

    Attributes:
        image: its file.
        masks: the files of its masks, one a lesion; none stands for an empty mask.
        label: its class.
        name: what identifies it within its data set on any machine: the path below the set's root.
        group: images of one group never stand on two sides of a split.
        dataset: the set it comes from.
        patient: the patient, or "" where unknown.
        digest: hash of its pixels, filled in by :func:`acsnet.data.verify_records`.
    """

    image: Path
    masks: tuple[Path, ...]
    label: str
    name: str
    group: str = ""
    dataset: str = "busi"
    patient: str = ""
    digest: str = ""


def read_record_table(path: Path) -> list[Record]:
    """Read a CSV table of records.

    Columns ``image``, ``masks`` (several joined by ";", may be empty) and ``label`` are needed; ``group``, ``dataset``,
    ``patient`` and ``name`` may be left out. Paths are taken from the table's folder.

    Raises:
        DataError: for a table that is missing, empty or broken, or names an image twice; every broken line is named.
    """
    columns, rows = _read_rows(path)
    missing = [column for column in REQUIRED_COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: needed are {', '.join(REQUIRED_COLUMNS)}")
    broken = [line for line, row in rows if not row["image"] or not row["label"] or None in (row["masks"], *row)]
    if broken or not rows:
        lines = f"lines without image or label, or of too few or too many cells: {', '.join(map(str, broken))}"
        raise DataError(f"{path} has {lines if broken else 'no records: add a line an image'}")
    records = [_record(row, path) for _, row in rows]
    times = Counter((record.dataset, record.name) for record in records)
    twice = [name for (_, name), count in times.items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has more than one line for {', '.join(twice)}: give an image one line with all its masks"
        )
    return records


def _read_rows(path: Path) -> tuple[Sequence[str], list[tuple[int, dict[Any, Any]]]]:
    """Return the columns and, with its line number, each row."""
    try:
        # With or without the mark that spreadsheets put first.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
            return reader.fieldnames or [], rows
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise DataError(f"there is no record table {path}: make one with tools/curate.py ROOT --out DIR") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a CSV table ({error}): save it as UTF-8 text, cells parted by commas"
        ) from error


def _record(row: dict[str, str], table: Path) -> Record:
    masks = tuple(table.parent / name for name in row["masks"].split(_SEPARATOR) if name)
    return Record(
        image=table.parent / row["image"],
        masks=masks,
        label=row["label"],
        name=row.get("name") or row["image"],
        group=row.get("group") or "",
        dataset=row.get("dataset") or table.stem,
        patient=row.get("patient") or "",
    )


def write_record_table(path: Path, records: Sequence[Record]) -> None:
    """Write a table that :func:`read_record_table` reads; paths are absolute, so that the table may lie anywhere.

    Raises:
        DataError: for a mask whose path holds the ";" that parts masks.
    """
    for mask in (mask.resolve() for record in records for mask in record.masks):
        if _SEPARATOR in str(mask):
            raise DataError(f"{mask}: a table parts masks by {_SEPARATOR!r}: rename the file or folder that has it")
    rows = [
        {
            "image": record.image.resolve(),
            "masks": _SEPARATOR.join(str(mask.resolve()) for mask in record.masks),
            "label": record.label,
            "group": record.group,
            "dataset": record.dataset,
            "patient": record.patient,
            "name": record.name,
        }
        for record in records
    ]
    write_csv(path, rows, COLUMNS)


def dataset_hash(records: Iterable[Record]) -> str:
    """Hash of names, labels and pixels, the same on every machine and in any order."""
    return stable_hash(sorted((record.name, record.label, record.digest) for record in records))


def stable_hash(value: object) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
