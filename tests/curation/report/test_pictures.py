"""Pictures of the report: previews, overlays and differences."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet._utils.overlay import BOX_COLOR, SECOND_COLOR, TRUTH_COLOR
from acsnet.curation.report.pictures import (
    BRIGHTEST_DIFFERENCE_GRAY_LEVELS,
    PREVIEW_SIDE_PIXELS,
    LoadedScan,
    Preview,
    draw_difference,
    draw_marks,
    draw_overlay,
    make_preview,
    read_scan,
    warp_onto,
)
from acsnet.data import Record
from acsnet.phantom import make_phantom

IDENTITY = np.array(((1.0, 0, 0), (0, 1, 0)))


def scan(seed: int = 1, size: tuple[int, int] = (200, 220)) -> LoadedScan:
    phantom = make_phantom("benign", seed, size)
    return LoadedScan(np.repeat(phantom.image[:, :, None], 3, axis=2), phantom.lesion_masks.any(axis=0))


def preview(of: LoadedScan) -> Preview:
    made = make_preview(of)
    assert made is not None
    return made


def differences(first: LoadedScan, second: LoadedScan, transform: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean difference of gray values in the shared area, and the share of that area in the picture."""
    warped = warp_onto(preview(first), second, transform)
    assert warped is not None
    difference = np.abs(preview(first).image.astype(float) - warped.image)[warped.shared]
    return float(difference.mean()), float(warped.shared.mean())


def transformed(of: LoadedScan, forward: npt.NDArray[np.float64], size: tuple[int, int]) -> LoadedScan:
    """Return a scan whose pixel ``forward @ (x, y, 1)`` corresponds to pixel (x, y) of the given scan."""
    assert of.image is not None
    image = cv2.warpAffine(of.image, forward, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(of.mask.astype(np.float32), forward, (size[1], size[0])) >= 0.5
    return LoadedScan(image, mask)


def test_a_shifted_crop_is_aligned() -> None:
    first = scan()
    assert first.image is not None
    second = LoadedScan(first.image[30:180, 20:190], first.mask[30:180, 20:190])
    shift = np.array(((1.0, 0, -20), (0, 1, -30)))
    assert differences(first, second, shift) == (0, 150 * 170 / (200 * 220))
    assert differences(first, second, IDENTITY)[0] > 10, "the test can fail"


def test_areas_of_only_one_image_have_a_color_of_their_own() -> None:
    first = scan()
    assert first.image is not None
    second = LoadedScan(first.image[:, :120], first.mask[:, :120])
    warped = warp_onto(preview(first), second, IDENTITY)
    assert warped is not None
    assert warped.shared[:, :120].all()
    assert not warped.shared[:, 120:].any()
    assert (draw_difference(preview(first), warped)[:, 120:] == draw_overlay(preview(first), warped)[0, -1]).all()


def test_a_mirrored_copy_is_aligned() -> None:
    first = scan()
    assert first.image is not None
    second = LoadedScan(np.ascontiguousarray(first.image[:, ::-1]), first.mask[:, ::-1])
    assert differences(first, second, np.array(((-1.0, 0, 219), (0, 1, 0)))) == (0, 1)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.7, 4.0])
