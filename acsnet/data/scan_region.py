"""The scanned region of an image: the part that is left when margins, frames and rulers are cut off.

The rule is a function of the pixels only. Lines (rows or columns) are removed from each of the four sides, one side
after the other, until none of them changes any more. A line at a side is margin if it is uniform: at least 97 % of its
pixels differ from the median color of the line by at most 5 gray levels in each channel. Any color will do, and each
line has its own, so that letterboxes, white and tinted margins, haze, and the lines of a frame are all margins, with
the noise of a JPEG file and with a few ticks of a ruler in them.

A line that is not uniform ends the margin, unless it belongs to an island: text, a ruler or a logo in the margin. An
island is at most 6 % of the side deep, fewer than 20 % of the pixels of each of its lines differ from the color of the
margin outside it, and behind it the margin goes on in that color for at least 1 % of the side. The scan itself
fills more of its lines, and its faint deep part has no such gap behind it.

The rule is made to keep too much rather than too little: a side whose outermost line is not uniform is not cropped.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

# A pixel has the color of its line if no channel differs by more.
_MAX_DIFFERENCE_GRAY_LEVELS = 5
# A line is uniform if no more of its pixels have another color.
_MAX_OTHER_SHARE = 0.03
# The median color of a line is that of this many pixels, evenly spaced.
_SAMPLES = 65
# Islands: text, rulers and logos in a margin.
_MAX_ISLAND_DEPTH_SHARE = 0.06
_MAX_ISLAND_FILL_SHARE = 0.2
_MIN_GAP_SHARE = 0.01
_MIN_GAP_LINES = 3
# Images with a shorter side are left whole.
_MIN_SIDE_PIXELS = 32
# A scan is not smaller than this share of either side of its image: the rest of less is not a scan.
_MIN_SCAN_SHARE = 0.1
# Lines are examined in blocks, the first of this many and each twice as large as the one before.
_FIRST_BLOCK_LINES = 4


class Box(NamedTuple):
    """A rectangle of pixels: its first row and column, height and width."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array (H, W, ...)."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def find_scan_region(image: npt.NDArray[np.uint8]) -> Box | None:
    """Find the scanned region of an image; the module describes the rule.

    Args:
        image: (H, W, C) uint8.

    Returns:
        The region, which is the whole image if it has no margin or a side is shorter than 32 pixels; None if all of the
        image is margin.
    """
    top, left, bottom, right = 0, 0, *image.shape[:2]
    if min(bottom, right) < _MIN_SIDE_PIXELS:
        return Box(0, 0, bottom, right)
    smallest = _MIN_SCAN_SHARE * bottom, _MIN_SCAN_SHARE * right
    # Two copies, in which rows and columns are contiguous.
    rows = _planes(image)
    columns = np.ascontiguousarray(rows.swapaxes(1, 2))
    previous = None
    while previous != (top, left, bottom, right):
        previous = top, left, bottom, right
        top += _margin(rows[:, top:bottom, left:right])
        bottom -= _margin(rows[:, top:bottom, left:right][:, ::-1])
        if bottom - top < smallest[0]:
            return None
        left += _margin(columns[:, left:right, top:bottom])
        right -= _margin(columns[:, left:right, top:bottom][:, ::-1])
        if right - left < smallest[1]:
            return None
    return Box(top, left, bottom - top, right - left)


def _planes(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the channels (C, H, W) of an image, or one of them if all are equal."""
    planes = cv2.split(image)
    first = planes[0]
    return np.stack(planes[:1] if all(np.array_equal(first, other) for other in planes[1:]) else planes)


def _margin(lines: npt.NDArray[np.uint8]) -> int:
    """Return the number of lines (C, N, L) of margin before the first line of the scan."""
    count = lines.shape[1]
    deepest, gap = int(_MAX_ISLAND_DEPTH_SHARE * count), max(_MIN_GAP_LINES, int(_MIN_GAP_SHARE * count))
    margin = 0
    while True:
        margin += _count_uniform(lines[:, margin:])
        if margin in (0, count):
            return margin
        island = _island_depth(lines[:, margin : margin + deepest + gap], _color(lines[:, margin - 1 : margin]), gap)
        if island == 0:
            return margin
        margin += island


def _count_uniform(lines: npt.NDArray[np.uint8]) -> int:
    """Return the number of uniform lines (C, N, L) before the first one that is not."""
    start, block, count = 0, _FIRST_BLOCK_LINES, lines.shape[1]
    while start < count:
        part = lines[:, start : start + block]
        others = np.flatnonzero(_other_share(part, _color(part)) > _MAX_OTHER_SHARE)
        if len(others):
            return start + int(others[0])
        start, block = start + block, 2 * block
    return count


def _island_depth(lines: npt.NDArray[np.uint8], color: npt.NDArray[np.uint8], gap: int) -> int:
    """Return the depth in lines of an island in a margin of a color, or 0 if there is none."""
    uniform = 0
    for index, share in enumerate(_other_share(lines, color)):
        if share >= _MAX_ISLAND_FILL_SHARE:
            return 0
        uniform = uniform + 1 if share <= _MAX_OTHER_SHARE else 0
        if uniform == gap:
            return index + 1 - gap
    return 0


def _color(lines: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the median color (C, N, 1) of each line (C, N, L)."""
    positions = np.linspace(0, lines.shape[2] - 1, min(_SAMPLES, lines.shape[2])).round().astype(int)
    middle = len(positions) // 2
    return np.partition(lines[:, :, positions], middle, axis=2)[:, :, middle : middle + 1]


def _other_share(lines: npt.NDArray[np.uint8], color: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the share of the pixels of each line (C, N, L) that differ from a color (C, N or 1, 1)."""
    difference = np.maximum(lines, color) - np.minimum(lines, color)
    other = (difference > _MAX_DIFFERENCE_GRAY_LEVELS).any(axis=0)
    return np.count_nonzero(other, axis=1) / lines.shape[2]
