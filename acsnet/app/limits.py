"""Limits of what the page takes at once, checked before any network runs."""

from collections.abc import Sequence
from pathlib import Path

from acsnet.errors import InputError

MAX_FILES = 100
MAX_FILE_BYTES = 200 * 1024**2
# Larger files are not even uploaded: the browser refuses them, together with all others that are dropped with them.
MAX_UPLOAD_BYTES = 10 * MAX_FILE_BYTES
_MEGABYTE = 1024**2


def check_files(paths: Sequence[Path]) -> None:
    """Check the number of files.

    Raises:
        InputError: if there are none or too many.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.app.limits import check_files
        >>> check_files([Path("a.png")])
    """
    if not paths:
        raise InputError("there is no image: drop one or several on the page, paste one, or choose an example")
    if len(paths) > MAX_FILES:
        raise InputError(
            f"there are {len(paths)} files, and the page takes {MAX_FILES} at once: remove some, or predict the whole "
            "folder by acsnet predict"
        )


def check_size(path: Path) -> None:
    """Check the size of one file.

    Raises:
        InputError: if it is too large.
    """
    size = path.stat().st_size if path.is_file() else 0
    if size > MAX_FILE_BYTES:
        raise InputError(
            f"{path.name} has {size / _MEGABYTE:.0f} MB, and the page takes files of up to "
            f"{MAX_FILE_BYTES // _MEGABYTE} MB: predict it by acsnet predict"
        )
