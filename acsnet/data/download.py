"""Download of published datasets; the final folder appears only when it is complete."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.download import fetch, file_sha256
from acsnet._utils.files import explain_write_error
from acsnet._utils.naming import look_up
from acsnet._utils.unpack import unpack
from acsnet.data.datasets import DatasetEntry, RemoteFile, dataset_entry, list_datasets
from acsnet.data.records import Record
from acsnet.errors import DataError, DownloadError, InputError

NOT_PINNED = (
    "not pinned: no checksum of this file is known. Compare it with that of another copy, and require it from then on "
    "by --sha256"
)


@dataclass(frozen=True)
class DownloadedDataset:
    """A downloaded dataset.

    Attributes:
        folder: Folder of the dataset.
        checksums: SHA-256 of each file and whether it is pinned, as text for people.
    """

    folder: Path
    checksums: dict[str, str]


def describe_dataset(entry: DatasetEntry) -> str:
    """Return the title, publication, license, page and addresses of a dataset as lines of text."""
    lines = [
        entry.title,
        f"  publication: {entry.publication}",
        f"  license:     {entry.license}",
        f"  page:        {entry.page}",
        *(f"  file:        {file.url}" for file in entry.files),
        *([f"  {entry.how_to_ask}"] if entry.how_to_ask else []),
    ]
    return "\n".join(lines)


def published_dataset(name: str) -> DatasetEntry:
    """Return the registry entry of a dataset that has a publisher.

    Raises:
        UnknownNameError: If the name is unknown; the message lists the published datasets.

    Example:
        >>> from acsnet.data.download import published_dataset
        >>> published_dataset("udiat").title
        'UDIAT (Dataset B)'
    """
    entries = {known: dataset_entry(known) for known in list_datasets()}
    # A layout for the user's own images says how to use it, but is not proposed.
    published = {known: entry for known, entry in entries.items() if entry.publication or known == name}
    return look_up("dataset", name, published, "")


def download_dataset(entry: DatasetEntry, out: Path, sha256: str = "", progress: bool = True) -> DownloadedDataset:
    """Download and unpack a dataset into ``out/<folder of the dataset>``.

    The next call resumes an interrupted download. Archives are removed once they are unpacked, and their outer folders
    are dropped if they contain only one other folder.

    Args:
        entry: Dataset to download.
        out: Folder for datasets.
        sha256: Expected SHA-256 of the file that has no pinned checksum.
        progress: Whether to show a progress bar.

    Raises:
        InputError: If ``sha256`` is not a checksum, or every file has a pinned one.
        DownloadError: If the dataset has no public address, the folder is not empty, or the download fails; the final
            folder is then not created.
        DiskFullError: If the disk is full.
    """
    target = out / (entry.folder or entry.name)
    _check_request(entry, target, sha256)
    checksums = {}
    for file in entry.files:
        digest = _download_file(file, out / file.name, file.sha256 or sha256.lower(), progress)
        checksums[file.name] = f"{digest} ({_pin(file, sha256)})"
    try:
        _unpack_all(entry, out, target)
    except OSError as error:
        raise explain_write_error(error, target) from error
    return DownloadedDataset(target, checksums)


def _check_request(entry: DatasetEntry, target: Path, sha256: str) -> None:
    if not entry.files:
        page = f"; its page is {entry.page}" if entry.page else ""
        raise DownloadError(f"{entry.title} cannot be downloaded: {entry.how_to_ask}{page}")
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"the SHA-256 is {sha256!r}: expected 64 hexadecimal digits")
    if sha256 and all(file.sha256 for file in entry.files):
        raise InputError(f"every file of {entry.title} has a pinned SHA-256: leave out yours")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DownloadError(f"{target} is there already and is never overwritten: remove it, or choose another folder")


def _download_file(file: RemoteFile, path: Path, sha256: str, progress: bool) -> str:
    if path.exists():
        # From an earlier call that was interrupted.
        digest = file_sha256(path)
        if not sha256 or digest == sha256:
            return digest
    return fetch(file.url, path, sha256, progress=progress)


def _pin(file: RemoteFile, sha256: str) -> str:
    if file.sha256:
        return f"as pinned: {file.pinned_by}"
    return "as required" if sha256 else NOT_PINNED


def _unpack_all(entry: DatasetEntry, out: Path, target: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=out))
    try:
        for file in entry.files:
            if file.name.endswith(".zip"):
                _unpack_or_remove(out / file.name, staging)
            else:
                shutil.copyfile(out / file.name, staging / file.name)
        if target.exists():
            target.rmdir()
        os.rename(_innermost(staging), target)
        # mkdtemp makes a private folder: copy the permissions of its parent.
        target.chmod(out.stat().st_mode & 0o777)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for file in entry.files:
        (out / file.name).unlink(missing_ok=True)


def _innermost(folder: Path) -> Path:
    """Skip folders whose only content is another folder."""
    content = list(folder.iterdir())
    return _innermost(content[0]) if len(content) == 1 and content[0].is_dir() else folder


def _unpack_or_remove(archive: Path, folder: Path) -> None:
    try:
        unpack(archive, folder)
    except DownloadError:
        # The next call downloads it again.
        archive.unlink()
        raise


@dataclass(frozen=True)
class FoundDataset:
    """A dataset in a folder.

    Attributes:
        root: Value for ``data.root``.
        records: Images of the dataset.
        problems: Problems of the dataset, one line each.
    """

    root: Path
    records: list[Record]
    problems: list[str]

    @property
    def summary(self) -> str:
        """Number of images, in total and per class."""
        counts = Counter(record.label for record in self.records)
        return f"{len(self.records)} images ({', '.join(f'{count} {label}' for label, count in counts.items())})"


def find_dataset(entry: DatasetEntry, folder: Path) -> FoundDataset:
    """Find a dataset in a folder or in its subfolders, at most two levels down.

    Raises:
        DataError: If no folder has the layout of the dataset.
    """
    reason = None
    for root in _folders(folder):
        try:
            records, problems = entry.scan(root, entry.classes)
        except DataError as error:
            reason = reason or error
        else:
            return FoundDataset(root, records, problems)
    raise DataError(f"{folder} was downloaded, but cannot be read as {entry.title}: {reason}") from reason


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for depth in ("*/", "*/*/"):
        yield from sorted(folder.glob(depth))
