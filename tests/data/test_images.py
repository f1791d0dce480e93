import errno
import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from acsnet._utils import file_kinds
from acsnet.data.images import (
    image_size,
    read_image,
    read_mask,
    read_merged_mask,
    resize_image,
    resize_mask,
    to_channels,
    to_network_input,
)
from acsnet.errors import DataError, InputError

TRUTH = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]], dtype=bool)
GRAY = TRUTH.astype(np.uint8) * 255


def noise(*shape: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def palette_image(indices: npt.NDArray[np.uint8], *colors: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(indices).convert("L")
    image.putpalette([value for color in colors for value in color])
    return image


def with_alpha(alpha: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.dstack([GRAY, GRAY, GRAY, alpha]))


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
MASKS = {
    "1 bit": Image.fromarray(TRUTH),
    "gray": Image.fromarray(GRAY),
    "labels 0 and 1": Image.fromarray(TRUTH.astype(np.uint8)),
    "palette": palette_image(TRUTH.astype(np.uint8), BLACK, WHITE),
    "palette, white first": palette_image((~TRUTH).astype(np.uint8), WHITE, BLACK),
    "palette, colored": palette_image(TRUTH.astype(np.uint8), BLACK, RED),
    "rgb": Image.fromarray(np.dstack([GRAY] * 3)),
    "rgb, one channel": Image.fromarray(np.dstack([GRAY * 0, GRAY, GRAY * 0])),
    "rgba, opaque": with_alpha(np.full_like(GRAY, 255)),
    "rgba, transparent": with_alpha(np.zeros_like(GRAY)),
    "rgba, background transparent": with_alpha(GRAY),
    "gray with alpha": Image.fromarray(np.dstack([GRAY, np.full_like(GRAY, 255)])),
    "16 bits": Image.fromarray(TRUTH.astype(np.uint16) * 65535),
    "16 bits, 8 used": Image.fromarray(TRUTH.astype(np.uint16) * 255),
    "16 bits, labels 0 and 1": Image.fromarray(TRUTH.astype(np.uint16)),
}


@pytest.mark.parametrize("image", MASKS.values(), ids=MASKS)
def test_masks_of_every_kind(image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, TRUTH)


def test_the_kinds_of_masks_are_stored_in_their_modes(tmp_path: Path) -> None:
    modes = {}
    for name, image in MASKS.items():
        image.save(tmp_path / "mask.png")
        with Image.open(tmp_path / "mask.png") as stored:
            modes[name] = stored.mode
    assert set(modes.values()) == {"1", "L", "P", "RGB", "RGBA", "LA", "I;16"}


@pytest.mark.parametrize("suffix", ["tif", "bmp", "jpg"])
def test_masks_of_other_formats(suffix: str, tmp_path: Path) -> None:
    large = TRUTH.repeat(16, axis=0).repeat(16, axis=1)
    Image.fromarray(large.astype(np.uint8) * 255).save(tmp_path / f"mask.{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"mask.{suffix}"), large)


@pytest.mark.parametrize("pixels", [TRUTH.astype(np.int32), TRUTH.astype(np.float32), TRUTH.astype(np.int32) * 255])
def test_masks_of_32_bits(pixels: npt.NDArray[np.generic], tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "mask.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), TRUTH)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 127, 128, 255], [False, False, True, True]),
        ([0, 0, 0, 0], [False] * 4),
        ([255, 255, 255, 255], [True] * 4),
        ([0, 1, 1, 0], [False, True, True, False]),
        ([0, 1, 2, 0], [False, True, True, False]),
        ([0, 2, 2, 0], [False, True, True, False]),
        ([0, 100, 100, 0], [False, True, True, False]),
        ([0, 3, 2, 1], [False, True, True, True]),
    ],
)
def test_the_threshold_of_masks(values: list[int], expected: list[bool], tmp_path: Path) -> None:
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "kind", "highest"), [([0, 3, 90], np.uint8, 255), ([0, 300, 999], np.uint16, 65535)]
)
def test_a_dark_mask_with_several_values_is_refused(
    values: list[int], kind: type, highest: int, tmp_path: Path
) -> None:
    Image.fromarray(np.array([values], kind)).save(tmp_path / "mask.png")
    named = ", ".join(map(str, values))
    message = (
        rf"mask\.png has 3 values up to {values[-1]}, which may be dark foreground or noise \({named}\): save the mask "
        rf"with 0 for background and {highest} for foreground"
    )
    with pytest.raises(DataError, match=message):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.array([[0, 1, 255]], np.uint8), "the values 0, 1, 255, of which 255 may be foreground or pixels to ignore"),
        (np.array([[3, 2, 1, 0, 255]], np.uint8), "the values 0, 1, 2, 3, 255, of which 255 may be"),
        (np.array([[0, 1, 255]], np.uint16), "the values 0, 1, 255, of which 255 may be"),
        (np.array([[50, 100]], np.uint8), "no background, only 50, 100"),
        (np.array([[1, 2]], np.uint8), "no background, only 1, 2"),
        (np.array([[7, 7]], np.uint8), "no background, only 7"),
        (np.array([[150, 250]], np.uint8), r"several colors and no background \(values 150, 250\)"),
        (np.array([[[255, 255, 255], [255, 0, 0]]], np.uint8), r"several colors and no background \(values 255\)"),
        (np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8), r"several colors and no background \(values 255\)"),
        (np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), r"one color \(0\), and a shape in its transparency"),
        (np.array([[[255, 255, 255, 0], [255] * 4]], np.uint8), r"one color \(255\), and a shape in its transp"),
        (np.array([[[9, 200], [9, 0]]], np.uint8), r"one color \(9\), and a shape in its transparency"),
        (np.array([[0, -1]], np.int32), "values below 0, or values that are not numbers"),
        (np.array([[0, np.nan]], np.float32), "values below 0, or values that are not numbers"),
        (np.array([[0, 0.2, 0.9]], np.float32), r"3 values up to 0\.9, which may be"),
    ],
)
def test_masks_that_can_be_meant_in_two_ways_are_refused(
    pixels: npt.NDArray[Any], message: str, tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / "mask.tif")
    with pytest.raises(
        DataError, match=rf"mask\.tif has {message}.*: save the mask with 0 for background and 255 for f"
    ):
        read_mask(tmp_path / "mask.tif")


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((2, 3), 255, np.uint8),
        np.full((2, 3), 1, np.uint8),
        np.full((2, 3, 3), (255, 0, 0), np.uint8),
        np.array([[255, 250], [252, 254]], np.uint8),
    ],
)
def test_a_mask_without_background_in_one_color(pixels: npt.NDArray[Any], tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").all()


def test_smooth_and_lossy_edges_are_cut_at_half(tmp_path: Path) -> None:
    disk = np.zeros((64, 64), np.uint8)
    cv2.circle(disk, (32, 32), 15, 255, -1, cv2.LINE_AA)
    Image.fromarray(disk).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), disk > 127)
    Image.fromarray(disk).save(tmp_path / "mask.jpg", quality=90)
    assert (read_mask(tmp_path / "mask.jpg") != (disk > 127)).mean() < 0.01


