"""Color in gray images: Doppler, its frame, colored text and marks."""

import cv2
import numpy as np

from acsnet.curation.findings import Box, CurationFlag
from acsnet.data.images import UInt8Array

# Difference between the brightest and the darkest channel of a colored pixel, in addition to the tint of the whole
# image. The thin frames of Doppler are pale; the color noise of JPEG is weaker.
_MIN_CHANNEL_RANGE_GRAY_LEVELS = 20
# The color of darker pixels is too noisy to estimate the tint of the image.
_MIN_TINT_BRIGHTNESS_GRAY_LEVELS = 64
# Fewer colored pixels are noise, in the whole image and in one patch.
_MIN_COLORED_PIXELS = 40
_MIN_PATCH_PIXELS = 10
# Colored pixels at most this far apart belong to one patch, as a share of the longer side of the image.
_MAX_GAP_SHARE = 0.03


def color_flags(image: UInt8Array) -> list[CurationFlag]:
    """Find colored regions in an image (H, W, 3) that is otherwise gray or evenly tinted."""
    red, green, blue = cv2.split(image)
    brightest = cv2.max(cv2.max(red, green), blue)
    channel_range = cv2.subtract(brightest, cv2.min(cv2.min(red, green), blue))
    if not (channel_range > _MIN_CHANNEL_RANGE_GRAY_LEVELS).any():
        return []
    tint = _tint(brightest[::4, ::4], channel_range[::4, ::4])
    colored = (channel_range > _MIN_CHANNEL_RANGE_GRAY_LEVELS + tint * brightest).astype(np.uint8)
    count = int(colored.sum())
    if count < _MIN_COLORED_PIXELS:
        return []
    return [CurationFlag("color", f"color on {count / colored.size:.2%} of the image", _patch_boxes(colored))]


def _tint(brightest: UInt8Array, channel_range: UInt8Array) -> float:
    """Return the median channel range of the bright pixels, as a share of their brightness."""
    bright = brightest >= _MIN_TINT_BRIGHTNESS_GRAY_LEVELS
    return float(np.median(channel_range[bright] / brightest[bright])) if bright.any() else 0.0


def _patch_boxes(colored: UInt8Array) -> tuple[Box, ...]:
    side = 2 * round(_MAX_GAP_SHARE * max(colored.shape) / 2) + 1
    joined = cv2.dilate(colored, np.ones((side, side), dtype=np.uint8))
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    labels[colored == 0] = 0
    boxes = []
    for number in range(1, count):
        rows, columns = np.nonzero(labels == number)
        if len(rows) >= _MIN_PATCH_PIXELS:
            boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    return tuple(boxes)
