"""Pictures of the report: previews with outlines and boxes, overlays of two images, and their difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.overlay import BOX_COLOR, SECOND_COLOR, TRUTH_COLOR, draw_boxes, draw_contours
from acsnet.curation.findings import Box
from acsnet.data.images import BoolArray, UInt8Array, read_image, read_merged_mask, resize_image, resize_mask
from acsnet.data.records import Record
from acsnet.errors import DataError

# Longer side of a preview.
PREVIEW_SIDE_PIXELS = 240
# Differences of this many gray levels or more have the brightest color. Marks, letters and another scan are visible at
# this scale, and compression artifacts remain dark.
BRIGHTEST_DIFFERENCE_GRAY_LEVELS = 96
# Color of the area that only one of two images covers.
_NOT_SHARED_COLOR = (225, 225, 222)


@dataclass(frozen=True)
class LoadedScan:
    """An image and its mask as read from their files.

    Attributes:
        image: (H, W, 3) uint8, or None if it cannot be read.
        mask: (H, W) bool; without foreground if it cannot be read.
        problem: description of the problem, or "" if everything can be read.
    """

    image: UInt8Array | None
    mask: BoolArray
    problem: str = ""


@dataclass(frozen=True)
class Preview:
    """An image and its mask reduced to the size shown in the report.

    Attributes:
        image: (h, w, 3) uint8, the longer side at most :data:`PREVIEW_SIDE_PIXELS`.
        mask: (h, w) bool.
        original_size: (height, width) of the original image.
    """

    image: UInt8Array
    mask: BoolArray
    original_size: tuple[int, int]


def read_scan(record: Record, readable: bool) -> LoadedScan:
    """Read an image and its mask; problems are returned in ``problem`` instead of raised.

    Args:
        record: the record of the image.
        readable: False if the image is known to be unreadable; it is then not opened.
    """
    unreadable = LoadedScan(None, np.zeros((0, 0), np.bool_), "The image cannot be read.")
    if not readable:
        return unreadable
    try:
        image = read_image(record.image)
    except DataError:
        return unreadable
    try:
        return LoadedScan(image, read_merged_mask(record.masks, image.shape[:2]))
    except DataError:
        empty = np.zeros(image.shape[:2], np.bool_)
        return LoadedScan(image, empty, "The mask cannot be read, or has another size than the image.")


def make_preview(scan: LoadedScan) -> Preview | None:
    """Reduce a scan to the size of a preview; return None if it has no image."""
    if scan.image is None:
        return None
    height, width = scan.image.shape[:2]
    scale = min(1.0, PREVIEW_SIDE_PIXELS / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return Preview(resize_image(scan.image, size), resize_mask(scan.mask, size), (height, width))


def draw_marks(preview: Preview, boxes: Sequence[Box]) -> UInt8Array:
    """Draw the outline of the mask and boxes, which are in pixels of the original image, on a preview."""
    vertical = preview.image.shape[0] / preview.original_size[0]
    horizontal = preview.image.shape[1] / preview.original_size[1]
    scaled = [(box[0] * horizontal, box[1] * vertical, box[2] * horizontal, box[3] * vertical) for box in boxes]
    return draw_boxes(draw_contours(preview.image, preview.mask, TRUTH_COLOR), scaled, BOX_COLOR)


@dataclass(frozen=True)
class WarpedScan:
    """A second image warped onto the preview of the first.

    Attributes:
        image: (H, W, 3) uint8, the second image; its border pixels are repeated outside of it.
        mask: (H, W) bool, the mask of the second image.
        shared: (H, W) bool, the area that both images cover.
    """

    image: UInt8Array
    mask: BoolArray
    shared: BoolArray


def warp_onto(first: Preview, second: LoadedScan, transform: npt.NDArray[np.float64]) -> WarpedScan | None:
    """Warp the second image onto the preview of the first.

    Args:
        first: preview of the first image.
        second: the second image.
        transform: (2, 3) affine map from pixel coordinates (x, y) of the first original image to those of the second.

    Returns:
        The warped image, or None if the second image cannot be read or the map is not finite.
    """
    if second.image is None or not np.isfinite(transform).all():
        return None
    size = first.mask.shape
    preview_to_second = transform @ _to_original(first.original_size, size)
    # Number of pixels of the second image per pixel of the preview, horizontally and vertically. If it is above 1, they
    # are averaged first, because OpenCV does not average when it warps.
    steps = np.maximum(1.0, np.linalg.norm(preview_to_second[:, :2], axis=1))
    height, width = second.mask.shape
    reduced = (max(1, round(height / steps[1])), max(1, round(width / steps[0])))
    second_to_reduced = np.linalg.inv(_to_original((height, width), reduced))
    preview_to_reduced = second_to_reduced[:2] @ np.vstack((preview_to_second, (0, 0, 1)))
    return WarpedScan(
        _warp(resize_image(second.image, reduced), preview_to_reduced, size, cv2.BORDER_REPLICATE),
        _warp(resize_mask(second.mask, reduced).astype(np.float32), preview_to_reduced, size) >= 0.5,
        _warp(np.ones(reduced, np.float32), preview_to_reduced, size) >= 0.5,
    )


def _to_original(original: tuple[int, ...], resized: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return the (3, 3) map from pixel coordinates of a resized image to those of the original."""
    # Coordinates are those of pixel centers, so pixel 0 extends from -0.5 to 0.5.
    vertical, horizontal = original[0] / resized[0], original[1] / resized[1]
    return np.array(((horizontal, 0, horizontal / 2 - 0.5), (0, vertical, vertical / 2 - 0.5), (0, 0, 1)))


def _warp(
    values: npt.NDArray[Any],
    transform: npt.NDArray[np.float64],
    size: tuple[int, ...],
    border: int = cv2.BORDER_CONSTANT,
) -> npt.NDArray[Any]:
    # The map leads from pixels of the result to the pixels they are interpolated from.
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, transform, (size[1], size[0]), flags=flags, borderMode=border)


def draw_overlay(first: Preview, second: WarpedScan) -> UInt8Array:
    """Draw the warped second image with the outlines of both masks; areas it does not cover are light gray."""
    picture = second.image.copy()
    picture[~second.shared] = _NOT_SHARED_COLOR
    return draw_contours(draw_contours(picture, first.mask, TRUTH_COLOR), second.mask, SECOND_COLOR)


def draw_difference(first: Preview, second: WarpedScan) -> UInt8Array:
    """Draw the absolute difference per pixel: black for 0, light gray if only one image covers the pixel."""
    difference = cv2.absdiff(first.image, second.image).max(axis=2).astype(np.float32)
    scaled = (difference * (255 / BRIGHTEST_DIFFERENCE_GRAY_LEVELS)).clip(0, 255).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    picture[~second.shared] = _NOT_SHARED_COLOR
    return picture
