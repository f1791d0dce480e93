"""How one frame of a file that holds several is named: "cine.dcm#12" is its frame 12, counted from 0."""

import re
from pathlib import Path

from acsnet.errors import DataError

# Only of formats that hold several images: "#" may stand in any other name.
_FRAME = re.compile(r"(.+\.(?:dcm|dicom|tiff?))#(\d+)", re.IGNORECASE)


def split_frame(path: Path) -> tuple[Path, int | None]:
    """Give the file that a path names, and the frame in it, or None where none is named."""
    match = _FRAME.fullmatch(path.name)
    return (path.with_name(match[1]), int(match[2])) if match else (path, None)


def file_of(path: Path) -> Path:
    """Give the file that a path names, without the frame."""
    return split_frame(path)[0]


def choose_frame(path: Path, count: int) -> int:
    """Give the frame of a file of ``count`` frames that a path asks for.

    Raises:
        DataError: for a frame that is not there, and where none is named and there are several.
    """
    file, frame = split_frame(path)
    if frame is None and count > 1:
        raise DataError(f"{file} holds {count} frames: name one of them, from {file.name}#0 to {file.name}#{count - 1}")
    if frame is not None and frame >= count:
        raise DataError(f"{path}: there is no frame {frame}, the file holds {count}, counted from 0")
    return frame or 0
