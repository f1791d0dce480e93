"""Images of any kind as RGB pixels: files, and images of Pillow, NumPy and PyTorch.

One rule for all: an image has the pixels that it would have if it were saved as a file without loss and read by its
path (:mod:`acsnet.data.images`). Floating-point values stand for 0 to 255 divided by 255.
"""

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from acsnet._utils.file_kinds import MAX_PIXELS, check_pixels
from acsnet.data.images import UInt8Array, read_image
from acsnet.data.pillow_images import LOWEST_OF_16_BITS, PILLOW_ERRORS, load_upright, to_rgb, too_dark
from acsnet.errors import DataError, InputError

#: An image in any form that :func:`as_rgb` takes.
AnyImage: TypeAlias = str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | torch.Tensor

_CHANNELS = (1, 3, 4)
_EXPECTED = "expected the path of a file, a Pillow image, a NumPy array or a PyTorch tensor"
_RANGES = "uint8 (0 to 255), uint16 (0 to 65535) or floating-point numbers (0 to 1)"


def as_rgb(image: AnyImage, name: str = "the image") -> UInt8Array:
    """Return the pixels of an image of any kind as RGB.

    Args:
        image: one of

            - the path of a file, or of a frame such as "cine.dcm#3" (:func:`acsnet.data.images.read_image`);
            - a Pillow image of any mode that is also read from files; the orientation of EXIF is applied;
            - a NumPy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4);
            - a PyTorch tensor (H, W) or (C, H, W) with 1, 3 or 4 channels, on any device.

            The values of arrays and tensors are uint8; uint16, of which the high byte counts, as in PNG files of 16
            bits; or floating-point numbers from 0 to 1. Colors are RGB, and a fourth channel is transparency, which is
            dropped.
        name: name of the image in messages.

    Returns:
        (H, W, 3) uint8; an array of this kind is returned unchanged.

    Raises:
        DataError: if a file cannot be read, a Pillow image is damaged or has several frames, the range of the pixels is
            not known, or an image has its shape in its transparency only or more pixels than a file may have.
        InputError: if the image is of another type, or an array has another shape or type, no pixels, masked values, or
            values that are not finite or out of range.

    Example:
        >>> import numpy as np
        >>> from acsnet.data import as_rgb
        >>> gray = np.array([[0.0, 0.5, 1.0]])
        >>> as_rgb(gray)[..., 0], as_rgb(gray).shape
        (array([[  0, 128, 255]], dtype=uint8), (1, 3, 3))
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(os.fsdecode(image)))
    if isinstance(image, Image.Image):
        return _of_pillow(image, name)
    if isinstance(image, torch.Tensor):
        return _of_pixels(_to_array(image, name), name)
    if isinstance(image, np.ndarray):
        return _of_pixels(_check_array(image, name), name)
    raise InputError(f"{name} is of type {type(image).__name__}: {_EXPECTED}")


def _of_pillow(image: Image.Image, name: str) -> UInt8Array:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{name} has {frames} frames: choose one by image.seek(number), and give image.copy()")
    check_pixels(name, *image.size)
    if 0 in image.size:
        raise InputError(f"{name} has no pixels: its size is {image.size[0]}x{image.size[1]} (width x height)")
    try:
        return to_rgb(load_upright(image), name)
    except PILLOW_ERRORS as error:
        raise DataError(f"{name} cannot be decoded ({error}): open it again from its source") from error


def _check_array(image: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if isinstance(image, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array: fill what is masked by image.filled(0)")
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] in _CHANNELS):
        return image
    shapes = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    advice = ""
    if image.ndim == 3 and image.shape[0] in _CHANNELS:
        advice = "; move the channels to the end by image.transpose(1, 2, 0)"
    raise _wrong_shape(name, "an array", image.shape, shapes, advice)


def _to_array(image: torch.Tensor, name: str) -> npt.NDArray[Any]:
    """Return a tensor as an array with its channels at the end."""
    if image.is_nested or image.is_quantized or image.layout != torch.strided or image.is_meta:
        raise InputError(f"{name} is a nested, quantized, sparse or meta tensor: expected a dense one with values")
    if image.ndim != 2 and (image.ndim != 3 or image.shape[0] not in _CHANNELS):
        advice = ""
        if image.ndim == 3 and image.shape[2] in _CHANNELS:
            advice = "; move the channels to the front by image.permute(2, 0, 1)"
        shapes = "(H, W) or (C, H, W) with 1, 3 or 4 channels"
        raise _wrong_shape(name, "a tensor", tuple(image.shape), shapes, advice)
    image = image.detach().cpu().resolve_conj().resolve_neg()
    # NumPy has no bfloat16 and no float8.
    image = image.float() if image.is_floating_point() and image.dtype != torch.float64 else image
    return (image if image.ndim == 2 else image.permute(1, 2, 0)).numpy()


def _wrong_shape(name: str, kind: str, shape: tuple[int, ...], shapes: str, advice: str) -> InputError:
    if len(shape) == 4:
        advice = "; several images are given to Predictor.predict, or one by one"
    return InputError(f"{name} is {kind} of shape {shape}: expected {shapes}{advice}")


def _of_pixels(values: npt.NDArray[Any], name: str) -> UInt8Array:
    """Return values (H, W) or (H, W, C), C = 1, 3 or 4, as RGB."""
    if values.size == 0:
        raise InputError(f"{name} has no pixels: its shape is {values.shape}")
    height, width = values.shape[:2]
    if height * width > MAX_PIXELS:
        raise DataError(f"{name} has {width}x{height} pixels; the limit is {MAX_PIXELS}: downscale it")
    pixels = _scale(values, name)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 4:
        return to_rgb(Image.fromarray(np.ascontiguousarray(pixels)), name)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _scale(values: npt.NDArray[Any], name: str) -> UInt8Array:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        if 0 < values.max() < 256 * LOWEST_OF_16_BITS:
            raise DataError(too_dark(name))
        return (values >> 8).astype(np.uint8)
    if values.dtype.kind != "f":
        raise InputError(f"{name} has values of type {values.dtype}: expected {_RANGES}")
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite([lowest, highest]).all():
        raise InputError(f"{name} has values that are NaN or infinite: expected {_RANGES}")
    if lowest < 0 or highest > 1:
        raise InputError(
            f"{name} has values from {lowest:.6g} to {highest:.6g}: floating-point numbers have to be from 0 to 1, "
            "without the normalization of a network; divide values up to 255 by 255, clip what resizing overshot"
        )
    return np.rint(values * np.float32(255)).astype(np.uint8)