def test_a_dark_palette_mask(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 1]], np.uint8), "P")
    image.putpalette([0, 0, 0, 64, 0, 0])
    image.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, True, True]]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_the_orientation_of_exif_is_applied(
    orientation: int, undo: Image.Transpose, suffix: str, tmp_path: Path
) -> None:
    picture = np.full((24, 40), 60, np.uint8)
    picture[:8, :16] = 250
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(picture).transpose(undo).save(path, exif=exif, quality=95)
    assert np.abs(read_image(path)[..., 0].astype(int) - picture).max() < 30
    np.testing.assert_array_equal(read_mask(path), picture > 127)
    assert image_size(path) == (40, 24)


def test_the_threshold_of_16_bit_masks(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 32767, 32768, 65535]], np.uint16)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, False, False, True, True]]


def test_images_of_every_mode_are_read_as_rgb(tmp_path: Path) -> None:
    gray, color, alpha = noise(6, 5), noise(6, 5, 3), noise(6, 5, 1, seed=1)
    stored = {
        "gray": (Image.fromarray(gray), np.dstack([gray] * 3)),
        "rgb": (Image.fromarray(color), color),
        "rgba": (Image.fromarray(np.dstack([color, alpha])), color),
        "palette": (palette_image(np.array([[0, 1]], np.uint8), RED, WHITE), np.array([[RED, WHITE]])),
        "one bit": (Image.fromarray(TRUTH), np.dstack([GRAY] * 3)),
    }
    for name, (image, expected) in stored.items():
        image.save(tmp_path / f"{name}.png")
        read = read_image(tmp_path / f"{name}.png")
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, expected, err_msg=name)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grays_are_scaled(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255, 256, 40000, 65535]], np.uint16)).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}")[0].tolist() == [[v] * 3 for v in (0, 0, 1, 156, 255)]


