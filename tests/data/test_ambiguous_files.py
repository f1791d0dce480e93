"""Files that can be meant in two ways are refused, and names with "#" are what they say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from acsnet.data.frame_paths import split_frame
from acsnet.data.images import image_size, read_image, read_mask
from acsnet.errors import DataError

GRAY = np.random.default_rng(0).integers(0, 200, (32, 32)).astype(np.uint8)
RGB = np.dstack([GRAY] * 3)


def save(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("name", ["scan.tif#1", "cine.dcm#0", "a#2.TIFF#12"])
def test_a_file_with_the_name_of_a_frame_is_that_file(name: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / name, format="PNG")
    assert split_frame(tmp_path / name) == (tmp_path / name, None)
    np.testing.assert_array_equal(read_image(tmp_path / name), RGB)


@pytest.mark.parametrize("name", ["scan.tif#1", "cine.dcm#0", "a#2.TIFF#12"])
def test_a_file_and_a_frame_of_the_same_name(name: str, tmp_path: Path) -> None:
    other, _, number = name.rpartition("#")
    for file in (name, other):
        Image.fromarray(RGB).save(tmp_path / file, format="PNG")
    message = rf"{name} may mean this file or frame {number} of {other}: rename one of the two files"
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_frame_of_a_format_without_frames(kind: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", format=kind)
    with pytest.raises(DataError, match=rf"a\.tif#5: a\.tif is a {kind} file, which has no frames: name the file w"):
        read_image(tmp_path / "a.tif#5")


@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
def test_an_animation(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "cine.png"
    frames = [Image.fromarray(np.roll(RGB, shift, 0)) for shift in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"cine\.png is an animation of 3 frames: save each frame as a file of its o"):
        read(path)


@pytest.mark.parametrize("factor", [1, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "color"])
def test_8_or_12_bits_in_a_file_of_16(pixels: np.ndarray, suffix: str, factor: int, tmp_path: Path) -> None:
    path = save(tmp_path / f"a{suffix}", pixels.astype(np.uint16) * factor)
    with pytest.raises(DataError, match=r"has 16 bits per channel and no value above 4095, so that it may have fewer"):
        read_image(path)
    np.testing.assert_array_equal(read_image(save(path, pixels.astype(np.uint16) * 256)), RGB)


@pytest.mark.parametrize("highest", [1, 2, 255])
def test_a_color_mask_of_16_bits_whose_high_bytes_are_empty(highest: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", (RGB > 100).astype(np.uint16) * highest)
    with pytest.raises(DataError, match=r"a\.png has colors of 16 bits and no value above 255, which are not read"):
        read_mask(path)


@pytest.mark.parametrize("levels", [(0, 127, 254), (0, 100, 200), (0, 85, 170, 255)])
def test_regions_of_several_values_in_a_mask(levels: tuple[int, ...], tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    for number, level in enumerate(levels):
        mask[10 * number : 10 * number + 10, 8:40] = level
    with pytest.raises(DataError, match=r"has regions of the values 0, .*, which may be labels: save the mask with 0"):
        read_mask(save(tmp_path / "a.png", mask))


def test_a_scan_is_no_mask(tmp_path: Path) -> None:
    overlay = RGB.copy()
    overlay[:8, :8] = (0, 0, 255)
    for name, pixels in {"gray.png": GRAY, "color.png": RGB, "scan.jpg": GRAY, "overlay.png": overlay}.items():
        with pytest.raises(DataError, match=r"has gray values in \d+% of its pixels, as a scan has: save the mask wi"):
            read_mask(save(tmp_path / name, pixels))


def test_a_mask_in_the_numbers_of_a_palette_only(tmp_path: Path) -> None:
    image = Image.fromarray((GRAY > 100).astype(np.uint8), "P")
    image.putpalette([0, 0, 0] * 256)
    image.save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"one color \(0\), and a shape in the numbers of its palette, which are not r"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("color", [0, 90, 255])
def test_an_image_in_its_transparency_only(color: int, tmp_path: Path) -> None:
    Image.fromarray(np.dstack([np.full_like(RGB, color), GRAY])).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png has one color and a shape in its transparency, which is not read: sa"):
        read_image(tmp_path / "a.png")


def test_the_kind_of_pixels_that_are_not_read_is_true(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has signed 16-bit pixels of unknown range: save it with 8 or 16 bits"):
        read_image(save(tmp_path / "a.tif", GRAY.astype(np.int16)))
    Image.fromarray(GRAY).save(tmp_path / "c.tif", tiffinfo={339: 2})  # the sample format: signed
    with pytest.raises(DataError, match=r"c\.tif has signed 8-bit pixels of unknown range: save it with 8 or 16 bits"):
        read_image(tmp_path / "c.tif")
    for pixels in (GRAY / 255, RGB.astype(np.float32)):
        with pytest.raises(DataError, match=r"\(it is damaged, or its pixels are of a type that is not read\): conv"):
            read_image(save(tmp_path / "b.tif", pixels))


@pytest.mark.parametrize("name", ["a\0.png", "\0", "b\0.tif"])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_name_with_a_nul(read: Callable[[Path], Any], name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read as an image \(its name has a NUL\): check that it is a file"):
        read(Path(name))
