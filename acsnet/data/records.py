"""The record table: the common form of every dataset."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.csv_io import CsvRow, missing_columns, read_csv
from acsnet._utils.files import write_csv
from acsnet.data.file_names import compose, find_file
from acsnet.data.spacing import SEPARATOR, Spacing, format_spacing, parse_spacing
from acsnet.errors import DataError, InputError
from acsnet.labels import NORMAL

COLUMNS = ("image", "masks", "label", "group", "dataset", "patient", "name", "spacing")
REQUIRED_COLUMNS = ("image", "masks", "label")
#: These may hold names of files.
NAME_COLUMNS = ("image", "masks", "group", "name", "copies")
# What to do if a class of images has no masks.
HOW_WITHOUT_MASKS = (
    "add them, or, to use the classes alone, list the images in a record table with empty cells of masks "
    "(--set data.records=TABLE.csv)"
)


@dataclass(frozen=True)
class Record:
    """One image of a dataset: its files, its class and its origin.

    Attributes:
        image: Image file; a path that ends in "#3" is frame 3 of a DICOM or TIFF file, counted from 0.
        masks: Mask files, one per lesion; an empty tuple stands for an empty mask.
        label: Class of the image.
        name: Name within the dataset, the same on every machine: the path below the root of the dataset, with composed
            accents.
        group: Group of the image; a split never separates the images of one group.
        dataset: Name of the dataset.
        patient: Patient, or "" if unknown.
        digest: SHA-256 of the pixels, filled in by :func:`acsnet.data.verify_records`.
        spacing: Millimeters per pixel, (vertical, horizontal), or None if unknown.
        lesion_share: Fraction of the pixels that are foreground in any of the masks, 0 to 1, filled in by
            :func:`acsnet.data.verify_records`.
        mask_digest: SHA-256 of the pixels of the merged mask, filled in by :func:`acsnet.data.verify_records`.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.data import Record
        >>> record = Record(Path("a.png"), (Path("a_mask.png"),), "benign", name="a.png", spacing=(0.08, 0.07))
        >>> record.label, record.dataset, record.spacing
        ('benign', 'busi', (0.08, 0.07))
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
    mask_digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", compose(self.name))


def lack_masks(records: Iterable[Record]) -> bool:
    """Return whether there are images of lesion classes of which none has a mask file: their true masks are unknown.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.data import Record
        >>> from acsnet.data.records import lack_masks
        >>> lack_masks([Record(Path("a.png"), (), "benign", "a.png"), Record(Path("b.png"), (), "normal", "b.png")])
        True
        >>> lack_masks([Record(Path("b.png"), (), "normal", "b.png")])
        False
    """
    lesions = [record for record in records if record.label != NORMAL]
    return bool(lesions) and not any(record.masks for record in lesions)


def read_record_table(path: str | Path) -> list[Record]:
    r"""Read a CSV table of records.

    The columns ``image``, ``masks`` (paths joined by ";", may be empty) and ``label`` are required. ``group``,
    ``dataset``, ``patient``, ``name`` and ``spacing`` (millimeters per pixel: one number, or "vertical;horizontal")
    are optional, further columns are ignored. Paths are relative to the folder of the table.

    Args:
        path: CSV file.

    Raises:
        DataError: If the table is missing, empty or broken, or names an image twice; every broken line is listed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data import read_record_table
        >>> table = Path(tempfile.mkdtemp()) / "clinic.csv"
        >>> _ = table.write_text("image,masks,label,spacing\na.png,a_mask.png,benign,0.08\nb.png,,normal,\n")
        >>> [(record.name, record.dataset, record.label, record.spacing) for record in read_record_table(table)]
        [('a.png', 'clinic', 'benign', (0.08, 0.08)), ('b.png', 'clinic', 'normal', None)]
    """
    path = Path(path)
    missing_table = f"there is no record table {path}: make one with acsnet curate ROOT --out DIR"
    columns, rows = read_csv(path, missing_table, names=NAME_COLUMNS)
    if any(column not in columns for column in REQUIRED_COLUMNS):
        raise missing_columns(path, REQUIRED_COLUMNS, columns)
    _check_rows(path, rows)
    records = [_to_record(row, path) for _, row in rows]
    counts = Counter((record.dataset, record.name) for record in records)
    repeated = [name for (_, name), count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{path} has more than one line for {', '.join(repeated)}: write one line per image, with all its masks"
        )
    return records