def save_tiff(path: Path, pixels: npt.NDArray[np.generic], **tags: int) -> Path:
    """Write a TIFF file with tags given by number: ``t281=4095``."""
    directory = ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[int(name[1:])] = value
    Image.fromarray(pixels).save(path, tiffinfo=directory)
    return path


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, [0, 0, 8, 15, 255]),
        # MaxSampleValue: 12 bits in 16; values above it are white.
        ({"t281": 4095}, [0, 1, 128, 255, 255]),
        ({"t281": 0}, [0, 0, 8, 15, 255]),
        # White is zero.
        ({"t262": 0}, [255, 255, 247, 240, 0]),
        ({"t262": 0, "t281": 4095}, [255, 254, 127, 0, 0]),
    ],
)
def test_the_declared_range_of_a_tiff(tags: dict[str, int], expected: list[int], tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "a.tif", np.array([[0, 16, 2048, 4095, 65535]], np.uint16), **tags)
    assert read_image(path)[0].tolist() == [[value] * 3 for value in expected]


def test_the_same_gray_is_the_same_in_every_image(tmp_path: Path) -> None:
    for name, others in (("a.png", [0, 65535]), ("b.png", [20000, 20001])):
        Image.fromarray(np.array([[20000, *others]], np.uint16)).save(tmp_path / name)
    assert read_image(tmp_path / "a.png")[0, 0, 0] == read_image(tmp_path / "b.png")[0, 0, 0] == 78


def test_pages_by_index(tmp_path: Path) -> None:
    pages = [noise(6, 5, seed=seed) for seed in range(3)]
    first, *others = map(Image.fromarray, pages)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    for index, page in enumerate(pages):
        np.testing.assert_array_equal(read_image(tmp_path / f"a.tif#{index}")[..., 0], page)
        np.testing.assert_array_equal(read_mask(tmp_path / f"a.tif#{index}"), page > 127)
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=r"a\.tif holds 3 frames: name one of them, from a\.tif#0 to a\.tif#2"):
            read(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif#3: there is no frame 3, the file holds 3, counted from 0"):
        read_image(tmp_path / "a.tif#3")
    with pytest.raises(DataError, match=r"there is no image .*none\.tif$"):
        read_image(tmp_path / "none.tif#1")


def test_a_hash_in_the_name_of_other_formats_is_part_of_it(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "image#3.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image#3.png")[..., 0], GRAY)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_broken_tags_of_tiff_give_no_other_error(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(noise(20, 24)).save(path, compression=compression)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        broken = bytearray(whole)
        for _ in range(3):
            broken[random.integers(16) if random.random() < 0.5 else -random.integers(1, 200)] = random.integers(256)
        path.write_bytes(broken)
        try:
            read_image(path)
        except DataError:
            refused += 1
    assert refused > 50


def test_the_size_from_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(20, 24)).save(path)
    path.write_bytes(path.read_bytes()[:100])
    assert image_size(path) == (24, 20)
    with pytest.raises(DataError, match=r"there is no image .*none\.png"):
        image_size(tmp_path / "none.png")
    (tmp_path / "b.png").write_text("not an image")
    with pytest.raises(DataError, match=r"b\.png cannot be read as an image"):
        image_size(tmp_path / "b.png")


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_images_of_32_bits_are_refused(kind: type, tmp_path: Path) -> None:
    # Pillow would clip values above 255.
    Image.fromarray(np.array([[0, 300, 70000]], kind)).save(tmp_path / "deep.tif")
    with pytest.raises(
        DataError, match=r"deep\.tif has 32-bit pixels of unknown range: save it with 8 or 16 bits per channel"
    ):
        read_image(tmp_path / "deep.tif")


