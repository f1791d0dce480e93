"""Number and rate of the frames of a DICOM file or a video."""

from pathlib import Path
from typing import NamedTuple

from acsnet.data.dicom import is_dicom, read_dicom_facts
from acsnet.data.video import is_video, read_video_facts


class FrameFacts(NamedTuple):
    """Facts of a file of frames.

    Attributes:
        frames: number of its frames.
        rate: frames per second, or None if a DICOM file does not declare it.
    """

    frames: int
    rate: float | None


def has_frames(path: Path) -> bool:
    """Return whether a file is of a format whose frames are predicted one by one: DICOM or a video."""
    return is_dicom(path) or is_video(path)


def read_frame_facts(path: Path) -> FrameFacts:
    """Return number and rate of the frames of a DICOM file or a video.

    Raises:
        DataError: if it cannot be read.
    """
    if is_dicom(path):
        facts = read_dicom_facts(path)
        return FrameFacts(facts.frames, facts.rate)
    return FrameFacts(*read_video_facts(path))
