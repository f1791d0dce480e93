"""Overlays that a scanner burns into an image: pixels of one gray value or color with edges sharper than any echo.

The point-spread function of the scanner blurs echoes, so that their gray value changes over several pixels. Characters
and marks are drawn afterwards, in one constant gray value, and change within one pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.curation.findings import Box
from acsnet.data.images import UInt8Array

# Scanners do not draw overlays darker than this.
_MIN_INK_GRAY_LEVEL = 140
# Difference to the darkest neighboring pixel: at most edges of ink, and at the faintest edges, over bright tissue.
_CLEAR_EDGE_GRAY_LEVELS = 70
_FAINT_EDGE_GRAY_LEVELS = 45
# Range of one ink around its most common gray value: scaling brightens edges by ringing, and darkens them by blur.
_MAX_BRIGHTER_GRAY_LEVELS = 25
_MAX_DARKER_GRAY_LEVELS = 30
# Edge pixels are counted in a window of this many gray values to each side to find the most common gray value.
_WINDOW_RADIUS_GRAY_LEVELS = 12
_MAX_INKS = 3
_MIN_EDGE_PIXELS = 20

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ink:
    """The pixels of one ink, and the connected components of its sharpest pixels (one array entry per component).

    Attributes:
        pixels: (H, W) uint8, 255 at possible pixels of the ink including soft edges, otherwise 0.
        contrast_map: (H, W) uint8, difference to the darkest pixel within two pixels, for the whole image.
        left, top, width, height: (N,) bounding boxes in pixels.
        contrast: (N,) mean of ``contrast_map`` over the component, in gray levels.
    """

    pixels: UInt8Array
    contrast_map: UInt8Array
    left: IntArray
    top: IntArray
    width: IntArray
    height: IntArray
    contrast: npt.NDArray[np.float64]


def find_inks(image: UInt8Array) -> list[Ink]:
    """Find the inks of an image (H, W, 3), the one with the most edge pixels first."""
    brightness = _brightness(image)
    edge = cv2.subtract(brightness, cv2.erode(brightness, _square(3)))
    edge[brightness < _MIN_INK_GRAY_LEVEL] = 0
    near_edge = cv2.dilate(cv2.inRange(edge, _FAINT_EDGE_GRAY_LEVELS, 255), _square(3))
    contrast_map = cv2.subtract(brightness, cv2.erode(brightness, _square(5)))
    gray_levels = _find_gray_levels(brightness[edge >= _CLEAR_EDGE_GRAY_LEVELS])
    bright_edge = cv2.bitwise_and(brightness, near_edge)
    return [_make_ink(bright_edge, contrast_map, gray_level) for gray_level in gray_levels]


def _brightness(image: UInt8Array) -> UInt8Array:
    """Return the brightest channel per pixel: colored ink is as bright in one channel as white ink is in all."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue)


def _square(side: int) -> UInt8Array:
    return np.ones((side, side), dtype=np.uint8)


def _find_gray_levels(edge_values: UInt8Array) -> list[int]:
    """Return the gray values of the inks: the peaks of the histogram of edge pixels, the most common first."""
    counts = np.bincount(edge_values, minlength=256)
    gray_levels: list[int] = []
    while len(gray_levels) < _MAX_INKS:
        window = np.ones(2 * _WINDOW_RADIUS_GRAY_LEVELS + 1, dtype=np.int64)
        window_counts = np.convolve(counts, window, mode="same")
        gray_level = int(window_counts.argmax())
        if window_counts[gray_level] < _MIN_EDGE_PIXELS:
            break
        gray_levels.append(gray_level)
        # Pixels in this window belong to the ink just found.
        counts[max(gray_level - _WINDOW_RADIUS_GRAY_LEVELS, 0) : gray_level + _WINDOW_RADIUS_GRAY_LEVELS + 1] = 0
    return gray_levels


def _make_ink(bright_edge: UInt8Array, contrast_map: UInt8Array, gray_level: int) -> Ink:
    brightest = min(gray_level + _MAX_BRIGHTER_GRAY_LEVELS, 255)
    pixels = cv2.inRange(bright_edge, gray_level - _MAX_DARKER_GRAY_LEVELS, brightest)
    # A character ends halfway between its gray value and the background: brightness - background / 2 >= gray_level / 2.
    sharp = cv2.inRange(cv2.add(bright_edge, contrast_map), gray_level, 255) & cv2.inRange(bright_edge, 1, brightest)
    count, labels, components, _ = cv2.connectedComponentsWithStats(sharp, connectivity=8)
    sharp_positions = np.flatnonzero(sharp)
    total_contrast = np.bincount(
        labels.ravel()[sharp_positions], weights=contrast_map.ravel()[sharp_positions], minlength=count
    )
    # Component 0 is the background.
    left, top, width, height, area = components[1:].astype(np.int64).T
    return Ink(pixels, contrast_map, left, top, width, height, total_contrast[1:] / area)


def boxes_overlap(first: Box, second: Box) -> bool:
    """Return whether two boxes share at least one pixel."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