@pytest.mark.parametrize("suffix", ["bmp", "tif", "tiff", "jpeg"])
def test_images_of_other_formats(suffix: str, tmp_path: Path) -> None:
    pixels = np.full((8, 8, 3), 90, np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), pixels)


@pytest.mark.parametrize("length", [1, 8, 20, 33, 60, 0.3, 0.9, -21])
def test_truncated_images(length: float, tmp_path: Path) -> None:
    path = tmp_path / "cut (1).png"
    Image.fromarray(noise(20, 24, 3)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(length * len(whole)) if isinstance(length, float) else int(length)])
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=r"cut \(1\)\.png cannot be read as an image \(.+\): .*copy it again"):
            read(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for read in (read_image, read_mask):
        with pytest.raises(
            DataError, match=r"a\.png cannot be read as an image \(it is empty\): copy it again from its"
        ):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"Not an image.\n", b"\x00" * 200])
def test_files_that_are_not_images(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(
        DataError, match=r"odd\.png cannot be read as an image \(.+\): convert it to a supported format \(PNG"
    ):
        read_image(tmp_path / "odd.png")


OTHER_FORMATS = {
    "GIF": ("gif", {}),
    "PDF": ("pdf", {}),
    "PostScript": ("eps", {}),
    "WebP": ("webp", {}),
    "PPM": ("ppm", {}),
    "icon": ("ico", {"sizes": [(20, 20)]}),
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "dat"])
@pytest.mark.parametrize("other", OTHER_FORMATS)
def test_an_undamaged_file_of_another_format_is_not_called_damaged(other: str, suffix: str, tmp_path: Path) -> None:
    kind, options = OTHER_FORMATS[other]
    Image.fromarray(noise(20, 24)).save(tmp_path / f"scan.{kind}", **options)
    path = (tmp_path / f"scan.{kind}").rename(tmp_path / f"scan.{suffix}")
    message = (
        rf"scan\.{suffix} cannot be read as an image \(it is a {other} file\): convert it to a supported format \(PNG, "
        r"JPEG, BMP, TIFF .* and DICOM\)$"
    )
    for read in (read_image, read_mask, image_size):
        with pytest.raises(DataError, match=message):
            read(path)


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow starts Ghostscript for PostScript."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(subprocess, "Popen", fail)
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="it is a PostScript file"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.dcm", "a", "a.jfif", "a.b.001"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_the_content_of_a_file_counts_not_its_suffix(name: str, kind: str, tmp_path: Path) -> None:
    pixels = noise(6, 5, 3)
    Image.fromarray(pixels).save(tmp_path / name, format=kind)
    np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
    np.testing.assert_array_equal(read_mask(tmp_path / name), pixels.max(axis=2) > 127)


def make_special(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "named pipe":
        os.mkfifo(path)
    elif kind == "link to nowhere":
        path.symlink_to("gone.png")
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("folder", "it is a directory"),
        ("named pipe", "it is a named pipe"),
        ("link to nowhere", r"it is a link to gone\.png, which does not exist"),
        ("loop", "it is a link that leads to itself"),
        ("device", "it is a device"),
    ],
)
def test_what_is_no_file_is_named_and_not_opened(kind: str, reason: str, name: str, tmp_path: Path) -> None:
    make_special(tmp_path / name, kind)
    for read in (read_image, read_mask):
        with pytest.raises(
            DataError, match=rf"{name} cannot be read as an? .*image \({reason}\): check that it is a file that you may"
        ):
            read(tmp_path / name)


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Paths of sockets are short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("a.png")
        with pytest.raises(DataError, match=r"a\.png cannot be read as an image \(it is a socket\): check that it"):
            read_image(Path("a.png"))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
