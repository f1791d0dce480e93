"""Unpacking an archive from elsewhere: nothing outside the folder, no links, no more than was agreed.

Every name in the archive is looked at before the first byte is written; sizes are counted again while writing, since an
archive can lie about them. File modes and owners are not taken over.
"""

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from acsnet._utils.files import DiskFullError
from acsnet.data.image_files import problem_list
from acsnet.errors import DownloadError

MAX_BYTES = 8 * 10**9
MAX_FILES = 100_000
_CHUNK = 1 << 18
_SHOWN = 10
_ENCRYPTED = 0x1
# What the standard library raises for archives that are broken, encrypted or compressed in an unknown way.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
# What file managers leave in archives.
_CLUTTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def unpack(archive: Path, folder: Path, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """Unpack a zip archive into a folder that exists and is nobody else's.

    Args:
        archive: the file.
        folder: where its content goes; it is left as it is where the archive is refused, and half filled where it turns
            out broken on the way: unpack into a temporary folder, and rename that.
        max_bytes: the size of all files together above which it is refused.
        max_files: the same for their number.

    Raises:
        DownloadError: for an archive that is broken or encrypted, has too much in it, or has names that lead out of the
            folder, links or other things that are no files, or two files of one name; all of them listed.
        DiskFullError: where the disk has no room for what it says to hold.
    """
    try:
        with _open(archive) as opened:
            members = [info for info in opened.infolist() if not _is_clutter(info)]
            _check(archive, members, max_bytes, max_files)
            _check_space(archive, folder, sum(info.file_size for info in members))
            left = max_bytes
            for info in members:
                left -= _write(opened, info, folder, left)
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"{archive} cannot be unpacked ({reason}): fetch it again") from error


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except OSError as error:
        raise zipfile.BadZipFile(error.strerror) from error


def _chunks(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with opened.open(info) as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as error:
        # A place in the file that cannot be.
        raise zipfile.BadZipFile(error.strerror) from error


def _is_clutter(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.parts[:1] == ("__MACOSX",) or path.name in _CLUTTER


def _check(archive: Path, members: Sequence[zipfile.ZipInfo], max_bytes: int, max_files: int) -> None:
    size = sum(info.file_size for info in members)
    if len(members) > max_files:
        raise DownloadError(f"{archive} holds {len(members)} files, more than the {max_files} allowed: it is refused")
    if size > max_bytes:
        raise DownloadError(f"{archive} would unpack to {size} bytes, more than the {max_bytes} allowed: it is refused")
    problems = [f"{info.orig_filename!r} {reason}" for info in members if (reason := _what_is_wrong(info))]
    problems += _collisions(members)
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise DownloadError(problem_list(f"{archive} is refused", [*problems[:_SHOWN], *more]))


def _what_is_wrong(info: zipfile.ZipInfo) -> str:
    # zipfile cleans names up; what was there before is what the archive says.
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        return "leads out of the folder"
    if not name.isprintable() or "" in parts or "." in parts or any(len(part.encode()) > 255 for part in parts):
        return "is no name of a file"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & _ENCRYPTED else ""


def _collisions(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Name the files that would be written over each other, on file systems that do not tell case apart either."""
    files: set[str] = set()
    folders: set[str] = set()
    problems: list[str] = []
    for info in members:
        path = PurePosixPath(info.filename.casefold())
        if info.is_dir():
            folders.add(str(path))
        elif str(path) in files:
            problems.append(f"{info.orig_filename!r} is there twice")
        else:
            files.add(str(path))
        folders.update(str(parent) for parent in path.parents)
    return problems + [f"{name!r} is both a file and a folder" for name in sorted(files & folders)]


def _check_space(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DiskFullError(f"{archive} needs {size} bytes in {folder.parent}, which has {free} free: make room")


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Write one member and give its size."""
    path = folder / info.filename
    if info.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as target:
        for chunk in _chunks(opened, info):
            size += len(chunk)
            if size > left:
                raise zipfile.BadZipFile("more comes out of it than it says")
            target.write(chunk)
    return size
