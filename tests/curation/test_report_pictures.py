"""The pictures of the report: what is laid over what, and how far it differs."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet._utils.overlay import BOX_COLOR, SECOND_COLOR, TRUTH_COLOR
from acsnet.curation._report_pictures import (
    BRIGHTEST_DIFFERENCE,
    SIDE,
    Photo,
    Scan,
    draw_difference,
    draw_laid,
    draw_marks,
    lay_over,
    read_scan,
    shrink,
)
from acsnet.data import Record
from acsnet.phantom import make_phantom

IDENTITY = np.array(((1.0, 0, 0), (0, 1, 0)))


def scan(seed: int = 1, size: tuple[int, int] = (200, 220)) -> Scan:
    phantom = make_phantom("benign", seed, size)
    return Scan(np.repeat(phantom.image[:, :, None], 3, axis=2), phantom.lesion_masks.any(axis=0))


def photo(of: Scan) -> Photo:
    taken = shrink(of)
    assert taken is not None
    return taken


def differences(first: Scan, second: Scan, transform: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The mean difference of gray values where both have pixels, and the share of the picture where they do."""
    laid = lay_over(photo(first), second, transform)
    assert laid is not None
    difference = np.abs(photo(first).image.astype(float) - laid.image)[laid.shared]
    return float(difference.mean()), float(laid.shared.mean())


def changed(of: Scan, forth: npt.NDArray[np.float64], size: tuple[int, int]) -> Scan:
    """A scan whose pixel ``forth @ (x, y, 1)`` shows what pixel (x, y) of the given one shows."""
    assert of.image is not None
    image = cv2.warpAffine(of.image, forth, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(of.mask.astype(np.float32), forth, (size[1], size[0])) >= 0.5
    return Scan(image, mask)


def test_a_shifted_crop_lies_on_its_original() -> None:
    first = scan()
    assert first.image is not None
    second = Scan(first.image[30:180, 20:190], first.mask[30:180, 20:190])
    shift = np.array(((1.0, 0, -20), (0, 1, -30)))
    assert differences(first, second, shift) == (0, 150 * 170 / (200 * 220))
    assert differences(first, second, IDENTITY)[0] > 10, "the test can fail"


def test_a_shift_the_other_way_shows_where_only_one_has_pixels() -> None:
    first = scan()
    assert first.image is not None
    second = Scan(first.image[:, :120], first.mask[:, :120])
    laid = lay_over(photo(first), second, IDENTITY)
    assert laid is not None
    assert laid.shared[:, :120].all()
    assert not laid.shared[:, 120:].any()
    assert (draw_difference(photo(first), laid)[:, 120:] == draw_laid(photo(first), laid)[0, -1]).all()


def test_a_mirrored_copy_lies_on_its_original() -> None:
    first = scan()
    assert first.image is not None
    second = Scan(np.ascontiguousarray(first.image[:, ::-1]), first.mask[:, ::-1])
    assert differences(first, second, np.array(((-1.0, 0, 219), (0, 1, 0)))) == (0, 1)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.7, 4.0])