def test_a_rescaled_copy_is_aligned(factor: float) -> None:
    first = scan(size=(300, 360))
    assert first.image is not None
    height, width = round(300 * factor), round(360 * factor)
    image = cv2.resize(first.image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    mask = cv2.resize(first.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
    vertical, horizontal = height / 300, width / 360
    stretch = np.array(((horizontal, 0, horizontal / 2 - 0.5), (0, vertical, vertical / 2 - 0.5)))
    difference, shared = differences(first, LoadedScan(image, mask), stretch)
    assert difference < 4
    assert shared == 1
    shifted = stretch + np.array(((0, 0, 4 * factor), (0, 0, 0)))
    assert differences(first, LoadedScan(image, mask), shifted)[0] > 1.5 * difference, "the test can fail"


def test_a_rotated_and_scaled_copy_is_aligned() -> None:
    first = scan(size=(180, 200))
    forward = cv2.getRotationMatrix2D((100, 90), 12, 1.3) + np.array(((0, 0, 40), (0, 0, 50)))
    second = transformed(first, forward, (300, 320))
    difference, shared = differences(first, second, forward)
    assert shared > 0.95
    wrong_way = cv2.getRotationMatrix2D((100, 90), -12, 1.3) + np.array(((0, 0, 40), (0, 0, 50)))
    assert difference < 6 < 18 < differences(first, second, wrong_way)[0]


def test_the_mask_of_the_second_image_is_warped_too() -> None:
    first = scan()
    assert first.image is not None
    second = LoadedScan(first.image[30:, 20:], first.mask[30:, 20:])
    warped = warp_onto(preview(first), second, np.array(((1.0, 0, -20), (0, 1, -30))))
    assert warped is not None
    expected = first.mask.copy()
    expected[:30] = expected[:, :20] = False
    assert np.array_equal(warped.mask, expected)
    assert first.mask.any()


def test_the_two_outlines_have_different_colors() -> None:
    black = np.zeros((60, 60, 3), np.uint8)
    one, other = np.zeros((2, 60, 60), np.bool_)
    one[10:20, 10:20] = other[30:50, 30:50] = True
    warped = warp_onto(preview(LoadedScan(black, one)), LoadedScan(black, other), IDENTITY)
    assert warped is not None
    picture = draw_overlay(preview(LoadedScan(black, one)), warped)
    assert tuple(picture[10, 15]) == TRUTH_COLOR
    assert tuple(picture[30, 40]) == SECOND_COLOR


def test_larger_differences_are_brighter() -> None:
    gray = np.full((40, 40, 3), 100, np.uint8)
    other = gray.copy()
    other[:10] += BRIGHTEST_DIFFERENCE_GRAY_LEVELS // 2
    other[10:20] -= BRIGHTEST_DIFFERENCE_GRAY_LEVELS
    other[20:30, :, 0] += BRIGHTEST_DIFFERENCE_GRAY_LEVELS  # only one channel: color on a gray image
    mask = np.zeros((40, 40), np.bool_)
    warped = warp_onto(preview(LoadedScan(gray, mask)), LoadedScan(other, mask), IDENTITY)
    assert warped is not None
    brightness = draw_difference(preview(LoadedScan(gray, mask)), warped).astype(int).sum(axis=2)
    assert brightness[35, 5] < 15
    assert brightness[35, 5] < brightness[5, 5] < brightness[15, 5] == brightness[25, 5]


def test_boxes_are_in_pixels_of_the_original_image() -> None:
    size = (2 * PREVIEW_SIDE_PIXELS, 4 * PREVIEW_SIDE_PIXELS)
    small = preview(LoadedScan(np.zeros((*size, 3), np.uint8), np.zeros(size, np.bool_)))
    assert small.image.shape == (PREVIEW_SIDE_PIXELS // 2, PREVIEW_SIDE_PIXELS, 3)
    drawn = (draw_marks(small, [(400, 80, 800, 240)]) == BOX_COLOR).all(axis=2)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 60, 99, 200)


@pytest.mark.parametrize("size", [(30, 50), (1, 1000), (PREVIEW_SIDE_PIXELS, 10)])
def test_previews_are_limited_in_size_and_never_enlarged(size: tuple[int, int]) -> None:
    small = preview(LoadedScan(np.zeros((*size, 3), np.uint8), np.zeros(size, np.bool_)))
    assert max(small.image.shape) == min(max(size), PREVIEW_SIDE_PIXELS)
    assert small.image.shape[:2] == small.mask.shape
    assert small.original_size == size


def test_an_unreadable_image_has_no_picture(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for readable in (True, False):
        read = read_scan(Record(broken, (), "benign", "broken.png"), readable)
        assert read.image is None
        assert read.problem == "The image cannot be read."
        assert make_preview(read) is None
        assert warp_onto(preview(scan()), read, IDENTITY) is None


def test_an_image_known_as_unreadable_is_not_opened(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "fine.png")
    assert read_scan(Record(tmp_path / "fine.png", (), "benign", "fine.png"), readable=False).image is None


def test_an_image_with_an_unreadable_mask_is_shown_without_it(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "image.png")
    Image.new("L", (10, 20), 255).save(tmp_path / "mask.png")
    read = read_scan(Record(tmp_path / "image.png", (tmp_path / "mask.png",), "benign", "image.png"), True)
    assert read.image is not None
    assert not read.mask.any()
    assert read.problem == "The mask cannot be read, or has another size than the image."


def test_a_map_that_is_not_finite_has_no_picture() -> None:
    assert warp_onto(preview(scan()), scan(), np.full((2, 3), np.nan)) is None
