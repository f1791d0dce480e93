"""Reading images and masks, and bringing them to the network: one way for training, testing and predicting.

Formats: PNG, JPEG, BMP, TIFF and DICOM. More than 8 bits are brought to 8 by the range that the file declares, never by
that of the pixels found, so that the same gray is the same gray in every image: for PNG 16 bits, for TIFF
``MaxSampleValue`` or else ``BitsPerSample``; a value v of a range up to M becomes ``256 * v // (M + 1)``. Where a file
declares no range (32-bit integers, floats) it is refused. For DICOM see :mod:`acsnet.data.dicom`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from acsnet.data.dicom import DICOM_SUFFIXES, is_dicom, read_dicom
from acsnet.data.frame_paths import choose_frame, file_of
from acsnet.errors import DataError, InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}) | DICOM_SUFFIXES

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

# TIFF's tags: bits a sample, whether 0 is white, the highest value.
_BITS, _PHOTOMETRIC, _HIGHEST = 258, 262, 281
_WHITE_IS_ZERO = 0
# Pillow's modes of 32-bit integers and floats.
_DEEP = frozenset({"I", "F"})
# Pillow raises these for files that are truncated, broken, of another format, or suspiciously large; the last two for
# TIFF files whose tags are broken.
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, TypeError, KeyError)


def read_image(path: Path) -> UInt8Array:
    """Read an image of any color mode as RGB.

    Args:
        path: the file; "#3" behind a DICOM or TIFF file is its frame 3, counted from 0.

    Returns:
        (H, W, 3) uint8. Transparency is dropped, more than 8 bits are scaled to 8 as the module says.

    Raises:
        DataError: for a file that is missing, truncated, not an image, of 32-bit pixels, or of several frames where the
            path names none.
    """
    if is_dicom(path):
        return read_dicom(path)
    image = _open(path)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_to_8_bits(image))
    elif image.mode in _DEEP:
        # Pillow would clip them at 255 without a word, and nobody knows their range.
        raise DataError(f"{path} has 32-bit pixels of unknown range: save it with 8 or 16 bits a channel")
    return np.asarray(image.convert("RGB"))


def _to_8_bits(image: Image.Image) -> UInt8Array:
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    highest = _tag(tags, _HIGHEST) or 2 ** (_tag(tags, _BITS) or 16) - 1
    gray = (np.asarray(image).astype(np.int64) * 256 // (highest + 1)).clip(0, 255).astype(np.uint8)
    return 255 - gray if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else gray


def _tag(tags: Mapping[int, Any], tag: int) -> int:
    """A TIFF tag that counts something, or the first of several; 0 where it is not set, or nonsense."""
    value = tags.get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) and 0 < value <= 65535 else 0


def pixel_digest(image: UInt8Array) -> str:
    """SHA-256 of an image's size and pixels: 2x8 and 4x4 images may hold the same bytes."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def image_size(path: Path) -> tuple[int, int]:
    """Read (width, height) of an image that is not DICOM from its header alone.

    Raises:
        DataError: for a file that is missing or not an image.
    """
    with _open(path, load=False) as image:
        return image.size


def read_mask(path: Path) -> BoolArray:
    """Read one mask of any color mode: 1-bit, gray, palette, RGB or RGBA.

    Returns:
        (H, W) bool, True where the brightest channel is above half of its range; a mask that holds nothing above 1 is
        taken as labels 0 and 1, one of more than 8 bits that holds nothing above 255 as of 8. Transparency is dropped.

    Raises:
        DataError: for a file that is missing, truncated, not an image, or DICOM.
    """
    if is_dicom(path):
        raise DataError(f"{path} is a DICOM file, which no mask is read from: save it as PNG, BMP or TIFF")
    values = _brightest(_open(path))
    highest = values.max()
    return values > (0 if highest <= 1 else 127 if highest <= 255 else 32767)


def _brightest(image: Image.Image) -> npt.NDArray[Any]:
    if image.mode.startswith("I;16") or image.mode in _DEEP:
        return np.asarray(image)
    if image.mode in ("1", "L"):
        # Most masks, and several times as fast as the way by three channels.
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB")).max(axis=2)


def read_merged_mask(paths: Sequence[Path], size: tuple[int, ...]) -> BoolArray:
    """Read the masks of one image and merge them: foreground where any of them is.

    Args:
        paths: the mask files; none of them gives an empty mask.
        size: (height, width) of the image.

    Raises:
        DataError: for a file that cannot be read, or of another size than the image.
    """
    merged = np.zeros(size, dtype=np.bool_)
    for path in paths:
        mask = read_mask(path)
        if mask.shape != size:
            raise DataError(
                f"{path} is {mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]} (width x height): "
                "a mask needs the size of its image"
            )
        merged |= mask
    return merged


def resize_image(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Stretch an image (H, W, C) to ``size`` (height, width), averaging areas along each side that shrinks."""
    # OpenCV drops a single channel.
    return _stretch(image, size).reshape(*size, image.shape[2])


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Stretch a mask (H, W) to ``size``: foreground where at least half of the area is."""
    return _stretch(mask.astype(np.float32), size) >= 0.5


def to_channels(image: UInt8Array, channels: int) -> UInt8Array:
    """Bring an RGB image (H, W, 3) to 3 channels as it is, or to 1 as its luminance (H, W, 1)."""
    return image if channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def to_network_input(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalize a batch of images on its device: ``(pixel / 255 - mean) / std``.

    Args:
        images: (B, H, W, C) uint8.
        mean, std: one value for all channels, or one a channel.

    Returns:
        (B, C, H, W) float32 in channels-last memory format, which costs no copy from this layout.

    Raises:
        InputError: for another number of values than one, or one a channel.
    """
    for what, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, images.shape[-1]):
            raise InputError(
                f"{what} has {len(values)} values, images have {images.shape[-1]} channels: give one, or one a channel"
            )
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return (images * scale + shift).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and summand of the normalization, copied to a device once: each copy makes the host wait for a GPU."""
    # What is first made in inference mode could not be used in training.
    with torch.inference_mode(False):
        deviations = torch.tensor(std)
        scale, shift = 1.0 / (255.0 * deviations), -torch.tensor(mean) / deviations
        return scale.to(device), shift.to(device)


def _stretch(values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    # In two steps: where one side shrinks and the other grows, OpenCV's INTER_AREA averages along neither. A step that
    # changes nothing is a copy.
    smaller = (min(size[1], values.shape[1]), min(size[0], values.shape[0]))
    shrunk = cv2.resize(values, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def _open(path: Path, load: bool = True) -> Image.Image:
    try:
        image = Image.open(file_of(path))
        if isinstance(image, TiffImageFile):
            image.seek(choose_frame(path, image.n_frames))
        if load:
            image.load()
    except FileNotFoundError:
        raise DataError(f"there is no image {file_of(path)}") from None
    except _BROKEN as error:
        raise DataError(f"{path} cannot be read as an image ({error}): copy it again from its source") from error
    return image
