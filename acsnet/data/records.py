"""The record table: the one form in which every data set is handed on."""

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
        DataError: for a table that is missing, empty or broken; every broken line is named.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            columns = reader.fieldnames or []
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"there is no record table {path}: make one with tools/curate.py ROOT --out DIR") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV table: {error}") from error
    missing = [column for column in REQUIRED_COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: needed are {', '.join(REQUIRED_COLUMNS)}")
    broken = [i for i, row in enumerate(rows, start=2) if not row["image"] or not row["label"] or row["masks"] is None]
    if broken or not rows:
        where = f"lines without image, masks or label: {', '.join(map(str, broken))}" if broken else "no records"
        raise DataError(f"{path} has {where}")
    return [_record(row, path) for row in rows]


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
    """Write a table that :func:`read_record_table` reads; paths are absolute, so that the table may lie anywhere."""
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
