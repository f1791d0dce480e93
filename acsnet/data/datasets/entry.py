"""The registry of datasets: names, readers, licenses and download addresses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.plugins import load_installed_plugins, look_up_registered
from acsnet._utils.registration import register
from acsnet.data.image_files import problem_list
from acsnet.data.records import Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES

# Reads the records of some classes below a root; returns them and the problems of the dataset, one line each.
Scan = Callable[[Path, Sequence[str]], tuple[list[Record], list[str]]]


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset on the server of its publisher.

    Attributes:
        name: Name of the downloaded file; a ``.zip`` is unpacked, other files are stored unchanged.
        url: Published address.
        sha256: SHA-256 in hexadecimal digits, or "" if no verified one is known.
        pinned_by: Source of ``sha256``.
    """

    name: str
    url: str
    sha256: str = ""
    pinned_by: str = ""


@dataclass(frozen=True)
class DatasetEntry:
    """Metadata and reader of a published dataset.

    Attributes:
        name: Name for ``data.dataset`` and ``acsnet download``.
        title: Published name.
        publication: Authors, year and venue.
        license: Terms of use.
        page: Address of the page that describes the dataset.
        scan: Reader of the records of some classes below a root: ``scan(root, classes) -> (records, problems)``. It
            raises :class:`~acsnet.errors.DataError` if the root does not have the layout of the dataset.
        classes: Class names of the dataset.
        files: Files to download, in this order; empty if the dataset is provided on request only.
        how_to_ask: How to request access, if the dataset cannot be downloaded.
        folder: Name of the downloaded folder; by default the name of the dataset.
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
    """Add a dataset to the registry.

    Raises:
        InputError: If the name is already registered.
    """
    register("dataset", entry.name, entry, _ENTRIES, builder=entry.scan)


def list_datasets() -> list[str]:
    """Return the sorted names of the registered datasets, with those of installed plugins.

    Example:
        >>> from acsnet.data import list_datasets
        >>> list_datasets()
        ['breast', 'busbra', 'busi', 'busuclm', 'folders', 'udiat']
    """
    load_installed_plugins()
    return sorted(_ENTRIES)


def dataset_entry(name: str) -> DatasetEntry:
    """Return the registry entry of a dataset.

    Raises:
        UnknownNameError: If the name is unknown; the message has near matches.

    Example:
        >>> from acsnet.data import dataset_entry
        >>> entry = dataset_entry("busbra")
        >>> entry.title, entry.classes
        ('BUS-BRA', ('benign', 'malignant'))
    """
    return look_up_registered("dataset", name, _ENTRIES, "")


def read_dataset(name: str, root: str | Path, classes: Sequence[str] | None = None) -> list[Record]:
    """Read the records of a dataset in its published layout.

    Args:
        name: One of :func:`list_datasets`.
        root: Folder of the dataset.
        classes: Classes to read, by the names of the dataset; all of them by default.

    Raises:
        UnknownNameError: If the name is unknown.
        DataError: If the root has another layout, or files are missing; all of them are listed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data import read_dataset
        >>> from acsnet.phantom import write_phantoms
        >>> root = Path(tempfile.mkdtemp())
        >>> write_phantoms(root, {"benign": 2, "normal": 1}, size=(64, 64), progress=False)
        >>> [record.label for record in read_dataset("busi", root)]
        ['benign', 'benign', 'normal']
    """
    root = Path(root)
    entry = dataset_entry(name)
    records, problems = entry.scan(root, entry.classes if classes is None else classes)
    if problems:
        raise DataError(problem_list(f"{root} cannot be used", problems))
    return records
