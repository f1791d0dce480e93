"""Reading images and masks, and bringing them to the network: one way for training, testing and predicting."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from acsnet.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

# Pillow raises these for files that are truncated, broken, of another format, or suspiciously large.
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_image(path: Path) -> UInt8Array:
    """Read an image of any colour mode as RGB.

    Returns:
        (H, W, 3) uint8. Transparency is dropped, 16-bit greys are scaled to 8 bits.

    Raises:
        DataError: for a file that is missing, truncated or not an image.
    """
    image = _open(path)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.asarray(image.convert("RGB"))


def read_mask(path: Path) -> BoolArray:
    """Read one mask of any colour mode: 1-bit, grey, palette, RGB or RGBA.

    Returns:
        (H, W) bool, True where the brightest channel is above half of its range; a mask that holds nothing above 1 is
        taken as labels 0 and 1. Transparency is dropped.

    Raises:
        DataError: for a file that is missing, truncated or not an image.
    """
    values = read_image(path).max(axis=2)
    return values > (127 if values.max() > 1 else 0)


def read_merged_mask(paths: Sequence[Path], size: tuple[int, int]) -> BoolArray:
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
    """Stretch an image (H, W, C) to ``size`` (height, width), averaging areas where it shrinks."""
    return cv2.resize(image, (size[1], size[0]), interpolation=_interpolation(image.shape[:2], size))


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Stretch a mask (H, W) to ``size``: foreground where at least half of the area is."""
    values = mask.astype(np.float32)
    return cv2.resize(values, (size[1], size[0]), interpolation=_interpolation(mask.shape, size)) >= 0.5


def to_channels(image: UInt8Array, channels: int) -> UInt8Array:
    """Bring an RGB image (H, W, 3) to 3 channels as it is, or to 1 as its luminance (H, W, 1)."""
    return image if channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def to_network_input(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalise a batch of images on its device: ``(pixel / 255 - mean) / std``.

    Args:
        images: (B, H, W, C) uint8.
        mean, std: one value for all channels, or one a channel.

    Returns:
        (B, C, H, W) float32 in channels-last memory format, which costs no copy from this layout.
    """
    scale = 1.0 / (255.0 * torch.tensor(std, device=images.device))
    shift = -torch.tensor(mean, device=images.device) / torch.tensor(std, device=images.device)
    return (images * scale + shift).permute(0, 3, 1, 2)


def _interpolation(source: Sequence[int], target: tuple[int, int]) -> int:
    shrinks = target[0] * target[1] < source[0] * source[1]
    return cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise DataError(f"there is no image {path}") from None
    except _BROKEN as error:
        raise DataError(f"{path} cannot be read as an image ({error}): copy it again from its source") from error
    return image
