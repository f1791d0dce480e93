"""Paths of single frames: "cine.dcm#12" is frame 12 of cine.dcm, counted from 0."""

import re
from pathlib import Path

from acsnet.errors import DataError

# Only formats that can hold several images: in the name of any other file, "#" is a character like any other.
_FRAME = re.compile(r"(.+\.(?:dcm|dicom|tiff?))#(\d+)", re.IGNORECASE)


def split_frame(path: Path) -> tuple[Path, int | None]:
    """Return the file of a path and the frame in it, or None if the path does not name a frame.

    Example:
        >>> file, frame = split_frame(Path("cine.dcm#12"))
        >>> file.name, frame
        ('cine.dcm', 12)
    """
    match = _FRAME.fullmatch(path.name)
    return (path.with_name(match[1]), int(match[2])) if match else (path, None)


def file_of(path: Path) -> Path:
    """Return the file of a path, without the frame."""
    return split_frame(path)[0]


def choose_frame(path: Path, count: int) -> int:
    """Return the frame that a path selects in a file of ``count`` frames.

    Raises:
        DataError: If the frame does not exist, or the path names no frame and the file holds several.
    """
    file, frame = split_frame(path)
    if frame is None and count > 1:
        raise DataError(f"{file} holds {count} frames: name one of them, from {file.name}#0 to {file.name}#{count - 1}")
    if frame is not None and frame >= count:
        raise DataError(f"{path}: there is no frame {frame}, the file holds {count}, counted from 0")
    return frame or 0
