"""Videos of overlays: one for each video and each DICOM file of several frames that is predicted as a whole."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.files import WriteError, whole_file
from acsnet._utils.printable import has_other_bytes
from acsnet.data.frame_facts import has_frames, read_frame_facts
from acsnet.data.frame_paths import split_frame
from acsnet.data.video import quiet_decoder
from acsnet.errors import DataError

logger = logging.getLogger(__name__)

PLACE = "videos"
# Of a DICOM file that declares no frame rate.
_DEFAULT_RATE = 10.0
_CODEC = "mp4v"


class OverlayVideos:
    """``videos/``: an MP4 file with the overlays of all frames of a file, at its frame rate.

    Frames are written one by one, in the order in which they are predicted. A video that is unfinished when the block
    ends is removed.

    Args:
        folder: the output folder.
        images: all images and the names of their results, in the order in which they are predicted.

    Raises:
        DataError: if the videos of two files would have the same path.
    """

    def __init__(self, folder: Path, images: Sequence[tuple[Path, Path]]) -> None:
        self._paths = {file: folder / PLACE / f"{name}.mp4" for file, name in _whole_files(images).items()}
        files: dict[Path, Path] = {}
        for file, path in self._paths.items():
            if files.setdefault(path, file) != file:
                raise DataError(
                    f"the overlays of {files[path]} and {file} would both be written as {path}: predict them separately"
                )
        self._left = Counter(split_frame(image)[0] for image, _ in images)
        self._open: dict[Path, tuple[ExitStack, Any]] = {}

    def __enter__(self) -> "OverlayVideos":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for stack, _ in self._open.values():
            stack.__exit__(kind, error, traceback)

    def add(self, image: Path, overlay: npt.NDArray[np.uint8]) -> None:
        """Add the overlay (H, W, 3) of a frame to the video of its file, if it has one.

        Raises:
            WriteError: if the video cannot be written.
        """
        file, _ = split_frame(image)
        if file not in self._paths:
            return
        # Encoders need an even number of rows and columns.
        even = np.pad(overlay, (*((0, size % 2) for size in overlay.shape[:2]), (0, 0)))
        if file not in self._open:
            stack = ExitStack()
            size = (even.shape[1], even.shape[0])
            writer = stack.enter_context(_video(self._paths[file], _rate(file), size, self._left[file]))
            self._open[file] = stack, writer
        stack, writer = self._open[file]
        with quiet_decoder():
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))
        self._left[file] -= 1
        if not self._left[file]:
            del self._open[file]
            stack.close()


@contextmanager
def _video(path: Path, rate: float, size: tuple[int, int], frames: int) -> Iterator[Any]:
    """Yield a writer of OpenCV; the video has its path only if all frames were written."""
    with whole_file(path) as temporary:
        with quiet_decoder():
            writer = cv2.VideoWriter(
                os.fspath(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*_CODEC), rate, size, True
            )
        try:
            if not writer.isOpened():
                raise WriteError(
                    f"{path} could not be written (OpenCV cannot encode {size[0]}x{size[1]} pixels at {rate:g} frames "
                    "per second): predict single frames"
                )
            yield writer
        finally:
            with quiet_decoder():
                writer.release()
        with quiet_decoder():
            # The writer does not report a full disk.
            written = cv2.VideoCapture(os.fspath(temporary), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT)
        if written != frames:
            raise WriteError(f"{path} could not be written completely: is the disk full? Free some space and run again")


def _whole_files(images: Sequence[tuple[Path, Path]]) -> dict[Path, Path]:
    """Return the files of which all frames are predicted, and the name of their results."""
    names: dict[Path, Path] = {}
    counts: Counter[Path] = Counter()
    for image, name in images:
        file, frame = split_frame(image)
        if frame is not None and has_frames(file):
            counts[file] += 1
            names.setdefault(file, name.with_name(name.name.removesuffix(f"_{frame}")))
    whole = [file for file, count in counts.items() if count > 1 and count == read_frame_facts(file).frames]
    for file in [file for file in whole if has_other_bytes(os.fspath(names[file]))]:
        logger.warning("no video of the overlays of %s is written, since its name is not UTF-8", file)
        whole.remove(file)
    return {file: names[file] for file in whole}


def _rate(file: Path) -> float:
    rate = read_frame_facts(file).rate
    if rate is None:
        logger.warning("%s declares no frame rate: the video of its overlays has %g per second", file, _DEFAULT_RATE)
    return rate or _DEFAULT_RATE
