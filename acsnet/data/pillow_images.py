"""Images of Pillow as RGB pixels, the same for files that are read by path and for images that a caller has opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from acsnet._utils.mask_values import is_shape_in_alpha
from acsnet.errors import DataError

UInt8Array = npt.NDArray[np.uint8]

# Pillow's modes for 32-bit integers and floats.
MODES_OF_32_BITS = frozenset({"I", "F"})
# Pillow raises these for truncated and damaged files; the last two for TIFF files with damaged tags.
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, TypeError, KeyError)
# An image of 16 bits that is darker than this, on the scale of 8 bits, has 12 bits or fewer.
LOWEST_OF_16_BITS = 16
# TIFF tags.
_TAG_BITS_PER_SAMPLE = 258
_TAG_PHOTOMETRIC = 262
_TAG_MAX_SAMPLE_VALUE = 281
_TAG_ORIENTATION = 274
_TAG_SAMPLE_FORMAT = 339
# The value of the sample format tag for signed integers.
_SIGNED = 2
# A mark in the information of an image whose colors Pillow has cut to their high bytes.
_HAS_16_BIT_COLORS = "acsnet 16-bit colors"
_EXIF_KEYS = frozenset({"exif", "Raw profile type exif"})
# Values of the orientation tag: upright, and those in which height and width are exchanged.
_UPRIGHT = 1
_SIDEWAYS = frozenset({5, 6, 7, 8})
# The value of the photometric tag for images in which 0 is white.
_WHITE_IS_ZERO = 0


def load_upright(image: Image.Image) -> Image.Image:
    """Load the pixels of an image, and apply the orientation of EXIF.

    Args:
        image: the image; a mark for :func:`to_rgb` is added to its ``info``.

    Raises:
        OSError, SyntaxError, ValueError, TypeError, KeyError: for damaged files (``PILLOW_ERRORS``).
    """
    # The decoder's name of the stored pixels is lost by loading, so that the first time counts.
    has_16_bits = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    image.load()
    image.info.setdefault(_HAS_16_BIT_COLORS, has_16_bits and not image.mode.startswith("I"))
    return image if _orientation(image) == _UPRIGHT else ImageOps.exif_transpose(image)


def to_rgb(image: Image.Image, source: Path | str) -> UInt8Array:
    """Return the pixels of a loaded image of any color mode as RGB, (H, W, 3) uint8.

    Args:
        image: result of :func:`load_upright`.
        source: the file, or the name of the image, for messages.

    Raises:
        DataError: if the range of the pixels is not known, or the image has its shape in its transparency only.
    """
    _check_range(image, source)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_scale_16_bits(source, image))
    elif is_shape_in_alpha(image):
        raise DataError(f"{source} has one color and a shape in its transparency, which is not read: save it without")
    pixels = np.asarray(image.convert("RGB"))
    if has_16_bit_colors(image) and pixels.max() < LOWEST_OF_16_BITS:
        raise DataError(too_dark(source))
    return pixels


def _check_range(image: Image.Image, source: Path | str) -> None:
    """Refuse pixels that Pillow would silently clip at 255, or read without their sign."""
    tags = _tags(image)
    is_signed = _count_tag(tags, _TAG_SAMPLE_FORMAT) == _SIGNED
    if is_signed or image.mode in MODES_OF_32_BITS:
        bits = _count_tag(tags, _TAG_BITS_PER_SAMPLE) or 32
        kind = f"signed {bits}" if bits < 32 else "32"
        raise DataError(f"{source} has {kind}-bit pixels of unknown range: save it with 8 or 16 bits per channel")


def has_16_bit_colors(image: Image.Image) -> bool:
    """Return whether Pillow has cut the colors of an image from :func:`load_upright` to their high bytes."""
    return bool(image.info.get(_HAS_16_BIT_COLORS))


def is_sideways(image: Image.Image) -> bool:
    """Return whether the orientation of EXIF exchanges height and width."""
    return _orientation(image) in _SIDEWAYS


def too_dark(source: Path | str) -> str:
    """Return the message about an image of 16 bits that may have fewer."""
    return (
        f"{source} has 16 bits per channel and no value above {256 * LOWEST_OF_16_BITS - 1}, so that it may have fewer "
        "bits: save it with 8 bits, or scale its values to 0 to 65535"
    )


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return image.tag_v2 if isinstance(image, TiffImageFile) else {}


def _scale_16_bits(source: Path | str, image: Image.Image) -> UInt8Array:
    tags = _tags(image)
    values = np.asarray(image)
    has_range = _count_tag(tags, _TAG_MAX_SAMPLE_VALUE) or (_count_tag(tags, _TAG_BITS_PER_SAMPLE) or 16) < 16
    if not has_range and 0 < values.max() < 256 * LOWEST_OF_16_BITS:
        raise DataError(too_dark(source))
    highest = _count_tag(tags, _TAG_MAX_SAMPLE_VALUE) or 2 ** (_count_tag(tags, _TAG_BITS_PER_SAMPLE) or 16) - 1
    gray = (values.astype(np.int64) * 256 // (highest + 1)).clip(0, 255).astype(np.uint8)
    return 255 - gray if tags.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO else gray


def _count_tag(tags: Mapping[int, Any], tag: int) -> int:
    """Return a TIFF tag that is a positive integer, or the first of several; 0 if it is missing or invalid."""
    value = tags.get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) and 0 < value <= 65535 else 0


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image; Pillow has applied that of TIFF files already."""
    # Without this check, Pillow would load the pixels of a PNG file in search of it.
    if isinstance(image, TiffImageFile) or not _EXIF_KEYS & image.info.keys():
        return _UPRIGHT
    return image.getexif().get(_TAG_ORIENTATION, _UPRIGHT)
