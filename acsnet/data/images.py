"""Reading, resizing and normalization of images and masks, the same for training, testing and predicting.

Formats: PNG, JPEG, BMP, TIFF and DICOM, by the first bytes of a file, not by its name. An image of more than
``MAX_PIXELS`` pixels is refused before it is decoded (:mod:`acsnet._utils.file_kinds`).

Images with more than 8 bits are scaled to 8 by the range that the file declares, never by the range of its pixels, so
that equal gray values stay equal across images. The range is 16 bits for PNG, and ``MaxSampleValue`` or otherwise
``BitsPerSample`` for TIFF; a value v of a range up to M becomes ``256 * v // (M + 1)``. Files that declare no range
(32-bit integers, floats) are refused, and so are files of 16 bits without a value above 12 bits, unless a tag says so:
they are more likely images of 8 or 12 bits than black ones. For DICOM see :mod:`acsnet.data.dicom`, for frames of
videos :mod:`acsnet.data.video`.
"""

import hashlib
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from acsnet._utils.file_kinds import (
    MAX_PIXELS,
    PILLOW_FORMATS,
    SUPPORTED_FORMATS,
    check_file,
    check_pixels,
    file_format,
    unsupported_format,
)
from acsnet._utils.mask_values import find_foreground
from acsnet.data.dicom import is_dicom, read_dicom, read_dicom_facts
from acsnet.data.frame_paths import choose_frame, file_of, split_frame
from acsnet.data.pillow_images import (
    MODES_OF_32_BITS,
    PILLOW_ERRORS,
    has_16_bit_colors,
    is_sideways,
    load_upright,
    to_rgb,
)
from acsnet.data.video import is_video, read_video_facts, read_video_frame
from acsnet.errors import DataError, InputError

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

# Pillow's own limit is higher, and its warning would come before the error of this module.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(path: Path) -> UInt8Array:
    """Read an image of any color mode as RGB.

    Args:
        path: Image file; a path that ends in "#3" is frame 3 of a DICOM or TIFF file or a video, counted from 0.

    Returns:
        (H, W, 3) uint8. Transparency is dropped, and more than 8 bits are scaled to 8 as the module describes.

    Raises:
        DataError: If the file is missing, truncated, not an image or animated, if the range of its pixels is not known,
            if its shape is in its transparency only, or if it has several frames and the path names none.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data.images import read_image
        >>> from acsnet.phantom import write_phantoms
        >>> root = Path(tempfile.mkdtemp())
        >>> write_phantoms(root, {"benign": 1}, size=(64, 96), vary_size=False, progress=False)
        >>> read_image(root / "benign" / "benign (1).png").shape
        (64, 96, 3)
    """
    if is_dicom(path):
        return read_dicom(path)
    if is_video(path):
        return read_video_frame(path)
    return to_rgb(_open(path), path)


def pixel_digest(image: UInt8Array) -> str:
    """Return the SHA-256 of the size and pixels of an image; the size, since a 2x8 and a 4x4 image may share bytes."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an image other than DICOM, from its header alone.

    Raises:
        DataError: If the file is missing or is not an image.
    """
    with _open(path, load=False) as image:
        width, height = image.size
        return (height, width) if is_sideways(image) else (width, height)


def frame_count(path: Path) -> int:
    """Return the number of frames of a DICOM file, a TIFF file or a video; 1 for all other images.

    Raises:
        DataError: If the file is missing or is not an image, or an animation of another format.
    """
    if is_video(path):
        return read_video_facts(path).frames
    if is_dicom(path):
        return read_dicom_facts(path).frames
    is_tiff = file_format(path) == "TIFF"
    with _open(path.with_name(f"{path.name}#0") if is_tiff else path, load=False) as image:
        return int(image.n_frames) if isinstance(image, TiffImageFile) else 1


def read_mask(path: Path) -> BoolArray:
    """Read one mask of any color mode: 1-bit, gray, palette, RGB or RGBA.

    The value of a pixel is that of its brightest channel. Values above half of the range are foreground. A 16-bit mask
    without values above 255 is read as an 8-bit one. In a darker mask of 0 and one other value, or of the labels 0, 1,
    ..., K, all values above 0 are foreground. Transparency is dropped.

    Returns:
        (H, W) bool.

    Raises:
        DataError: If the file is missing, truncated, not an image, or DICOM, or if its foreground is not known: it is
            dark and has other values, has the labels 0 to K as well as 255, has regions of several values, has many
            gray values as a scan has, has several colors and no background, or has a shape in its transparency or its
            palette only.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from acsnet.data.images import read_mask
        >>> path = Path(tempfile.mkdtemp()) / "mask.png"
        >>> Image.fromarray(np.array([[0, 255], [100, 200]], np.uint8)).save(path)
        >>> read_mask(path).tolist()
        [[False, True], [False, True]]
    """
    check_file(file_of(path))
    if is_dicom(path):
        raise DataError(f"{path} is a DICOM file, and masks are not read from DICOM: save it as PNG, BMP or TIFF")
    image = _open(path)
    values = _brightest(image)
    if has_16_bit_colors(image) and not values.any():
        raise DataError(f"{path} has colors of 16 bits and no value above 255, which are not read: save it with 8 bits")
    return find_foreground(path, image, values)


