"""The registry of published datasets: names -> how they are read, and where they are published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.naming import look_up
from acsnet.data.image_files import problem_list
from acsnet.data.records import Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES

# Root and classes in, records and what is wrong with the set out.
Scan = Callable[[Path, Sequence[str]], tuple[list[Record], list[str]]]


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset as its publisher serves it.

    Attributes:
        name: what it is called on this side; a ``.zip`` is unpacked, anything else is kept as it is.
        url: its published address.
        sha256: its SHA-256 in hexadecimal digits, or "" where none was to be had. Never a guess.
        pinned_by: where ``sha256`` was taken from.
    """

    name: str
    url: str
    sha256: str = ""
    pinned_by: str = ""


@dataclass(frozen=True)
class DatasetEntry:
    """What is known of a published dataset.

    Attributes:
        name: what ``data.dataset`` and ``tools/download.py`` call it.
        title: its published name.
        publication: authors, year, venue.
        license: its terms of use.
        page: the page that describes it.
        scan: reads the records of some classes below a root: ``scan(root, classes) -> (records, problems)``; it raises
            :class:`~acsnet.errors.DataError` where the root is not in the set's layout.
        classes: its own names of classes.
        files: what is fetched, in this order; none where the set is given on request only.
        how_to_ask: for a set without files, how it is had.
        folder: what its folder is called once it is fetched; by default its name.
    """

    name: str
    title: str
    publication: str
    license: str
    page: str
    scan: Scan
    classes: tuple[str, ...] = CLASS_NAMES
    files: tuple[RemoteFile, ...] = ()
    how_to_ask: str = ""
    folder: str = ""


_ENTRIES: dict[str, DatasetEntry] = {}


def register_dataset(entry: DatasetEntry) -> None:
    """Add a dataset.

    Raises:
        ValueError: where the name is taken.
    """
    if entry.name in _ENTRIES:
        raise ValueError(f"a dataset named {entry.name!r} is registered already: choose another name")
    _ENTRIES[entry.name] = entry


def list_datasets() -> list[str]:
    """Return the sorted names of the datasets whose published layout is read."""
    return sorted(_ENTRIES)


def dataset_entry(name: str) -> DatasetEntry:
    """Return what is known of a dataset.

    Raises:
        UnknownNameError: with near matches.
    """
    return look_up("dataset", name, _ENTRIES, "")


def read_dataset(name: str, root: Path, classes: Sequence[str] | None = None) -> list[Record]:
    """Read the records of a dataset in its published layout.

    Args:
        name: one of :func:`list_datasets`.
        root: the folder that holds it.
        classes: the classes to read, by the set's own names; all of them by default.

    Raises:
        UnknownNameError: for an unknown name.
        DataError: for a root in another layout, and for whatever is missing, all of it listed.
    """
    entry = dataset_entry(name)
    records, problems = entry.scan(root, entry.classes if classes is None else classes)
    if problems:
        raise DataError(problem_list(f"{root} cannot be used", problems))
    return records
