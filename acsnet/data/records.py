"""The record table: the one form in which every dataset is handed on."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.files import write_csv
from acsnet.data.csv_io import CsvRow, read_csv
from acsnet.errors import DataError

COLUMNS = ("image", "masks", "label", "group", "dataset", "patient", "name", "spacing")
REQUIRED_COLUMNS = ("image", "masks", "label")
_SEPARATOR = ";"

# Millimeters from the center of a pixel to that of the next, vertically and horizontally.
Spacing = tuple[float, float]


@dataclass(frozen=True)
class Record:
    """One image with all that is known of it.

    Attributes:
        image: its file; "#3" behind a DICOM or TIFF file is its frame 3, counted from 0.
        masks: the files of its masks, one a lesion; none stands for an empty mask.
        label: its class.
        name: what identifies it within its dataset on any machine: the path below the set's root.
        group: images of one group never stand on two sides of a split.
        dataset: the set it comes from.
        patient: the patient, or "" where unknown.
        digest: hash of its pixels, filled in by :func:`acsnet.data.verify_records`.
        spacing: millimeters a pixel, (vertical, horizontal), or None where unknown.
        lesion_share: share of its pixels that are foreground in any of its masks, 0-1, filled in by the same.
    """

    image: Path
    masks: tuple[Path, ...]
    label: str
    name: str
    group: str = ""
    dataset: str = "busi"
    patient: str = ""
    digest: str = ""
    spacing: Spacing | None = None
    lesion_share: float = 0.0


def read_record_table(path: Path) -> list[Record]:
    """Read a CSV table of records.

    Columns ``image``, ``masks`` (several joined by ";", may be empty) and ``label`` are needed; ``group``, ``dataset``,
    ``patient``, ``name`` and ``spacing`` (millimeters: one number, or "vertical;horizontal") may be left out. Paths
    are taken from the table's folder.

    Raises:
        DataError: for a table that is missing, empty or broken, or names an image twice; every broken line is named.
    """
    missing_table = f"there is no record table {path}: make one with tools/curate.py ROOT --out DIR"
    columns, rows = read_csv(path, missing_table)
    missing = [column for column in REQUIRED_COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: needed are {', '.join(REQUIRED_COLUMNS)}")
    _check_rows(path, rows)
    records = [_record(row, path) for _, row in rows]
    times = Counter((record.dataset, record.name) for record in records)
    twice = [name for (_, name), count in times.items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has more than one line for {', '.join(twice)}: give an image one line with all its masks"
        )
    return records


def _check_rows(path: Path, rows: Sequence[CsvRow]) -> None:
    if not rows:
        raise DataError(f"{path} has no records: add a line an image")
    broken = [line for line, row in rows if not row["image"] or not row["label"] or None in (row["masks"], *row)]
    sizes = [line for line, row in rows if not _is_pixel_size(row.get("spacing") or "")]
    faults = (
        ("lines without image or label, or of too few or too many cells", broken),
        ('lines whose spacing is neither one number of millimeters above 0 nor "vertical;horizontal"', sizes),
    )
    found = [f"{what}: {', '.join(map(str, lines))}" for what, lines in faults if lines]
    if found:
        raise DataError(f"{path} has {'; '.join(found)}")


def _is_pixel_size(text: str) -> bool:
    try:
        values = [float(part) for part in text.split(_SEPARATOR)] if text else [1.0]
    except ValueError:
        return False
    return len(values) <= 2 and all(0 < value < math.inf for value in values)


def _pixel_size(text: str) -> Spacing | None:
    values = [float(part) for part in text.split(_SEPARATOR)] if text else []
    return (values[0], values[-1]) if values else None


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
        spacing=_pixel_size(row.get("spacing") or ""),
    )


def write_record_table(path: Path, records: Sequence[Record], more: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write a table that :func:`read_record_table` reads; paths are absolute, so that the table may lie anywhere.

    Args:
        path: the file.
        records: a line each.
        more: further columns, one value a record; reading leaves them out.

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
            "spacing": _SEPARATOR.join(map(repr, record.spacing or ())),
            **{column: values[index] for column, values in (more or {}).items()},
        }
        for index, record in enumerate(records)
    ]
    write_csv(path, rows, (*COLUMNS, *(more or {})))


def dataset_hash(records: Iterable[Record]) -> str:
    """Hash of names, labels and pixels, the same on every machine and in any order."""
    return stable_hash(sorted((record.name, record.label, record.digest) for record in records))


def stable_hash(value: object) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
