"""What a scanner burns into an image: pixels of one gray or color with edges sharper than any echo has.

An echo is blurred by the point-spread function of the scanner, so that its gray changes over several pixels. Overlaid
characters and marks are drawn afterwards, in one constant gray, and change within one pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.curation.findings import Box
from acsnet.data.images import UInt8Array

# Nothing darker is drawn over an image.
_DARKEST = 140
# How much darker a neighboring pixel is, in gray values: at most edges of ink, and at the faintest over bright tissue.
_CLEAR_STEP, _FAINT_STEP = 70, 45
# Ink may be so much brighter than its commonest gray, and its soft edges so much darker: scaling rings and blurs.
_BRIGHTER, _DARKER = 25, 30
# Half the width of the window in which edge pixels are counted for the commonest gray.
_WINDOW = 12
# So many inks in one image, at most, and so many edge pixels has the smallest of them.
_INKS, _FEWEST = 3, 20

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Strokes:
    """What is drawn in one ink: its pixels, and the connected components of the sharpest, an entry a component.

    Attributes:
        ink: (H, W) uint8, 255 where the ink may be, soft edges included, else 0.
        relief: (H, W) uint8, how much darker it gets within two pixels.
        left, top, width, height: (N,) pixels.
        contrast: (N,) how much darker it gets within two pixels, as the mean over the component's pixels.
    """

    ink: UInt8Array
    relief: UInt8Array
    left: IntArray
    top: IntArray
    width: IntArray
    height: IntArray
    contrast: npt.NDArray[np.float64]


def find_strokes(image: UInt8Array) -> list[Strokes]:
    """Find the inks of an image (H, W, 3), the one with most edge pixels first."""
    brightness = _brightness(image)
    step = cv2.subtract(brightness, cv2.erode(brightness, _square(3)))
    step[brightness < _DARKEST] = 0
    near_edge = cv2.dilate(cv2.inRange(step, _FAINT_STEP, 255), _square(3))
    relief = cv2.subtract(brightness, cv2.erode(brightness, _square(5)))
    levels = _levels(brightness[step >= _CLEAR_STEP])
    bright_edge = cv2.bitwise_and(brightness, near_edge)
    return [_strokes(bright_edge, relief, level) for level in levels]


def _brightness(image: UInt8Array) -> UInt8Array:
    """The brightest channel of each pixel: colored ink is as bright in one of them as white is in all."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue)


def _square(side: int) -> UInt8Array:
    return np.ones((side, side), dtype=np.uint8)


def _levels(edge_values: UInt8Array) -> list[int]:
    """The gray values about which edge pixels gather, the commonest first, no two of the same ink."""
    counts = np.bincount(edge_values, minlength=256)
    levels: list[int] = []
    while len(levels) < _INKS:
        gathered = np.convolve(counts, np.ones(2 * _WINDOW + 1, dtype=np.int64), mode="same")
        level = int(gathered.argmax())
        if gathered[level] < _FEWEST:
            break
        levels.append(level)
        counts[max(level - _WINDOW, 0) : level + _WINDOW + 1] = 0
    return levels


def _strokes(bright_edge: UInt8Array, relief: UInt8Array, level: int) -> Strokes:
    highest = min(level + _BRIGHTER, 255)
    ink = cv2.inRange(bright_edge, level - _DARKER, highest)
    # A character ends half-way between its gray and that of the ground: brightness - ground / 2 >= level / 2.
    sharp = cv2.inRange(cv2.add(bright_edge, relief), level, 255) & cv2.inRange(bright_edge, 1, highest)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(sharp, connectivity=8)
    where = np.flatnonzero(sharp)
    total = np.bincount(labels.ravel()[where], weights=relief.ravel()[where], minlength=count)
    left, top, width, height, area = statistics[1:].astype(np.int64).T
    return Strokes(ink, relief, left, top, width, height, total[1:] / area)


def overlap(one: Box, two: Box) -> bool:
    """Whether two boxes have a pixel in common."""
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
