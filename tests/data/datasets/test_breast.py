import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet.data import Record, read_dataset, verify_records
from acsnet.data.images import read_merged_mask
from acsnet.errors import DataError

WriteImage = Callable[..., Path]
WriteBook = Callable[[Path, Sequence[Sequence[object]]], None]
WORKBOOK = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
FOLDER = "BrEaST-Lesions_USG-images_and_masks"
HEADER = ["CaseID", "Image_filename", "Mask_tumor_filename", "Mask_other_filename", "Pixel_size", "Age"]
ROWS = [
    [1, "case001.png", "case001_tumor.png", "case001_other1.png", 0.0071, 57, "benign"],
    [2, "case002.png", "case002_tumor1.png&case002_tumor2.png", None, 0.0082, 40, "malignant"],
    [3, "case003.png", None, None, None, 33, "normal"],
]


def write_rows(write_book: WriteBook, root: Path, rows: Sequence[Sequence[object]]) -> None:
    write_book(root / WORKBOOK, [[*HEADER, "Classification"], *rows])


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage, write_book: WriteBook) -> Path:
    root = tmp_path / "breast"
    for name in ("case001", "case002", "case003"):
        write_image(root / FOLDER / f"{name}.png")
    for name in ("case001_tumor", "case001_other1", "case002_tumor1", "case002_tumor2"):
        write_image(root / FOLDER / f"{name}.png", color=(255, 255, 255))
    write_rows(write_book, root, ROWS)
    return root


def test_records(root: Path) -> None:
    first, second, third = read_dataset("breast", root)
    assert first == Record(
        root / FOLDER / "case001.png",
        (root / FOLDER / "case001_tumor.png",),
        "benign",
        name=f"{FOLDER}/case001.png",
        dataset="breast",
        patient="1",
        spacing=(pytest.approx(0.071), pytest.approx(0.071)),  # type: ignore[arg-type]
    )
    assert [mask.name for mask in second.masks] == ["case002_tumor1.png", "case002_tumor2.png"]
    assert (third.label, third.masks, third.patient, third.spacing) == ("normal", (), "3", None)
    assert len(verify_records([first, second, third], progress=False)) == 3


def test_images_next_to_the_workbook(root: Path) -> None:
    for path in (root / FOLDER).iterdir():
        path.rename(root / path.name)
    assert [record.name for record in read_dataset("breast", root)] == ["case001.png", "case002.png", "case003.png"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.07, 0.08], [0.07, 0.08]),
        ([0.007, 0.008], [0.07, 0.08]),
        (["0,007", "0.008"], [0.07, 0.08]),
        ([0.007, "unknown"], [0.07, None]),
        ([0.007, -1], [0.07, None]),
        # One odd value does not change the unit.
        ([0.007, 0.007, 0.03], [0.07, 0.07, 0.3]),
    ],
)
def test_spacings_are_millimeters_per_pixel(
    root: Path, write_book: WriteBook, values: list[object], expected: list[float | None]
) -> None:
    rows = [[*row[:4], value, *row[5:]] for row, value in zip(ROWS, values, strict=False)]
    rows += [[*row[:4], None, *row[5:]] for row in ROWS[len(values) :]]
    write_rows(write_book, root, rows)
    spacings = [record.spacing for record in read_dataset("breast", root)][: len(values)]
    assert spacings == [None if value is None else (pytest.approx(value), pytest.approx(value)) for value in expected]


def test_an_unknown_unit(root: Path, write_book: WriteBook, caplog: pytest.LogCaptureFixture) -> None:
    write_rows(write_book, root, [[*row[:4], 70, *row[5:]] for row in ROWS])
    with caplog.at_level(logging.WARNING, "acsnet"):
        assert {record.spacing for record in read_dataset("breast", root)} == {None}
    assert caplog.messages == ["spacings of BrEaST are ignored: 70 is neither in millimeters nor in centimeters"]


def test_masks_with_transparency(root: Path) -> None:
    """Published masks are RGBA; transparent pixels are black."""
    mask = np.zeros((20, 24, 4), np.uint8)
    mask[3:9, 5:11] = 255
    Image.fromarray(mask).save(root / FOLDER / "case001_tumor.png")
    first = read_dataset("breast", root)[0]
    np.testing.assert_array_equal(read_merged_mask(first.masks, (20, 24)), mask[..., 3] > 0)


def test_all_problems_are_listed_at_once(root: Path, write_image: WriteImage, write_book: WriteBook) -> None:
    os.unlink(root / FOLDER / "case002_tumor2.png")
    write_image(root / FOLDER / "case010.png")
    write_rows(write_book, root, [[*ROWS[0][:2], None, *ROWS[0][3:]], ROWS[1], [*ROWS[2][:6], "cyst"]])
    with pytest.raises(DataError, match="breast cannot be used, 4 problems:") as error:
        read_dataset("breast", root)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        f"{WORKBOOK} line 2: Mask_tumor_filename is empty, but only normal cases have no mask",
        f"{WORKBOOK} line 3: there is no mask {root}/case002_tumor2.png",
        f"{WORKBOOK} line 4: Classification is 'cyst': expected benign or malignant or normal",
        f"{root}/{FOLDER}/case010.png has no line in {WORKBOOK}",
    ]


def test_a_name_that_is_there_twice_is_a_problem(root: Path, write_image: WriteImage) -> None:
    write_image(root / "copy" / "case002.png", size=(30, 30))
    write_image(root / "__MACOSX" / "case001.png")
    with pytest.raises(DataError, match=r"breast cannot be used: .*case002\.png has the name of .*case002\.png"):
        read_dataset("breast", root)
