"""Atomic writing of files."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acsnet._utils.csv_text import csv_text
from acsnet.errors import AcsnetError, InputError

if TYPE_CHECKING:
    from acsnet._utils.typing import Uint8Image


class WriteError(AcsnetError):
    """A file could not be written."""


class DiskFullError(WriteError):
    """A file could not be written because the disk, or the quota on it, is full."""


_DEVICE_REMEDY = "check the disk and the connection to it, or choose another folder"
# Remedies for errors of the operating system; others have the last one.
_REMEDIES = {
    errno.EACCES: "choose another folder, or change its permissions",
    errno.EPERM: "choose another folder, or change its permissions",
    errno.EROFS: "choose a folder on a file system that is not read-only",
    errno.ENOENT: "choose another folder, since one on the way to it does not exist, such as a current folder that was "
    "removed",
    errno.ENOTDIR: "choose another folder, since a file is in the place of one",
    errno.EEXIST: "choose another folder, since a file is in the place of one",
    errno.EISDIR: "choose another name, since a folder has it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or choose another file system",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or lower data.workers",
    errno.ENFILE: "close other programs, since the system has too many open files",
    errno.ELOOP: "choose another folder, since links lead in a circle",
    **dict.fromkeys((errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE), _DEVICE_REMEDY),
}
# Of most file systems.
_MAX_NAME_BYTES = 255
_OTHER_REMEDY = "choose another folder"


def cache_folder() -> Path:
    """Return the folder for files that can be recreated: the environment variable ACSNET_CACHE, or ~/.cache/acsnet.

    Raises:
        WriteError: if neither the variable is set nor the home folder known.
    """
    try:
        return Path(os.environ.get("ACSNET_CACHE") or Path.home() / ".cache" / "acsnet")
    except RuntimeError:
        # As in containers, for a user without a name and HOME.
        raise WriteError(
            "the cache has no place, since the home folder is unknown: set the environment variable ACSNET_CACHE to a "
            "folder"
        ) from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; after the block it is synced and renamed to ``path``.

    Readers see either the old file or the complete new one, even if the process is killed. If the block fails, the
    temporary file is removed and the old file is unchanged.

    Raises:
        DiskFullError: if the disk is full.
        WriteError: if the operating system refuses to write for another reason.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with whole_file(path) as temporary:
        ...     _ = temporary.write_text("complete")
        >>> path.read_text()
        'complete'
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise explain_write_error(error, path) from error
    finally:
        # Where the folder is a file, or cannot be searched, there is no temporary file.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Return a path next to another for this process, with a hash if its name leaves no room for more."""
    # The suffix is preserved because some writers (cv2.imwrite) derive the format from it.
    ending = f".{os.getpid()}.tmp{path.suffix}"
    is_long = len(os.fsencode(f".{path.stem}{ending}")) > _MAX_NAME_BYTES
    stem = hashlib.sha256(os.fsencode(path.stem)).hexdigest() if is_long else path.stem
    return path.with_name(f".{stem}{ending}")


def explain_write_error(error: OSError, path: Path) -> WriteError:
    """Return an error in one line, with the path and a remedy, for an error while writing to a path."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"{path} could not be written: the disk is full; free some space and run the command again"
        )
    # Too many open files also keep files from being read.
    action = "opened" if error.errno in (errno.EMFILE, errno.ENFILE) else "written"
    return WriteError(f"{path} could not be {action} {_reason_and_remedy(error)}")


def _reason_and_remedy(error: OSError) -> str:
    reason = " ".join(str(error.strerror or error).split())
    return f"({reason}): {_REMEDIES.get(error.errno or 0, _OTHER_REMEDY)}"


def explain_system_error(error: OSError, path: Path) -> AcsnetError:
    """Return an error in one line, with the path and a remedy, for a path that could be neither read nor written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return explain_write_error(error, path)
    return AcsnetError(f"{path} cannot be used {_reason_and_remedy(error)}")


@contextmanager
def explained_writes(path: Path) -> Iterator[None]:
    """Raise an error of the operating system in the block as one line, see :func:`explain_write_error`."""
    try:
        yield
    except OSError as error:
        # Errors without a number are defects of a library.
        if error.errno is None:
            raise
        raise explain_write_error(error, path) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; bytes of file names that are not UTF-8 are written as they are."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write a JSON file atomically; NaN and infinity raise an error, because JSON has neither.

    Args:
        path: the file.
        value: what json takes.
        indent: spaces per level; None for one line, as for long lists of numbers.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def write_png(path: Path, picture: "Uint8Image") -> None:
    """Write a gray image (H, W) or an RGB image (H, W, 3) of uint8 as PNG, atomically."""
    # Imported here because the command-line tools import this module before they can answer Ctrl-C.
    import cv2

    encoded = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write a CSV file with a header, atomically.

    Text that a spreadsheet would run as a formula gets an apostrophe before it, which
    :func:`acsnet._utils.csv_io.read_csv` removes; see :mod:`acsnet._utils.csv_text`.

    Args:
        path: the file.
        rows: one mapping per row.
        columns: the order of the columns, by default that of the first row.
    """
    write_text(path, csv_text(list(columns or rows[0]), rows))


def replace_section(path: Path, name: str, make_text: Callable[[], str]) -> str:
    """Return the content of a Markdown file with a new text between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Args:
        path: the file.
        name: the name of the section.
        make_text: returns the new text; called only if the file has the section.

    Raises:
        InputError: if the file is missing or has no such section.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, has_begin, rest = path.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise InputError(f"{path} has no {name} section: add the lines {begin} and {end}")
    return f"{before}{begin}\n{make_text()}\n{end}{after}"
