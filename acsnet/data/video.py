"""Frames of videos, MP4 and AVI, which OpenCV decodes.

Frames that are read in order are decoded once and one at a time, so that a video needs the memory of one frame.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.file_kinds import (
    MAX_FRAME_RATE,
    MAX_PIXELS_OF_ALL_FRAMES,
    check_file,
    check_pixels,
    is_video_file,
)
from acsnet.data.frame_paths import choose_frame, file_of
from acsnet.errors import DataError

# The header of a video may declare a few frames more than it has.
_TOLERATED_SHARE = 0.02
_TOLERATED_FRAMES = 2
_AGAIN = "copy it again from its source, or convert it to another MP4 or AVI file"


# The level of OpenCV's log at which it prints nothing.
_SILENT = 0
# OpenCV reads it when the first video of a process is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class VideoFacts(NamedTuple):
    """Facts of a video.

    Attributes:
        frames: Number of frames that can be decoded.
        rate: Frames per second.
    """

    frames: int
    rate: float


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by its first bytes, or by its suffix if these are of no known format."""
    return is_video_file(file_of(path))


def read_video_facts(path: Path) -> VideoFacts:
    """Decode a video once, and return the number of its frames and their rate.

    Raises:
        DataError: If the file is missing, no video, damaged or cut short, has no frames or no frame rate, or has more
            pixels than are read.
    """
    file = file_of(path)
    check_file(file, "a video")
    state = os.stat(file)
    return _read_facts(file, state.st_size, state.st_mtime_ns)


def read_video_frame(path: Path) -> npt.NDArray[np.uint8]:
    """Read one frame of a video as RGB.

    Args:
        path: Video; a path that ends in "#3" is frame 3, counted from 0.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: As :func:`read_video_facts`, or if the video has several frames and the path names none, or has no
            such frame.
    """
    file, count = file_of(path), read_video_facts(path).frames
    frame = choose_frame(path, count)
    image = _reader_before(file, frame).read(frame)
    if frame == count - 1:
        # Nothing is left to be read in order, and the file is closed.
        _readers.reader = None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@contextmanager
def quiet_decoder() -> Iterator[None]:
    """Keep OpenCV from printing what is not for users: a damaged video is an error of one line.

    The level of its log is one for all threads: the first one silences it, and the last one restores it.
    """
    with _log.lock:
        if _log.users == 0:
            _log.level = _log.functions.getLogLevel()
            _log.functions.setLogLevel(_SILENT)
        _log.users += 1
    try:
        yield
    finally:
        with _log.lock:
            _log.users -= 1
            if _log.users == 0:
                _log.functions.setLogLevel(_log.level)


class _Log:
    """The log of OpenCV, and how many threads keep it silent."""

    # OpenCV 5 has the functions of OpenCV 4 in another place.
    functions: Any = getattr(cv2.utils, "logging", cv2)

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.level = 0


_log = _Log()


def _open(file: Path) -> Any:
    try:
        with quiet_decoder():
            # A relative path may look like an address.
            capture = cv2.VideoCapture(os.path.abspath(file), cv2.CAP_FFMPEG)
    except UnicodeEncodeError:
        raise DataError(f"{file} cannot be read as a video (its name is not UTF-8): rename it") from None
    if not capture.isOpened():
        raise DataError(f"{file} cannot be read as a video (it is damaged, or its codec is not known): {_AGAIN}")
    return capture


@lru_cache(maxsize=1024)
def _read_facts(file: Path, size: int, changed: int) -> VideoFacts:
    """Count the frames; the size and the time of the file tell whether it is still the same."""
    capture = _open(file)
    try:
        rate, declared = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        check_pixels(file, width, height, max(1, int(declared)))
        limit = MAX_PIXELS_OF_ALL_FRAMES // max(1, width * height)
        with quiet_decoder():
            frames = next((number for number in range(limit + 1) if not capture.grab()), limit + 1)
    finally:
        capture.release()
    check_pixels(file, width, height, frames)
    if frames == 0:
        raise DataError(f"{file} is a video without frames: {_AGAIN}")
    if not 0 < rate <= MAX_FRAME_RATE:
        raise DataError(
            f"{file} is a video with a frame rate of {rate:g} per second: convert it to one of at most {MAX_FRAME_RATE}"
        )
    missing = declared - frames
    if missing > max(_TOLERATED_FRAMES, _TOLERATED_SHARE * declared):
        raise DataError(
            f"{file} is cut short or damaged (only {frames} of its {declared:.0f} frames are read): {_AGAIN}"
        )
    return VideoFacts(frames, rate)


class _Reader:
    """An open video, and the number of the frame that is decoded next."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = os.stat(file).st_mtime_ns
        self._next_frame = 0
        self._capture = _open(file)

    def can_read(self, file: Path, frame: int) -> bool:
        """Return whether this is an unchanged file, and a frame that has not passed."""
        return file == self._file and os.stat(file).st_mtime_ns == self._changed and frame >= self._next_frame

    def read(self, frame: int) -> npt.NDArray[np.uint8]:
        """Decode up to a frame, which is not before the next one, and return it as BGR."""
        with quiet_decoder():
            # Jumping to a frame is not exact in all formats.
            is_there = all(self._capture.grab() for _ in range(frame - self._next_frame))
            is_there, image = self._capture.read() if is_there else (False, None)
        self._next_frame = frame + 1
        if not is_there:
            raise DataError(f"{self._file}#{frame} cannot be decoded: {_AGAIN}")
        return np.asarray(image, np.uint8)


class _Readers(threading.local):
    """The last video that each thread has opened."""

    reader: _Reader | None = None


_readers = _Readers()


def _reader_before(file: Path, frame: int) -> _Reader:
    """Return a reader of a video that has not passed a frame: the last one of this thread, or a new one."""
    reader = _readers.reader
    if reader is None or not reader.can_read(file, frame):
        reader = _readers.reader = _Reader(file)
    return reader
