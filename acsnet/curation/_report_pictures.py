"""The pictures of a report: small, with what was found drawn on them."""

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

# Pixels of the longer side.
SIDE = 240
# The difference of gray values that is drawn brightest: what matters (marks, letters, another scan) stands out, and
# what another compression does stays dark.
BRIGHTEST_DIFFERENCE = 96
# Where only one of two images has pixels.
_OUTSIDE = (225, 225, 222)


@dataclass(frozen=True)
class Scan:
    """An image as far as it can be read.

    Attributes:
        image: (H, W, 3) uint8, or None where it cannot be read.
        mask: (H, W) bool; empty where it cannot be read.
        problem: what cannot be read, or "".
    """

    image: UInt8Array | None
    mask: BoolArray
    problem: str = ""


@dataclass(frozen=True)
class Photo:
    """A scan as small as it is shown.

    Attributes:
        image: (h, w, 3) uint8, the longer side at most :data:`SIDE`.
        mask: (h, w) bool.
        size: (height, width) of the whole image.
    """

    image: UInt8Array
    mask: BoolArray
    size: tuple[int, int]


def read_scan(record: Record, readable: bool) -> Scan:
    """Read an image and its mask; what cannot be read is told in ``problem``."""
    unreadable = Scan(None, np.zeros((0, 0), np.bool_), "The image cannot be read.")
    if not readable:
        return unreadable
    try:
        image = read_image(record.image)
    except DataError:
        return unreadable
    try:
        return Scan(image, read_merged_mask(record.masks, image.shape[:2]))
    except DataError:
        empty = np.zeros(image.shape[:2], np.bool_)
        return Scan(image, empty, "The mask cannot be read, or is of another size.")


def shrink(scan: Scan) -> Photo | None:
    """Make the small picture of a scan; None where there is no image."""
    if scan.image is None:
        return None
    height, width = scan.image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return Photo(resize_image(scan.image, size), resize_mask(scan.mask, size), (height, width))


def draw_marks(photo: Photo, boxes: Sequence[Box]) -> UInt8Array:
    """The small image with the outline of its mask and with boxes, which are given in pixels of the whole image."""
    vertical, horizontal = photo.image.shape[0] / photo.size[0], photo.image.shape[1] / photo.size[1]
    small = [(box[0] * horizontal, box[1] * vertical, box[2] * horizontal, box[3] * vertical) for box in boxes]
    return draw_boxes(draw_contours(photo.image, photo.mask, TRUTH_COLOR), small, BOX_COLOR)


@dataclass(frozen=True)
class Laid:
    """A second image laid over the first, in the small picture of the first.

    Attributes:
        image: (H, W, 3) uint8, the second image; its border goes on where it does not reach.
        mask: (H, W) bool, the mask of the second.
        shared: (H, W) bool, where both have pixels.
    """

    image: UInt8Array
    mask: BoolArray
    shared: BoolArray


def lay_over(first: Photo, second: Scan, transform: npt.NDArray[np.float64]) -> Laid | None:
    """Lay the second image over the first.

    Args:
        first, second: the two.
        transform: (2, 3) affine map of pixel coordinates (x, y) of the whole first image to those of the second.

    Returns:
        The second image, or None where it cannot be read or the map is not finite.
    """
    if second.image is None or not np.isfinite(transform).all():
        return None
    size = first.mask.shape
    whole = transform @ _from_small(first.size, size)
    # Pixels of the second to one of the picture, horizontally and vertically: where there are several they are
    # averaged first, which OpenCV's warp does not do.
    steps = np.maximum(1.0, np.linalg.norm(whole[:, :2], axis=1))
    height, width = second.mask.shape
    reduced = (max(1, round(height / steps[1])), max(1, round(width / steps[0])))
    to_reduced = np.linalg.inv(_from_small((height, width), reduced))[:2] @ np.vstack((whole, (0, 0, 1)))
    return Laid(
        _warp(resize_image(second.image, reduced), to_reduced, size, cv2.BORDER_REPLICATE),
        _warp(resize_mask(second.mask, reduced).astype(np.float32), to_reduced, size) >= 0.5,
        _warp(np.ones(reduced, np.float32), to_reduced, size) >= 0.5,
    )


def _from_small(size: tuple[int, ...], small: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The (3, 3) map of pixel coordinates of a resized image to those of the whole one."""
    # Pixel 0 reaches from -0.5 to 0.5.
    vertical, horizontal = size[0] / small[0], size[1] / small[1]
    return np.array(((horizontal, 0, horizontal / 2 - 0.5), (0, vertical, vertical / 2 - 0.5), (0, 0, 1)))


def _warp(
    values: npt.NDArray[Any],
    transform: npt.NDArray[np.float64],
    size: tuple[int, ...],
    border: int = cv2.BORDER_CONSTANT,
) -> npt.NDArray[Any]:
    # The map leads from the picture to where its pixels are fetched.
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, transform, (size[1], size[0]), flags=flags, borderMode=border)


def draw_laid(first: Photo, laid: Laid) -> UInt8Array:
    """The second image over the first, light gray where it does not reach, with the outlines of both masks."""
    picture = laid.image.copy()
    picture[~laid.shared] = _OUTSIDE
    return draw_contours(draw_contours(picture, first.mask, TRUTH_COLOR), laid.mask, SECOND_COLOR)


def draw_difference(first: Photo, laid: Laid) -> UInt8Array:
    """How far the two differ at each pixel: black where they do not, light gray where only one has pixels."""
    difference = cv2.absdiff(first.image, laid.image).max(axis=2).astype(np.float32)
    bright = (difference * (255 / BRIGHTEST_DIFFERENCE)).clip(0, 255).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(bright, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    picture[~laid.shared] = _OUTSIDE
    return picture
