"""Flags of an image: text, caliper marks, color overlays and split screens."""

import cv2
import numpy as np

from acsnet.curation.findings import CurationFlag
from acsnet.curation.flags.calipers import caliper_flags, drop_letters, find_crosses
from acsnet.curation.flags.color import color_flags
from acsnet.curation.flags.ink import find_inks
from acsnet.curation.flags.text import find_text_rows, text_flags
from acsnet.data.images import UInt8Array

# Columns where a seam is searched, as shares of the width: the two scans of a split screen have similar widths.
_FIRST_SEAM_COLUMN_SHARE = 0.35
_LAST_SEAM_COLUMN_SHARE = 0.65
# The height is divided into strips; the seam may be invisible in some, where both scans are equally dark or bright.
_STRIPS = 10
_MAX_STRIPS_WITHOUT_SEAM = 2
# Change of the gray value at a seam, relative to that between other columns: at most 1.3 within the scans of BUSI, and
# at least 2.6 in 99 of 100 pairs of its scans placed side by side.
_MIN_JUMP_RATIO = 2.4
# Standard deviation of a scan; a black or white margin has less and is not a second scan.
_MIN_TEXTURE_GRAY_LEVELS = 8
# In smaller images the strips have too few pixels.
_MIN_SIDE_PIXELS = 40


def image_flags(image: UInt8Array) -> tuple[CurationFlag, ...]:
    """Find text, calipers, color overlays and split screens in an image.

    Text is a row of two or more characters. A single character, for example the rest of a cropped logo or the number of
    a caliper, is ignored. Color is any colored region of a gray image: Doppler, its frame, colored marks.

    Args:
        image: (H, W, 3) uint8, RGB, as returned by :func:`acsnet.data.images.read_image`.

    Returns:
        At most one flag of each of the kinds "text", "calipers", "color" and "split-screen", with the boxes of the
        rows of text, the caliper marks, the colored patches and the seam.

    Example:
        >>> image = np.full((100, 100, 3), 90, dtype=np.uint8)
        >>> image[20:30, 50:70] = (200, 30, 20)
        >>> image_flags(image)
        (CurationFlag(kind='color', detail='color on 2.00% of the image', boxes=((50, 20, 70, 30),)),)
    """
    inks = find_inks(image)
    crosses = find_crosses(inks)
    # Letters that are crosses (X, t) are dropped first. Only then are the rows final, because the number next to the
    # cross of a caliper would form a row with it.
    crosses = drop_letters(crosses, find_text_rows(inks, [cross.box for cross in crosses]))
    rows = find_text_rows(inks, [cross.box for cross in crosses])
    flags = text_flags(rows, image.shape[:2]) + caliper_flags(crosses)
    return (*flags, *color_flags(image), *_split_screen_flags(image))


def _split_screen_flags(image: UInt8Array) -> list[CurationFlag]:
    """Find a column where the gray value jumps along nearly the whole height, between two scans side by side."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    if min(height, width) < _MIN_SIDE_PIXELS:
        return []
    first_column = int(_FIRST_SEAM_COLUMN_SHARE * width)
    middle = gray[:, first_column : int(_LAST_SEAM_COLUMN_SHARE * width)]
    change = cv2.absdiff(middle[:, 1:], middle[:, :-1])
    strip_height = height // _STRIPS
    change_in_strip = change[: strip_height * _STRIPS].reshape(_STRIPS, strip_height, -1).mean(axis=1)
    jump_ratio = change_in_strip / (np.median(change_in_strip, axis=1, keepdims=True) + 1)
    lowest_ratio = np.sort(jump_ratio, axis=0)[_MAX_STRIPS_WITHOUT_SEAM]
    column = first_column + int(lowest_ratio.argmax()) + 1
    textures = gray[:, :column].std(), gray[:, column:].std()
    if lowest_ratio.max() < _MIN_JUMP_RATIO or min(textures) < _MIN_TEXTURE_GRAY_LEVELS:
        return []
    return [CurationFlag("split-screen", f"seam at column {column}", ((column - 1, 0, column + 1, height),))]
