"""Color in a gray image: Doppler, its frame, colored text and marks."""

import cv2
import numpy as np

from acsnet.curation.findings import Box, Flag
from acsnet.data.images import UInt8Array

# How far the brightest and the darkest channel of a colored pixel are apart at least, beyond the tint of the whole
# image: the thin frames of Doppler are pale, JPEG colors gray by less.
_COLORED = 20
# Darker pixels tell nothing about the tint.
_DARK = 64
# So many colored pixels are the fewest of an overlay, and of one patch of it.
_FEWEST, _FEWEST_OF_PATCH = 40, 10
# Colored pixels no farther apart than this share of the image's longer side are one patch.
_REACH = 0.03


def color_flags(image: UInt8Array) -> list[Flag]:
    """Find what is colored in an image (H, W, 3) otherwise gray, or of one tint."""
    red, green, blue = cv2.split(image)
    brightest = cv2.max(cv2.max(red, green), blue)
    spread = cv2.subtract(brightest, cv2.min(cv2.min(red, green), blue))
    if not (spread > _COLORED).any():
        return []
    tint = _tint(brightest[::4, ::4], spread[::4, ::4])
    colored = (spread > _COLORED + tint * brightest).astype(np.uint8)
    count = int(colored.sum())
    if count < _FEWEST:
        return []
    return [Flag("color", f"color on {count / colored.size:.2%} of the image", _patches(colored))]


def _tint(brightest: UInt8Array, spread: UInt8Array) -> float:
    """The color of a typical pixel that is not dark, as a share of its brightness."""
    bright = brightest >= _DARK
    return float(np.median(spread[bright] / brightest[bright])) if bright.any() else 0.0


def _patches(colored: UInt8Array) -> tuple[Box, ...]:
    side = 2 * round(_REACH * max(colored.shape) / 2) + 1
    near = cv2.dilate(colored, np.ones((side, side), dtype=np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    labels[colored == 0] = 0
    boxes = []
    for number in range(1, count):
        rows, columns = np.nonzero(labels == number)
        if len(rows) >= _FEWEST_OF_PATCH:
            boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    return tuple(boxes)
