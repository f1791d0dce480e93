"""One rule for images of all kinds: the pixels of the same image read by path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from acsnet.data import as_rgb
from acsnet.data.images import read_image
from acsnet.errors import AcsnetError, DataError, InputError

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 256, (30, 40, 3), dtype=np.uint8)
GRAY = RGB[..., 0]
ALPHA = np.dstack([RGB, GENERATOR.integers(0, 256, (30, 40), dtype=np.uint8)])
DEEP = GENERATOR.integers(0, 65536, (30, 40), dtype=np.uint16)


def fails(image: Any, kind: type[AcsnetError], message: str, name: str = "the image") -> None:
    with pytest.raises(kind) as caught:
        as_rgb(image, name)
    assert str(caught.value) == message


# --- Pillow -----------------------------------------------------------------------------------------------------------


def of_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(DEEP)
    if mode == "P":
        return Image.fromarray(RGB).quantize(16)
    return Image.fromarray(RGB).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("1", "png"),
        ("L", "png"),
        ("LA", "png"),
        ("P", "png"),
        ("RGB", "png"),
        ("RGB", "jpg"),
        ("RGBA", "png"),
        ("CMYK", "tif"),
        ("CMYK", "jpg"),
        ("YCbCr", "jpg"),
        ("I;16", "png"),
        ("I;16", "tif"),
    ],
)
def test_a_pillow_image_has_the_pixels_of_its_file(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    of_mode(mode).save(path)
    expected = read_image(path)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(as_rgb(opened), expected)
        # Once it is loaded, its pixels are the same.
        np.testing.assert_array_equal(as_rgb(opened), expected)
    if suffix == "png":
        np.testing.assert_array_equal(as_rgb(of_mode(mode)), expected)
    np.testing.assert_array_equal(as_rgb(path), expected)
    np.testing.assert_array_equal(as_rgb(str(path)), expected)


def test_real_images_of_any_kind(busi_root: Path) -> None:
    for path in sorted(busi_root.glob("*/*(1).png")):
        expected = read_image(path)
        with Image.open(path) as opened:
            array = np.asarray(opened)
            for image in (opened, array, array / 255, torch.from_numpy(expected.copy()).permute(2, 0, 1)):
                np.testing.assert_array_equal(as_rgb(image), expected)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_of_exif_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "image.png"
    Image.fromarray(RGB).save(path, exif=exif)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(as_rgb(opened), read_image(path))
        assert as_rgb(opened).shape == ((40, 30, 3) if orientation > 4 else (30, 40, 3))
        np.testing.assert_array_equal(as_rgb(opened.convert("RGB")), read_image(path))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (40, 30))
    image.save(tmp_path / "image.tif")
    reason = "has 32-bit pixels of unknown range: save it with 8 or 16 bits per channel"
    fails(image, DataError, f"image 3 {reason}", "image 3")
    fails(tmp_path / "image.tif", DataError, f"{tmp_path / 'image.tif'} {reason}")


def test_other_pillow_images_that_files_may_not_be(tmp_path: Path) -> None:
    shape = np.zeros((30, 40, 4), np.uint8)
    shape[10:20, 10:20, 3] = 255
    reason = "the image has one color and a shape in its transparency, which is not read: save it without"
    fails(Image.fromarray(shape), DataError, reason)
    fails(shape, DataError, reason)
    pages = [Image.fromarray(GRAY), Image.fromarray(GRAY[::-1])]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with Image.open(tmp_path / "pages.tif") as opened:
        fails(opened, DataError, "the image has 2 frames: choose one by image.seek(number), and give image.copy()")
        opened.seek(1)
        np.testing.assert_array_equal(as_rgb(opened.copy())[..., 0], GRAY[::-1])
    fails(Image.new("RGB", (0, 7)), InputError, "the image has no pixels: its size is 0x7 (width x height)")


def test_a_truncated_pillow_image(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with Image.open(path) as opened, pytest.raises(DataError, match=r"^image 0 cannot be decoded \(.*\): open it aga"):
        as_rgb(opened, "image 0")


# --- arrays and tensors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [RGB, ALPHA, GRAY, GRAY[..., None], DEEP, RGB[::-1, ::2], ALPHA[:, ::-1]])
def test_arrays_have_the_pixels_of_a_file(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(np.ascontiguousarray(values.squeeze())).save(path)
    np.testing.assert_array_equal(as_rgb(values), read_image(path))


def test_an_array_of_rgb_is_not_copied() -> None:
    assert as_rgb(RGB) is RGB


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
def test_floats_from_0_to_1(dtype: Any) -> None:
    np.testing.assert_array_equal(as_rgb((RGB / 255).astype(dtype)), RGB)
    np.testing.assert_array_equal(as_rgb((GRAY / 255).astype(dtype))[..., 1], GRAY)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_16_bits_are_scaled_as_in_png(dtype: str) -> None:
    np.testing.assert_array_equal(as_rgb(DEEP.astype(dtype))[..., 0], DEEP >> 8)
    color = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]]).astype(dtype)
    np.testing.assert_array_equal(as_rgb(color), color >> 8)
    assert not as_rgb(np.zeros((4, 5), dtype)).any()


@pytest.mark.parametrize("convert", [lambda t: t, lambda t: t.clone().requires_grad_(), lambda t: t.half().float()])
def test_tensors_have_their_channels_first(convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
    first = torch.from_numpy(RGB).permute(2, 0, 1)
    for tensor in (first, first.contiguous(), convert(first.float() / 255), first.double() / 255):
        np.testing.assert_array_equal(as_rgb(tensor), RGB)
    np.testing.assert_array_equal(as_rgb(torch.from_numpy(ALPHA).permute(2, 0, 1)), as_rgb(ALPHA))
    for gray in (torch.from_numpy(GRAY), torch.from_numpy(GRAY)[None]):
        np.testing.assert_array_equal(as_rgb(gray), as_rgb(GRAY))
    np.testing.assert_array_equal(as_rgb(torch.from_numpy(DEEP)), as_rgb(DEEP))
    ones = torch.ones(3, 4, 5, dtype=torch.bfloat16)
    assert (as_rgb(ones) == 255).all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_on_a_gpu() -> None:
    np.testing.assert_array_equal(as_rgb(torch.from_numpy(RGB).permute(2, 0, 1).cuda()), RGB)


RANGES = "expected uint8 (0 to 255), uint16 (0 to 65535) or floating-point numbers (0 to 1)"


@pytest.mark.parametrize("dtype", ["bool", "int64", "int8", "uint32", "complex64", "object", "S1", "datetime64[s]"])
def test_values_of_other_types(dtype: str) -> None:
    fails(np.zeros((30, 40, 3)).astype(dtype), InputError, f"the image has values of type {np.dtype(dtype)}: {RANGES}")


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.complex64])
def test_tensors_of_other_types(dtype: torch.dtype) -> None:
    name = str(dtype).removeprefix("torch.")
    fails(torch.zeros(3, 30, 40, dtype=dtype), InputError, f"the image has values of type {name}: {RANGES}")
    fails(torch.zeros(3, 30, 40, dtype=dtype).conj(), InputError, f"the image has values of type {name}: {RANGES}")


@pytest.mark.parametrize(
    ("lowest", "highest", "found"),
    [(0, 255, "from 0 to 255"), (-2.117904, 2.64, "from -2.1179 to 2.64"), (0.1, 1.001, "from 0.1 to 1.001")],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_floats_out_of_range(kind: Callable[[Any], Any], lowest: float, highest: float, found: str) -> None:
    image = np.full((3, 3, 3), float(lowest))
    image[1, 1] = highest
    fails(
        kind(image),
        InputError,
        f"the image has values {found}: floating-point numbers have to be from 0 to 1, without the normalization of a "
        "network; divide values up to 255 by 255, clip what resizing overshot",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    image = np.zeros((30, 40), np.float32)
    image[3, 4] = value
    for one in (image, torch.from_numpy(image), torch.from_numpy(image).bfloat16()):
        fails(one, InputError, f"the image has values that are NaN or infinite: {RANGES}")


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)])
def test_16_bits_that_may_be_12(shape: tuple[int, ...]) -> None:
    reason = (
        "image 1 has 16 bits per channel and no value above 4095, so that it may have fewer bits: save it with 8 bits, "
        "or scale its values to 0 to 65535"
    )
    fails(np.full(shape, 4095, np.uint16), DataError, reason, "image 1")


ARRAYS = "expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
TENSORS = "expected (H, W) or (C, H, W) with 1, 3 or 4 channels"
BATCH = "; several images are given to Predictor.predict, or one by one"


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((), ""),
        ((40,), ""),
        ((30, 40, 2), ""),
        ((30, 40, 5), ""),
        ((3, 30, 40), "; move the channels to the end by image.transpose(1, 2, 0)"),
        ((2, 30, 40, 3), BATCH),
        ((1, 1, 1, 1, 1), ""),
    ],
)
def test_arrays_of_other_shapes(shape: tuple[int, ...], advice: str) -> None:
    fails(np.zeros(shape, np.uint8), InputError, f"the image is an array of shape {shape}: {ARRAYS}{advice}")


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((), ""),
        ((2, 30, 40), ""),
        ((30, 40, 3), "; move the channels to the front by image.permute(2, 0, 1)"),
        ((1, 3, 30, 40), BATCH),
    ],
)
def test_tensors_of_other_shapes(shape: tuple[int, ...], advice: str) -> None:
    image = torch.zeros(shape, dtype=torch.uint8)
    fails(image, InputError, f"the image is a tensor of shape {shape}: {TENSORS}{advice}")


@pytest.mark.parametrize(
    "build",
    [
        lambda: torch.zeros(3, 4, 5).to_sparse(),
        lambda: torch.zeros(3, 4, 5, device="meta"),
        lambda: torch.nested.nested_tensor([torch.zeros(4, 5)] * 3, layout=torch.jagged),
    ],
    ids=["sparse", "meta", "nested"],
)
def test_tensors_without_plain_values(build: Callable[[], torch.Tensor]) -> None:
    fails(
        build(),
        InputError,
        "the image is a nested, quantized, sparse or meta tensor: expected a dense one with values",
    )


@pytest.mark.parametrize("shape", [(0, 40, 3), (30, 0), (0, 0, 4)])
def test_images_without_pixels(shape: tuple[int, ...]) -> None:
    fails(np.zeros(shape, np.uint8), InputError, f"the image has no pixels: its shape is {shape}")


def test_images_of_absurd_sizes() -> None:
    """As many pixels as files may have, before anything is computed: the values are a view of one number."""
    large = np.broadcast_to(np.uint8(0), (10_000, 5001))
    fails(large, DataError, "the image has 5001x10000 pixels; the limit is 50000000: downscale it")
    fails(torch.zeros(1, dtype=torch.uint8).expand(10_000, 5001), DataError, "the image has 5001x10000 pixels; the "
          "limit is 50000000: downscale it")  # fmt: skip
    fails(
        Image.new("1", (5001, 10_000)),
        DataError,
        "the image declares 5001x10000 = 50010000 pixels; the limit is 50000000: downscale it",
    )


@pytest.mark.parametrize("image", [None, 7, b"a.png", [[1]], {"image": 1}, np.uint8(3)])
def test_other_objects(image: Any) -> None:
    fails(
        image,
        InputError,
        f"image 2 is of type {type(image).__name__}: expected the path of a file, a Pillow image, a NumPy array or a "
        "PyTorch tensor",
        "image 2",
    )


def test_masked_arrays() -> None:
    fails(
        np.ma.masked_equal(GRAY, 0), InputError, "the image is a masked array: fill what is masked by image.filled(0)"
    )
