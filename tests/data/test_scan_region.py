"""The scanned region of hand-made images, and of the real ones if they are there."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acsnet.data import read_busi
from acsnet.data.images import UInt8Array, read_image, read_merged_mask
from acsnet.data.scan_region import Box, find_scan_region

# The scan in the images with margins.
SCAN = Box(top=60, left=40, height=150, width=220)
SIZE = (240, 320)


def make_scan(height: int, width: int, seed: int = 0) -> UInt8Array:
    """Return speckle with a dark lesion."""
    generator = np.random.default_rng(seed)
    gray = generator.rayleigh(45, (height, width)).clip(0, 255)
    rows, columns = np.mgrid[:height, :width]
    gray[((rows - height / 2) / (height / 5)) ** 2 + ((columns - width / 2) / (width / 5)) ** 2 < 1] *= 0.15
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def with_margin(color: tuple[int, int, int] | int, scan: Box = SCAN, noise: float = 0) -> UInt8Array:
    """Return a scan in a margin of a color, with Gaussian noise of the given deviation in the margin."""
    generator = np.random.default_rng(1)
    margin = np.asarray(color) + noise * generator.standard_normal((*SIZE, 3))
    image = np.broadcast_to(margin, (*SIZE, 3)).round().clip(0, 255).astype(np.uint8)
    image[scan.slices] = make_scan(scan.height, scan.width)
    return image


@pytest.mark.parametrize(
    ("color", "noise"),
    [(255, 0), (0, 0), (72, 0), (72, 1.5), ((40, 30, 90), 0), ((40, 30, 90), 1.5)],
    ids=["white", "black", "gray haze", "noisy haze", "tinted", "noisy tint"],
)
def test_a_uniform_margin_of_any_color_is_cut_off(color: tuple[int, int, int] | int, noise: float) -> None:
    assert find_scan_region(with_margin(color, noise=noise)) == SCAN


def test_a_letterbox_is_cut_off_above_and_below_only() -> None:
    scan = Box(50, 0, 140, SIZE[1])
    assert find_scan_region(with_margin(0, scan)) == scan


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_margin_at_one_side(side: str) -> None:
    scan = {
        "top": Box(30, 0, 210, 320),
        "bottom": Box(0, 0, 210, 320),
        "left": Box(0, 30, 240, 290),
        "right": Box(0, 0, 240, 290),
    }[side]
    assert find_scan_region(with_margin(16, scan)) == scan


def test_margins_of_two_colors() -> None:
    image = with_margin(0)
    image[:30] = 255
    image[:, :10] = (0, 60, 20)
    assert find_scan_region(image) == SCAN


def test_a_gradient_across_the_lines_of_a_margin() -> None:
    image = with_margin(0, Box(60, 0, 180, 320))
    image[:60] = np.linspace(20, 200, 60).astype(np.uint8)[:, None, None]
    assert find_scan_region(image) == Box(60, 0, 180, 320)


def test_the_lines_of_a_frame_are_margin() -> None:
    image = with_margin(0)
    image[[40, 41, 230], 20:300] = 200
    image[40:231, [20, 299]] = 200
    assert find_scan_region(image) == SCAN


def test_a_frame_at_the_border_of_the_image() -> None:
    image = with_margin(0)
    image[[0, -1]] = image[:, [0, -1]] = 180
    assert find_scan_region(image) == SCAN


def test_a_ruler_with_ticks_is_margin() -> None:
    image = with_margin(0)
    # Ticks of six pixels next to the scan, at a gap, and long ones at every fifth.
    image[60:210:10, 24:30] = 220
    image[60:210:50, 18:30] = 220
    image[226:232, 40:260:20] = 220
    assert find_scan_region(image) == SCAN


def test_text_in_a_margin_is_margin() -> None:
    image = with_margin(0)
    # Strokes of letters: one in three columns, for a seventh of the width.
    image[20:30, 60:105:3] = 255
    assert find_scan_region(image) == SCAN


def test_text_that_touches_the_scan_stays() -> None:
    image = with_margin(0)
    image[50:60, 60:105:3] = 255
    assert find_scan_region(image) == Box(50, 40, 160, 220)


def test_an_image_without_margin_is_whole() -> None:
    assert find_scan_region(make_scan(*SIZE)) == Box(0, 0, *SIZE)


def test_black_corners_of_a_sector_are_not_cut() -> None:
    image = make_scan(*SIZE)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    image[(rows < 100) & (columns + rows < 100)] = 0
    image[(rows < 100) & (SIZE[1] - columns + rows < 100)] = 0
    assert find_scan_region(image) == Box(0, 0, *SIZE)


def test_the_dark_depth_of_a_scan_is_not_cut() -> None:
    image = make_scan(*SIZE)
    # Electronic noise of a scanner.
    noise = np.random.default_rng(2).normal(14, 3.7, (100, SIZE[1], 1)).clip(0, 255)
    image[-100:] = noise.astype(np.uint8)
    assert find_scan_region(image) == Box(0, 0, *SIZE)


def test_a_dark_band_within_a_scan_is_not_an_end() -> None:
    scan = Box(20, 20, 200, 280)
    image = with_margin(0, scan)
    image[60:110, 20:300] = 0
    assert find_scan_region(image) == scan


@pytest.mark.parametrize("value", [0, 90, 255])
def test_all_margin(value: int) -> None:
    assert find_scan_region(np.full((*SIZE, 3), value, np.uint8)) is None


def test_text_alone_is_all_margin() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    image[100:110, 60:105:3] = 255
    assert find_scan_region(image) is None


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (200, 8)])
def test_a_tiny_image_is_left_whole(size: tuple[int, int]) -> None:
    assert find_scan_region(np.zeros((*size, 3), np.uint8)) == Box(0, 0, *size)


def test_flips_and_transposes_give_the_same_region() -> None:
    image = with_margin((10, 90, 30))
    image[60:210:10, 24:30] = 220
    top, left, height, width = SCAN
    assert find_scan_region(image[::-1]) == Box(SIZE[0] - top - height, left, height, width)
    assert find_scan_region(image[:, ::-1]) == Box(top, SIZE[1] - left - width, height, width)
    assert find_scan_region(image.swapaxes(0, 1)) == Box(left, top, width, height)


def test_the_crop_of_a_crop_is_whole() -> None:
    image = with_margin(0)
    cropped = image[SCAN.slices]
    assert find_scan_region(cropped) == Box(0, 0, *cropped.shape[:2])


def test_the_image_is_not_changed() -> None:
    image = with_margin(0)
    before = image.copy()
    image.setflags(write=False)
    find_scan_region(image)
    np.testing.assert_array_equal(image, before)


def test_no_lesion_of_real_images_is_cut(busi_root: Path) -> None:
    """A tenth of the images; the numbers in the README are those of all."""
    records = read_busi(busi_root)[::10]
    assert len(records) > 10
    for record in records:
        image = read_image(record.image)
        mask = read_merged_mask(record.masks, image.shape[:2])
        region = find_scan_region(image)
        assert region is not None, record.image
        assert mask[region.slices].sum() == mask.sum(), record.image


@pytest.mark.parametrize(
    "make", [lambda: make_scan(1000, 1000), lambda: np.pad(make_scan(600, 600), ((200, 200),) * 2 + ((0, 0),))]
)
def test_it_is_fast(make: Callable[[], UInt8Array]) -> None:
    image = make()
    seconds = []
    for _ in range(10):
        start = time.process_time()
        find_scan_region(image)
        seconds.append(time.process_time() - start)
    # About 0.2 and 5 ms; the limit leaves room for slow machines.
    assert min(seconds) < 0.05
