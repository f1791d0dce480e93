"""Paths of single frames: "cine.dcm#12" is frame 12 of cine.dcm, counted from 0."""

import os
import re
from pathlib import Path

from acsnet._utils.file_kinds import DICOM, file_format, video_format
from acsnet.errors import DataError

_FRAME = re.compile(r"(.+)#(\d+)")
# Formats that can hold several images; in names with another suffix, "#" is a character like any other.
_FRAME_BY_SUFFIX = re.compile(r"(.+\.(?:dcm|dicom|tiff?|mp4|m4v|mov|avi))#(\d+)", re.IGNORECASE)


def split_frame(path: Path) -> tuple[Path, int | None]:
    """Return the file of a path and the frame in it, or None if the path does not name a frame.

    Files may have any name: "IM0001#12" is a frame if IM0001 is a DICOM file or a video. A file that is itself named
    "cine.dcm#12" is that file, unless cine.dcm exists, too.

    Raises:
        DataError: If the path is a file and also a frame of another file.

    Example:
        >>> file, frame = split_frame(Path("cine.dcm#12"))
        >>> file.name, frame
        ('cine.dcm', 12)
    """
    match = _FRAME.fullmatch(path.name)
    if match is None:
        return path, None
    file = path.with_name(match[1])
    has_frames = _FRAME_BY_SUFFIX.fullmatch(path.name) is not None or file_format(file) == DICOM
    if not has_frames and video_format(file) is None:
        return path, None
    if not os.path.lexists(path):
        return file, int(match[2])
    if os.path.lexists(file):
        raise DataError(f"{path} may mean this file or frame {match[2]} of {file.name}: rename one of the two files")
    return path, None


def split_frame_name(path: Path) -> tuple[Path, int | None]:
    """Return the same as :func:`split_frame` by the suffix alone: for names whose files may be elsewhere."""
    match = _FRAME_BY_SUFFIX.fullmatch(path.name)
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