def test_a_file_that_may_not_be_read(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise(6, 5)).save(tmp_path / "a.png")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image, "open", refuse)
    message = (
        rf"a\.png cannot be read as an image \({os.strerror(number)}\): check that it is a file that you may read$"
    )
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / "a.png")


def test_a_missing_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no image .*none\.png"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_an_image_that_is_too_large(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(20, 24)).save(path)
    monkeypatch.setattr(file_kinds, "MAX_PIXELS", 100)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    for read in (read_image, read_mask, image_size):
        with pytest.raises(
            DataError, match=rf"a\.{suffix} declares 24x20 = 480 pixels; the limit is 100: downscale it$"
        ):
            read(path)


@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (12000, 12000), (60000, 60000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_header_of_a_bomb_is_enough(width: int, height: int, tmp_path: Path) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"a\.png .* the limit (is|of) 50000000.*: downscale it$"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_the_pages_of_a_tiff_are_counted(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [Image.fromarray(noise(20, 24)) for _ in range(5)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    monkeypatch.setattr(file_kinds, "MAX_PIXELS_OF_ALL_FRAMES", 2000)
    message = r"a\.tif declares 5 frames of 24x20 = 2400 pixels; the limit is 2000 for all frames: divide it"
    for name in ("a.tif", "a.tif#2"):
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)


def test_a_large_page_of_a_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Image.fromarray(noise(2, 3)), Image.fromarray(noise(20, 24))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[large])
    monkeypatch.setattr(file_kinds, "MAX_PIXELS", 100)
    assert read_image(tmp_path / "a.tif#0").shape == (2, 3, 3)
    with pytest.raises(DataError, match=r"a\.tif declares 24x20 = 480 pixels; the limit is 100"):
        read_image(tmp_path / "a.tif#1")


def test_broken_bytes_give_no_other_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(noise(20, 24)).save(path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        broken = bytearray(whole)
        broken[random.integers(60 if random.random() < 0.5 else len(whole))] = random.integers(256)
        path.write_bytes(broken)
        try:
            read_image(path)
        except DataError:
            refused += 1
    assert refused > 70


def test_several_masks_are_merged(tmp_path: Path) -> None:
    first, second = np.zeros((2, 4, 6), np.uint8)
    first[1:3, 1:3] = second[2:, 2:5] = 255
    Image.fromarray(first).save(tmp_path / "a_mask.png")
    Image.fromarray(second > 0).save(tmp_path / "a_mask_1.png")
    merged = read_merged_mask([tmp_path / "a_mask.png", tmp_path / "a_mask_1.png"], (4, 6))
    expected = ["......", ".##...", ".####.", "..###."]
    assert ["".join("#" if value else "." for value in row) for row in merged] == expected


def test_without_mask_files_the_mask_is_empty() -> None:
    mask = read_merged_mask([], (3, 5))
    assert mask.shape == (3, 5)
    assert mask.dtype == np.bool_
    assert not mask.any()


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a_mask.png")
    message = r"a_mask\.png is 5x4, its image 4x5 \(width x height\): a mask needs the size of its image"
    with pytest.raises(DataError, match=message):
        read_merged_mask([tmp_path / "a_mask.png"], (5, 4))


def area_weights(source: int, target: int) -> npt.NDArray[np.float64]:
    """Return the coverage of each source pixel by each target pixel, (target, source)."""
    edges = np.arange(target + 1) * source / target
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return overlap.clip(0) * target / source


def linear_weights(source: int, target: int) -> npt.NDArray[np.float64]:
    """Return weights of interpolation between pixel centers with a repeated border, (target, source)."""
    centers = ((np.arange(target) + 0.5) * source / target - 0.5).clip(0, source - 1)
    return (1 - np.abs(centers[:, None] - np.arange(source))).clip(0)


def reference(values: npt.NDArray[np.generic], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    rows, columns = (
        (area_weights if target < source else linear_weights)(source, target)
        for source, target in zip(values.shape[:2], size, strict=True)
    )
    return np.einsum("ij,jk...,lk->il...", rows, values.astype(np.float64), columns)


# Both sides shrink (by whole and other factors), both grow, one of each, and one stays.
SIZES = [(20, 24), (10, 12), (7, 5), (40, 30), (33, 47), (8, 40), (45, 6), (20, 9), (31, 24)]


@pytest.mark.parametrize("size", SIZES)
def test_resized_images_against_a_reference(size: tuple[int, int]) -> None:
    image = noise(20, 24, 3)
    resized = resize_image(image, size)
    assert resized.shape == (*size, 3)
    assert resized.dtype == np.uint8
    # Two roundings, each by at most one half, and OpenCV's weights of 11 bits.
    assert np.abs(resized - reference(image, size)).max() < 1.5


@pytest.mark.parametrize("size", SIZES)
def test_resized_masks_against_a_reference(size: tuple[int, int]) -> None:
    mask = noise(20, 24) > 127
    share = reference(mask, size)
    sure = np.abs(share - 0.5) > 1e-3
    assert sure.mean() > 0.5
    resized = resize_mask(mask, size)
    assert resized.shape == size
    assert resized.dtype == np.bool_
    np.testing.assert_array_equal(resized[sure], (share > 0.5)[sure])


def test_half_of_the_area_is_foreground() -> None:
    mask = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1]], dtype=bool)
    assert resize_mask(mask, (2, 2)).tolist() == [[False, True], [True, True]]