def test_a_rescaled_copy_lies_on_its_original(factor: float) -> None:
    first = scan(size=(300, 360))
    assert first.image is not None
    height, width = round(300 * factor), round(360 * factor)
    image = cv2.resize(first.image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    mask = cv2.resize(first.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
    vertical, horizontal = height / 300, width / 360
    stretch = np.array(((horizontal, 0, horizontal / 2 - 0.5), (0, vertical, vertical / 2 - 0.5)))
    difference, shared = differences(first, Scan(image, mask), stretch)
    assert difference < 4
    assert shared == 1
    shifted = stretch + np.array(((0, 0, 4 * factor), (0, 0, 0)))
    assert differences(first, Scan(image, mask), shifted)[0] > 1.5 * difference, "the test can fail"


def test_a_turned_and_scaled_copy_lies_on_its_original() -> None:
    first = scan(size=(180, 200))
    forth = cv2.getRotationMatrix2D((100, 90), 12, 1.3) + np.array(((0, 0, 40), (0, 0, 50)))
    second = changed(first, forth, (300, 320))
    difference, shared = differences(first, second, forth)
    assert shared > 0.95
    wrong_way = cv2.getRotationMatrix2D((100, 90), -12, 1.3) + np.array(((0, 0, 40), (0, 0, 50)))
    assert difference < 6 < 18 < differences(first, second, wrong_way)[0]


def test_the_mask_of_the_second_is_laid_over_too() -> None:
    first = scan()
    assert first.image is not None
    second = Scan(first.image[30:, 20:], first.mask[30:, 20:])
    laid = lay_over(photo(first), second, np.array(((1.0, 0, -20), (0, 1, -30))))
    assert laid is not None
    expected = first.mask.copy()
    expected[:30] = expected[:, :20] = False
    assert np.array_equal(laid.mask, expected)
    assert first.mask.any()


def test_both_outlines_are_drawn_each_in_its_color() -> None:
    black = np.zeros((60, 60, 3), np.uint8)
    one, other = np.zeros((2, 60, 60), np.bool_)
    one[10:20, 10:20] = other[30:50, 30:50] = True
    laid = lay_over(photo(Scan(black, one)), Scan(black, other), IDENTITY)
    assert laid is not None
    picture = draw_laid(photo(Scan(black, one)), laid)
    assert tuple(picture[10, 15]) == TRUTH_COLOR
    assert tuple(picture[30, 40]) == SECOND_COLOR


def test_the_difference_is_black_where_there_is_none_and_brighter_the_more_there_is() -> None:
    gray = np.full((40, 40, 3), 100, np.uint8)
    other = gray.copy()
    other[:10] += BRIGHTEST_DIFFERENCE // 2
    other[10:20] -= BRIGHTEST_DIFFERENCE
    other[20:30, :, 0] += BRIGHTEST_DIFFERENCE  # only one channel: color on a gray image
    mask = np.zeros((40, 40), np.bool_)
    laid = lay_over(photo(Scan(gray, mask)), Scan(other, mask), IDENTITY)
    assert laid is not None
    brightness = draw_difference(photo(Scan(gray, mask)), laid).astype(int).sum(axis=2)
    assert brightness[35, 5] < 15
    assert brightness[35, 5] < brightness[5, 5] < brightness[15, 5] == brightness[25, 5]


def test_boxes_are_given_in_pixels_of_the_whole_image() -> None:
    size = (2 * SIDE, 4 * SIDE)
    small = photo(Scan(np.zeros((*size, 3), np.uint8), np.zeros(size, np.bool_)))
    assert small.image.shape == (SIDE // 2, SIDE, 3)
    drawn = (draw_marks(small, [(400, 80, 800, 240)]) == BOX_COLOR).all(axis=2)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 60, 99, 200)


@pytest.mark.parametrize("size", [(30, 50), (1, 1000), (SIDE, 10)])
def test_small_pictures_are_at_most_so_long_and_never_enlarged(size: tuple[int, int]) -> None:
    small = photo(Scan(np.zeros((*size, 3), np.uint8), np.zeros(size, np.bool_)))
    assert max(small.image.shape) == min(max(size), SIDE)
    assert small.image.shape[:2] == small.mask.shape
    assert small.size == size


def test_an_image_that_cannot_be_read_gives_no_picture(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for readable in (True, False):
        read = read_scan(Record(broken, (), "benign", "broken.png"), readable)
        assert read.image is None
        assert read.problem == "The image cannot be read."
        assert shrink(read) is None
        assert lay_over(photo(scan()), read, IDENTITY) is None


def test_what_is_known_as_unreadable_is_not_read(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "fine.png")
    assert read_scan(Record(tmp_path / "fine.png", (), "benign", "fine.png"), readable=False).image is None


def test_an_image_whose_mask_cannot_be_read_is_shown_without(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "image.png")
    Image.new("L", (10, 20), 255).save(tmp_path / "mask.png")
    read = read_scan(Record(tmp_path / "image.png", (tmp_path / "mask.png",), "benign", "image.png"), True)
    assert read.image is not None
    assert not read.mask.any()
    assert read.problem == "The mask cannot be read, or is of another size."


def test_a_map_that_is_not_finite_gives_no_picture() -> None:
    assert lay_over(photo(scan()), scan(), np.full((2, 3), np.nan)) is None