def _brightest(image: Image.Image) -> npt.NDArray[Any]:
    if image.mode.startswith("I;16") or image.mode in MODES_OF_32_BITS:
        return np.asarray(image)
    if image.mode in ("1", "L"):
        # Most masks are of these modes, and this is several times faster than three channels.
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB")).max(axis=2)


def read_merged_mask(paths: Sequence[Path], size: tuple[int, ...]) -> BoolArray:
    """Read the masks of one image and return their union.

    Args:
        paths: Mask files; without any, the mask is empty.
        size: (height, width) of the image.

    Returns:
        (H, W) bool, True where any of the masks is foreground.

    Raises:
        DataError: If a file cannot be read, or its size differs from that of the image.
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
    """Resize an image (H, W, C) to ``size`` (height, width), averaging areas along each side that shrinks.

    Example:
        >>> import numpy as np
        >>> from acsnet.data.images import resize_image
        >>> resize_image(np.full((300, 400, 3), 90, np.uint8), (256, 256)).shape
        (256, 256, 3)
    """
    # OpenCV drops the channel axis of a single channel.
    return resize_values(image, size).reshape(*size, image.shape[2])


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Resize a mask (H, W) to ``size`` (height, width): True where at least half of the area is foreground."""
    return resize_values(mask.astype(np.float32), size) >= 0.5


def resize_values(values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize numbers (H, W) or (H, W, C) to ``size`` (height, width), averaging areas along each side that shrinks."""
    # In two steps: if one side shrinks and the other grows, OpenCV's INTER_AREA averages along neither. A step that
    # changes nothing is a copy.
    smaller = (min(size[1], values.shape[1]), min(size[0], values.shape[0]))
    shrunk = cv2.resize(values, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def to_channels(image: UInt8Array, channels: int) -> UInt8Array:
    """Return an RGB image (H, W, 3) unchanged for 3 channels, or its luminance (H, W, 1) for 1 channel."""
    return image if channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def to_network_input(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalize a batch of images on its device: ``(pixel / 255 - mean) / std``.

    Args:
        images: (B, H, W, C) uint8.
        mean: one value for all channels, or one per channel, on the scale of 0 to 1.
        std: the standard deviations, likewise.

    Returns:
        (B, C, H, W) float32 in channels-last memory format, which costs no copy from this layout.

    Raises:
        InputError: if the number of values is neither one nor the number of channels.
    """
    for what, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, images.shape[-1]):
            raise InputError(
                f"{what} has {len(values)} values, images have {images.shape[-1]} channels: expected one value, or one "
                "per channel"
            )
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return (images * scale + shift).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift of the normalization, copied to a device once: each copy makes the host wait for a GPU."""
    # A tensor made in inference mode could not be used in training.
    with torch.inference_mode(False):
        deviations = torch.tensor(std)
        scale, shift = 1.0 / (255.0 * deviations), -torch.tensor(mean) / deviations
        return scale.to(device), shift.to(device)


def _open(path: Path, load: bool = True) -> Image.Image:
    file = file_of(path)
    check_file(file)
    try:
        # Other formats that Pillow knows have other rules, and some start other programs.
        image: Image.Image = Image.open(file, formats=PILLOW_FORMATS)
        try:
            return load_upright(_choose_frame(path, image)) if load else _choose_frame(path, image)
        except BaseException:
            image.close()
            raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path} is far larger than the limit of {MAX_PIXELS} pixels ({error}): downscale it"
        ) from error
    except PILLOW_ERRORS as error:
        raise DataError(f"{path} cannot be read as an image ({_reason(file, error)}") from error


def _choose_frame(path: Path, image: Image.Image) -> Image.Image:
    """Select the frame that a path names, after a check of the sizes in its header."""
    file, frame = split_frame(path)
    frames = image.n_frames if isinstance(image, TiffImageFile | PngImageFile) else 1
    check_pixels(file, *image.size, frames)
    if isinstance(image, TiffImageFile):
        image.seek(choose_frame(path, frames))
        check_pixels(file, *image.size)
    elif frames > 1:
        raise DataError(f"{file} is an animation of {frames} frames: save each frame as a file of its own")
    elif frame is not None:
        raise DataError(f"{path}: {file.name} is a {image.format} file, which has no frames: name the file without #")
    return image


def _reason(file: Path, error: Exception) -> str:
    """Return the reason why Pillow refuses a file, and the advice."""
    if isinstance(error, UnidentifiedImageError):
        advice, other = f"convert it to a supported format ({SUPPORTED_FORMATS})", unsupported_format(file)
        if other is not None:
            return f"it is a {other} file): {advice}"
        if file.stat().st_size == 0:
            return "it is empty): copy it again from its source"
        if file_format(file) is not None:
            return f"it is damaged, or its pixels are of a type that is not read): {advice}, or copy it again"
        return f"its format is unknown): {advice}, or copy it again from its source if it is damaged"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}): check that it is a file that you may read"
    return f"{error}): copy it again from its source"