def test_a_single_channel_stays_a_channel() -> None:
    image = noise(20, 24, 1)
    for size in ((20, 24), (10, 12), (40, 40)):
        assert resize_image(image, size).shape == (*size, 1)
    np.testing.assert_array_equal(resize_image(image, (20, 24)), image)


def test_channels() -> None:
    image = noise(6, 5, 3)
    np.testing.assert_array_equal(to_channels(image, 3), image)
    gray = to_channels(image, 1)
    assert gray.shape == (6, 5, 1)
    assert gray.dtype == np.uint8
    assert np.abs(gray[..., 0] - image @ np.array([0.299, 0.587, 0.114])).max() < 1
    same = np.dstack([image[..., 0]] * 3)
    np.testing.assert_array_equal(to_channels(same, 1)[..., 0], image[..., 0])


@pytest.mark.parametrize(
    ("channels", "mean", "std"),
    [(3, [0.33], [0.204]), (1, [0.33], [0.204]), (3, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), (3, [0.5], [1.0])],
)
def test_network_input_by_hand(channels: int, mean: list[float], std: list[float]) -> None:
    images = noise(2, 5, 4, channels)
    given = to_network_input(torch.from_numpy(images), mean, std)
    expected = ((images / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)
    assert given.shape == (2, channels, 5, 4)
    assert given.dtype == torch.float32
    assert given.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(given.numpy(), expected, rtol=0, atol=2e-6)


def test_network_input_of_training_after_inference() -> None:
    images, mean = torch.full((1, 2, 2, 1), 255, dtype=torch.uint8), [0.123]
    with torch.inference_mode():
        to_network_input(images, mean, [0.5])
    scale = torch.ones(1, requires_grad=True)
    (to_network_input(images, mean, [0.5]) * scale).sum().backward()
    torch.testing.assert_close(scale.grad, torch.tensor([4 * (1 - 0.123) / 0.5]))


@pytest.mark.parametrize(("what", "mean", "std"), [("mean", [0.1, 0.2, 0.3], [1.0]), ("std", [0.1], [1.0, 2.0])])
def test_network_input_needs_a_value_a_channel(what: str, mean: list[float], std: list[float]) -> None:
    # One channel and three means would else become three channels.
    images = torch.zeros((1, 2, 2, 1), dtype=torch.uint8)
    message = (
        f"{what} has {max(len(mean), len(std))} values, images have 1 channels: expected one value, or one per channel"
    )
    with pytest.raises(InputError, match=message):
        to_network_input(images, mean, std)


def test_reading_agrees_with_opencv(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 24, 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., ::-1], cv2.imread(str(tmp_path / "a.png")))
