"""Reading of text files that may be damaged or crafted: only files, and only to a limited size."""

import errno
import os
from pathlib import Path

from acsnet._utils.file_kinds import file_fault

#: Files of the package have a few megabytes at most.
MAX_TEXT_BYTES = 256 << 20


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Read a file whole; a named pipe, a socket or a device is an error instead of waiting or endless.

    Args:
        path: the file.
        limit: the largest size in bytes; any by default.

    Raises:
        OSError: if it is missing, not a file, larger than the limit, or cannot be read; ``strerror`` says why.

    Example:
        >>> from acsnet._utils.reading import read_bytes
        >>> _ = Path("a.txt").write_bytes(b"content")
        >>> read_bytes(Path("a.txt"), limit=100)
        b'content'
    """
    fault = file_fault(path)
    # The system itself says why it does not open the others.
    if fault is not None and os.path.exists(path) and not path.is_dir():
        raise OSError(errno.EINVAL, fault, str(path))
    with path.open("rb") as file:
        if limit is not None and os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
        return file.read()


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, as :func:`read_bytes` reads it, of at most 256 MiB.

    Raises:
        OSError: as :func:`read_bytes`.
        UnicodeDecodeError: if it is not UTF-8.
    """
    return read_bytes(path, MAX_TEXT_BYTES).decode("utf-8")
