from pathlib import Path

import pytest

from acsnet.data.frame_paths import choose_frame, file_of, split_frame
from acsnet.errors import DataError


@pytest.mark.parametrize(
    ("name", "file", "frame"),
    [
        ("cine.dcm#12", "cine.dcm", 12),
        ("CINE.DCM#0", "CINE.DCM", 0),
        ("a.dicom#3", "a.dicom", 3),
        ("a.tif#1", "a.tif", 1),
        ("a#2.tiff#1", "a#2.tiff", 1),
        ("cine.dcm", "cine.dcm", None),
        ("cine.dcm#", "cine.dcm#", None),
        ("cine.dcm#x", "cine.dcm#x", None),
        ("image#3.png", "image#3.png", None),
        ("image.png#3", "image.png#3", None),
    ],
)
def test_names_of_frames(name: str, file: str, frame: int | None) -> None:
    assert split_frame(Path("in #1.dcm") / name) == (Path("in #1.dcm") / file, frame)
    assert file_of(Path(name)) == Path(file)


def test_the_chosen_frame() -> None:
    assert choose_frame(Path("a.dcm"), 1) == 0
    assert choose_frame(Path("a.dcm#0"), 1) == 0
    assert choose_frame(Path("a.dcm#4"), 5) == 4


def test_several_frames_and_none_named() -> None:
    message = r"x/cine\.dcm holds 40 frames: name one of them, from cine\.dcm#0 to cine\.dcm#39"
    with pytest.raises(DataError, match=message):
        choose_frame(Path("x/cine.dcm"), 40)


def test_a_frame_that_does_not_exist() -> None:
    with pytest.raises(DataError, match=r"cine\.dcm#5: there is no frame 5, the file holds 5, counted from 0"):
        choose_frame(Path("cine.dcm#5"), 5)
