"""Fetching a published dataset: its files, unpacked, under their final name only when all is there."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.download import explain_write_error, fetch, file_sha256
from acsnet.data.datasets import DatasetEntry, RemoteFile
from acsnet.data.records import Record
from acsnet.data.unpack import unpack
from acsnet.errors import DataError, DownloadError, InputError

NOT_PINNED = (
    "not pinned: no checksum of this file is known to this version. Compare it with another copy's, and require it "
    "from then on by --sha256"
)


@dataclass(frozen=True)
class Downloaded:
    """A dataset that was fetched.

    Attributes:
        folder: where everything lies.
        checksums: by file, its SHA-256 and whether it is pinned, for people.
    """

    folder: Path
    checksums: dict[str, str]


def describe(entry: DatasetEntry) -> str:
    """Say what a dataset is, under which license, and from where it is fetched."""
    lines = [
        entry.title,
        f"  publication: {entry.publication}",
        f"  license:     {entry.license}",
        f"  page:        {entry.page}",
        *(f"  file:        {file.url}" for file in entry.files),
        *([f"  {entry.how_to_ask}"] if entry.how_to_ask else []),
    ]
    return "\n".join(lines)


def download_dataset(entry: DatasetEntry, out: Path, sha256: str = "", progress: bool = True) -> Downloaded:
    """Fetch and unpack a dataset into ``out/<its folder>``.

    A transfer that broke off is gone on with by the next call. Archives are removed once they are unpacked; folders of
    theirs that hold but one other folder are left out.

    Args:
        entry: of the registry.
        out: the folder of datasets.
        sha256: required of the file that has no pinned checksum.
        progress: show a progress bar.

    Raises:
        InputError: for a checksum that is none, or where every file has its own.
        DownloadError: for a set without public address, a folder that is not empty, and whatever goes wrong on the way:
            nothing is left under the final name.
        DiskFullError: where there is no space left.
    """
    target = out / (entry.folder or entry.name)
    _check_request(entry, target, sha256)
    checksums = {}
    for file in entry.files:
        digest = _fetch_file(file, out / file.name, file.sha256 or sha256.lower(), progress)
        checksums[file.name] = f"{digest} ({_pin(file, sha256)})"
    try:
        _unpack_all(entry, out, target)
    except OSError as error:
        raise explain_write_error(error, target) from error
    return Downloaded(target, checksums)


def _check_request(entry: DatasetEntry, target: Path, sha256: str) -> None:
    if not entry.files:
        raise DownloadError(f"{entry.title} cannot be fetched, {entry.how_to_ask}; its page is {entry.page or 'none'}")
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"the SHA-256 is {sha256!r}: expected 64 hexadecimal digits")
    if sha256 and all(file.sha256 for file in entry.files):
        raise InputError(f"every file of {entry.title} has a pinned SHA-256: leave out yours")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DownloadError(f"{target} is there already and is never overwritten: remove it, or choose another folder")


def _fetch_file(file: RemoteFile, path: Path, sha256: str, progress: bool) -> str:
    if path.exists():
        # Left by a call that did not get to the end.
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
        # Others who may read the folder may read the set: mkdtemp alone keeps it to its maker.
        target.chmod(out.stat().st_mode & 0o777)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for file in entry.files:
        (out / file.name).unlink(missing_ok=True)


def _innermost(folder: Path) -> Path:
    """The first folder from here on that holds more than one other folder."""
    content = list(folder.iterdir())
    return _innermost(content[0]) if len(content) == 1 and content[0].is_dir() else folder


def _unpack_or_remove(archive: Path, folder: Path) -> None:
    try:
        unpack(archive, folder)
    except DownloadError:
        # The next call fetches it anew.
        archive.unlink()
        raise


@dataclass(frozen=True)
class FoundSet:
    """A dataset in a folder.

    Attributes:
        root: what ``data.root`` has to be.
        records: its images.
        problems: what is wrong with it.
    """

    root: Path
    records: list[Record]
    problems: list[str]

    @property
    def summary(self) -> str:
        """How many images of which class there are."""
        counts = Counter(record.label for record in self.records)
        return f"{len(self.records)} images ({', '.join(f'{count} {label}' for label, count in counts.items())})"


def find_set(entry: DatasetEntry, folder: Path) -> FoundSet:
    """Find a dataset in a folder or up to two folders further down, as archives have it.

    Raises:
        DataError: where nothing is in the set's layout.
    """
    reason = None
    for root in _folders(folder):
        try:
            records, problems = entry.scan(root, entry.classes)
        except DataError as error:
            reason = reason or error
        else:
            return FoundSet(root, records, problems)
    raise DataError(f"{folder} was fetched, but cannot be read as {entry.title}: {reason}") from reason


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for depth in ("*/", "*/*/"):
        yield from sorted(folder.glob(depth))
