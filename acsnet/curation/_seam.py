"""Split screens: two scans side by side, which meet at a seam near the middle."""

import cv2
import numpy as np

from acsnet.curation.findings import Flag
from acsnet.data.images import UInt8Array

# The seam is sought between these shares of the width, along so many stretches of the height.
_FROM, _TO, _STRETCHES = 0.35, 0.65, 10
# In so many of the stretches the seam may be lost, where both scans are equally dark or bright.
_LOST = 2
# How many times as much as between two other columns the gray changes at a seam; at most 1.3 within the scans of BUSI,
# and at least 2.6 in 99 of 100 pairs of its scans laid side by side.
_JUMP = 2.4
# Standard deviation of the gray values of a scan; what lies beside a black or white margin is no second scan.
_LEAST_TEXTURE = 8
_SMALLEST_SIDE = 40


def split_screen_flags(image: UInt8Array) -> list[Flag]:
    """Find a column of an image (H, W, 3) where the gray jumps along (nearly) the whole height, between two scans."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    if min(height, width) < _SMALLEST_SIDE:
        return []
    first = int(_FROM * width)
    middle = gray[:, first : int(_TO * width)]
    change = cv2.absdiff(middle[:, 1:], middle[:, :-1])
    rows = height // _STRETCHES
    stretches = change[: rows * _STRETCHES].reshape(_STRETCHES, rows, -1).mean(axis=1)
    jump = stretches / (np.median(stretches, axis=1, keepdims=True) + 1)
    least = np.sort(jump, axis=0)[_LOST]
    column = first + int(least.argmax()) + 1
    textures = gray[:, :column].std(), gray[:, column:].std()
    if least.max() < _JUMP or min(textures) < _LEAST_TEXTURE:
        return []
    return [Flag("split-screen", f"seam at column {column}", ((column - 1, 0, column + 1, height),))]
