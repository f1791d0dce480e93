"""Safe unpacking of downloaded archives: nothing outside the folder, no links, no more data than allowed.

Every name in the archive is checked before the first byte is written. Sizes are counted again while writing, since an
archive can declare wrong ones. File modes and owners are ignored.
"""

import lzma
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from acsnet._utils.files import DiskFullError
from acsnet.errors import DownloadError

MAX_BYTES = 8 * 10**9
MAX_FILES = 100_000
_CHUNK_BYTES = 1 << 18
_MAX_NAME_BYTES = 255
_MAX_SHOWN_PROBLEMS = 10
_FLAG_ENCRYPTED = 0x1
# The standard library raises these for archives that are damaged, encrypted or compressed in an unknown way.
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
# Files that file managers leave in archives.
_FILE_MANAGER_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def unpack(archive: Path, folder: Path, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """Unpack a zip archive into an existing folder that no other process uses.

    Args:
        archive: Zip file.
        folder: Target folder. It is unchanged if the archive is refused, but incomplete if the archive turns out to be
            damaged while it is unpacked: unpack into a temporary folder, and rename that.
        max_bytes: Largest total size of the files.
        max_files: Largest number of files.

    Raises:
        DownloadError: If the archive is damaged, encrypted or too large, or contains names that lead out of the folder,
            links, devices, or two files with one name; all of them are listed.
        DiskFullError: If the disk has less space than the files need.
    """
    try:
        with _open(archive) as opened:
            members = [info for info in opened.infolist() if not _is_from_file_manager(info)]
            _check(archive, members, max_bytes, max_files)
            _check_space(archive, folder, sum(info.file_size for info in members))
            remaining = max_bytes
            for info in members:
                remaining -= _write(opened, info, folder, remaining)
    except _ARCHIVE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"{archive} cannot be unpacked ({reason}): download it again") from error


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except OSError as error:
        raise zipfile.BadZipFile(error.strerror) from error


def _chunks(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with opened.open(info) as source:
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        # The archive names a position outside the file.
        raise zipfile.BadZipFile(error.strerror) from error


def _is_from_file_manager(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.parts[:1] == ("__MACOSX",) or path.name in _FILE_MANAGER_FILES


def _check(archive: Path, members: Sequence[zipfile.ZipInfo], max_bytes: int, max_files: int) -> None:
    size = sum(info.file_size for info in members)
    if len(members) > max_files:
        raise DownloadError(f"{archive} is refused: it has {len(members)} files; the limit is {max_files}")
    if size > max_bytes:
        raise DownloadError(f"{archive} is refused: it would unpack to {size} bytes; the limit is {max_bytes}")
    problems = [f"{info.orig_filename!r} {reason}" for info in members if (reason := _fault(info))]
    problems += _collisions(members)
    if problems:
        more = [f"and {len(problems) - _MAX_SHOWN_PROBLEMS} more"] if len(problems) > _MAX_SHOWN_PROBLEMS else []
        raise DownloadError(f"{archive} is refused: {'; '.join([*problems[:_MAX_SHOWN_PROBLEMS], *more])}")


def _fault(info: zipfile.ZipInfo) -> str:
    # zipfile sanitizes names: the original one is checked.
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        return "leads out of the folder"
    if (
        not name.isprintable()
        or "" in parts
        or "." in parts
        or any(len(part.encode()) > _MAX_NAME_BYTES for part in parts)
    ):
        return "is not a valid file name"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & _FLAG_ENCRYPTED else ""


def _collisions(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """List the files that would overwrite each other, also on file systems that ignore case."""
    files: set[str] = set()
    folders: set[str] = set()
    problems: list[str] = []
    for info in members:
        # Some file systems also take letters with composed and decomposed accents for the same.
        path = PurePosixPath(unicodedata.normalize("NFC", info.filename).casefold())
        # Not info.is_dir(), which fails for an empty name.
        if info.filename.endswith("/"):
            folders.add(str(path))
        elif str(path) in files:
            problems.append(f"{info.orig_filename!r} occurs twice")
        else:
            files.add(str(path))
        folders.update(str(parent) for parent in path.parents)
    return problems + [f"{name!r} is both a file and a folder" for name in sorted(files & folders)]


def _check_space(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DiskFullError(f"{archive} needs {size} bytes in {folder.parent}, which has {free} free: free some space")


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, limit: int) -> int:
    """Write one member of at most ``limit`` bytes and return its size."""
    path = folder / info.filename
    if info.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as target:
        for chunk in _chunks(opened, info):
            size += len(chunk)
            if size > limit:
                raise zipfile.BadZipFile("it contains more data than it declares")
            target.write(chunk)
    return size
