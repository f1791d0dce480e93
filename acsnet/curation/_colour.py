"""Colour in a grey image: Doppler, its frame, coloured text and marks."""

import cv2
import numpy as np

from acsnet.curation.findings import Box, Flag
from acsnet.data.images import UInt8Array

# How far the brightest and the darkest channel of a coloured pixel are apart at least, beyond the tint of the whole
# image: the thin frames of Doppler are pale, JPEG colours grey by less.
_COLOURED = 20
# Darker pixels tell nothing about the tint.
_DARK = 64
# So many coloured pixels are the fewest of an overlay, and of one patch of it.
_FEWEST, _FEWEST_OF_PATCH = 40, 10
# Coloured pixels no farther apart than this share of the image's longer side are one patch.
_REACH = 0.03


def colour_flags(image: UInt8Array) -> list[Flag]:
    """Find what is coloured in an image (H, W, 3) otherwise grey, or of one tint."""
    red, green, blue = cv2.split(image)
    brightest = cv2.max(cv2.max(red, green), blue)
    spread = cv2.subtract(brightest, cv2.min(cv2.min(red, green), blue))
    if not (spread > _COLOURED).any():
        return []
    tint = _tint(brightest[::4, ::4], spread[::4, ::4])
    coloured = (spread > _COLOURED + tint * brightest).astype(np.uint8)
    count = int(coloured.sum())
    if count < _FEWEST:
        return []
    return [Flag("colour", f"colour on {count / coloured.size:.2%} of the image", _patches(coloured))]


def _tint(brightest: UInt8Array, spread: UInt8Array) -> float:
    """The colour of a typical pixel that is not dark, as a share of its brightness."""
    bright = brightest >= _DARK
    return float(np.median(spread[bright] / brightest[bright])) if bright.any() else 0.0


def _patches(coloured: UInt8Array) -> tuple[Box, ...]:
    side = 2 * round(_REACH * max(coloured.shape) / 2) + 1
    near = cv2.dilate(coloured, np.ones((side, side), dtype=np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    labels[coloured == 0] = 0
    boxes = []
    for number in range(1, count):
        rows, columns = np.nonzero(labels == number)
        if len(rows) >= _FEWEST_OF_PATCH:
            boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    return tuple(boxes)