def _check_rows(path: Path, rows: Sequence[CsvRow]) -> None:
    if not rows:
        raise DataError(f"{path} has no records: add one line per image")
    broken = [line for line, row in rows if not row["image"] or not row["label"] or None in (row["masks"], *row)]
    bad_spacing = [line for line, row in rows if not _is_spacing(row.get("spacing") or "")]
    faults = (
        ("lines without image or label, or with too few or too many cells", broken),
        (
            'lines whose spacing is neither one number above 0, in millimeters per pixel, nor "vertical;horizontal"',
            bad_spacing,
        ),
    )
    found = [f"{fault}: {', '.join(map(str, lines))}" for fault, lines in faults if lines]
    if found:
        raise DataError(f"{path} has {'; '.join(found)}")


def _is_spacing(text: str) -> bool:
    try:
        _spacing(text)
    except InputError:
        return False
    return True


def _spacing(text: str) -> Spacing | None:
    return parse_spacing(text) if text else None


def _to_record(row: dict[str, str], table: Path) -> Record:
    masks = tuple(find_file(table.parent / name) for name in row["masks"].split(SEPARATOR) if name)
    return Record(
        image=find_file(table.parent / row["image"]),
        masks=masks,
        label=row["label"],
        name=row.get("name") or row["image"],
        group=row.get("group") or "",
        dataset=row.get("dataset") or table.stem,
        patient=row.get("patient") or "",
        spacing=_spacing(row.get("spacing") or ""),
    )


def write_record_table(
    path: str | Path, records: Sequence[Record], more: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Write a table for :func:`read_record_table`, with absolute paths, so that the table can be moved.

    Args:
        path: CSV file to write.
        records: Records, one row per record.
        more: Further columns with one value per record; :func:`read_record_table` ignores them.

    Raises:
        DataError: If the path of a mask contains ";", which separates masks in the table.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data import Record, read_record_table, write_record_table
        >>> folder = Path(tempfile.mkdtemp()).resolve()
        >>> records = [Record(folder / "a.png", (folder / "a_mask.png",), "benign", name="a.png")]
        >>> write_record_table(folder / "records.csv", records)
        >>> read_record_table(folder / "records.csv") == records
        True
    """
    path = Path(path)
    for mask in (os.path.realpath(mask) for record in records for mask in record.masks):
        if SEPARATOR in mask:
            raise DataError(
                f"{mask}: a record table separates masks by {SEPARATOR!r}: rename the file or folder that contains it"
            )
    rows = [
        {
            "image": os.path.realpath(record.image),
            "masks": SEPARATOR.join(os.path.realpath(mask) for mask in record.masks),
            "label": record.label,
            "group": record.group,
            "dataset": record.dataset,
            "patient": record.patient,
            "name": record.name,
            "spacing": format_spacing(record.spacing),
            **{column: values[index] for column, values in (more or {}).items()},
        }
        for index, record in enumerate(records)
    ]
    write_csv(path, rows, (*COLUMNS, *(more or {})))


def dataset_hash(records: Iterable[Record]) -> str:
    """Return a hash of names, labels and pixels that is the same on every machine and in any order of the records."""
    return stable_hash(sorted((record.name, record.label, record.digest) for record in records))


def mask_hash(records: Iterable[Record]) -> str:
    """Return a hash of the merged masks that is the same on every machine and in any order of the records."""
    return stable_hash(sorted((record.dataset, record.name, record.mask_digest) for record in records))


def stable_hash(value: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
