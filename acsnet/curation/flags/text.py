"""Burned-in text: rows of characters of one ink."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from acsnet.curation.findings import Box, CurationFlag
from acsnet.curation.flags.ink import Ink, boxes_overlap
from acsnet.data.images import BoolArray

# Height of a character. Two specks look like a row more often than three, so that a row of two must be higher.
_MIN_HEIGHT_PIXELS = 6
_MIN_HEIGHT_OF_TWO_PIXELS = 10
_MAX_HEIGHT_SHARE = 0.08  # of the height of the image
# Contrast of each character, and mean contrast of a row. Bright tissue behind the text reduces the contrast; the more
# characters are in a row, the less contrast proves that it is text.
_MIN_CONTRAST_GRAY_LEVELS = 60
_MIN_CONTRAST_OF_TWO_OR_THREE_GRAY_LEVELS = 85
_MIN_CONTRAST_OF_FOUR_GRAY_LEVELS = 65
# Distance to the next character, and difference of height and baseline between neighbors.
_MAX_GAP_HEIGHTS = 1.5
_MAX_HEIGHT_RATIO = 1.5
_MAX_BASELINE_SHIFT_PIXELS = 1
# Width of one character. Several characters may touch if their contrast exceeds that of any echo.
_MAX_WIDTH_HEIGHTS = 1.6
_MAX_JOINED_WIDTH_HEIGHTS = 4
_MIN_JOINED_CONTRAST_GRAY_LEVELS = 130
# Extent of a corner, as a share of the width and of the height of the image.
_CORNER_SHARE = 0.08
# Vertical tolerance when a box is compared with a row, in heights of the row: marks are not aligned to the baseline.
_ROW_TOLERANCE_HEIGHTS = 0.2


@dataclass(frozen=True)
class TextRow:
    """A row of characters.

    Attributes:
        box: bounding box of the row.
        characters: number of separate components, at least two; one component can be several characters that touch.
    """

    box: Box
    characters: int


def find_text_rows(inks: Sequence[Ink], caliper_boxes: Sequence[Box]) -> list[TextRow]:
    """Find rows of two or more characters of one ink, from top to bottom, ignoring components on caliper marks."""
    candidates = sorted((row for ink in inks for row in _rows_of_ink(ink, caliper_boxes)), key=lambda r: -r.characters)
    rows: list[TextRow] = []
    for candidate in candidates:
        # The soft edges of one ink can look like another ink.
        if not any(boxes_overlap(candidate.box, row.box) for row in rows):
            rows.append(candidate)
    return sorted(rows, key=lambda row: (row.box[1], row.box[0]))


def belongs_to_row(box: Box, row: TextRow) -> bool:
    """Return whether a box is one of the characters of a row: within or next to the row, and not higher."""
    left, top, right, bottom = row.box
    height = bottom - top
    tolerance = _ROW_TOLERANCE_HEIGHTS * height
    is_level = box[1] >= top - tolerance and box[3] <= bottom + tolerance
    return is_level and box[0] <= right + height and box[2] >= left - height


def text_flags(rows: Sequence[TextRow], size: tuple[int, ...]) -> list[CurationFlag]:
    """Return the flag for the rows of text of an image of the given size (height, width), if there are any.

    Rows in a corner are named as such, because logos of scanners are placed there.
    """
    if not rows:
        return []
    texts = [f"{row.characters} characters{' in a corner' if _is_in_corner(row.box, size) else ''}" for row in rows]
    return [CurationFlag("text", ", ".join(texts), tuple(row.box for row in rows))]


def _is_in_corner(box: Box, size: tuple[int, ...]) -> bool:
    height, width = size
    at_side = box[2] <= _CORNER_SHARE * width or box[0] >= (1 - _CORNER_SHARE) * width
    return at_side and (box[3] <= _CORNER_SHARE * height or box[1] >= (1 - _CORNER_SHARE) * height)


def _rows_of_ink(ink: Ink, caliper_boxes: Sequence[Box]) -> list[TextRow]:
    characters = np.flatnonzero(_may_be_characters(ink) & ~_touch_boxes(ink, caliper_boxes))
    if len(characters) < 2:
        return []
    _, row_numbers = connected_components(_are_neighbors(ink, characters), directed=False)
    # Speckle has many components that are alone in their row.
    several = np.flatnonzero(np.bincount(row_numbers) > 1)
    rows = [characters[row_numbers == number] for number in several]
    return [TextRow(_bounding_box(ink, row), len(row)) for row in rows if _is_text(ink, row)]


def _may_be_characters(ink: Ink) -> BoolArray:
    """Return whether each component has the size and contrast of a character: (N,)."""
    right_height = (ink.height >= _MIN_HEIGHT_PIXELS) & (ink.height <= _MAX_HEIGHT_SHARE * ink.pixels.shape[0])
    max_width_heights = np.where(
        ink.contrast >= _MIN_JOINED_CONTRAST_GRAY_LEVELS, _MAX_JOINED_WIDTH_HEIGHTS, _MAX_WIDTH_HEIGHTS
    )
    narrow = ink.width <= max_width_heights * ink.height
    return right_height & narrow & (ink.contrast >= _MIN_CONTRAST_GRAY_LEVELS)


def _touch_boxes(ink: Ink, boxes: Sequence[Box]) -> BoolArray:
    """Return whether each component shares a pixel with any of the boxes: (N,)."""
    touch = np.zeros(len(ink.left), dtype=np.bool_)
    for left, top, right, bottom in boxes:
        horizontally = (ink.left < right) & (ink.left + ink.width > left)
        touch |= horizontally & (ink.top < bottom) & (ink.top + ink.height > top)
    return touch


def _are_neighbors(ink: Ink, characters: npt.NDArray[np.intp]) -> BoolArray:
    """Return whether the second of two characters follows the first in a row: (N, N)."""
    left, height = ink.left[characters], ink.height[characters]
    right, bottom = left + ink.width[characters], ink.top[characters] + height
    larger_height = np.maximum(height[:, None], height)
    gap = left - right[:, None]
    same_line = np.abs(bottom - bottom[:, None]) <= _MAX_BASELINE_SHIFT_PIXELS
    similar_height = larger_height <= _MAX_HEIGHT_RATIO * np.minimum(height[:, None], height)
    return same_line & similar_height & (gap >= 0) & (gap <= _MAX_GAP_HEIGHTS * larger_height)


def _is_text(ink: Ink, row: npt.NDArray[np.intp]) -> bool:
    """Return whether the contrast and the heights of a row are those of text rather than of bright tissue."""
    contrast, height = ink.contrast[row].mean(), ink.height[row]
    if len(row) == 2:
        is_even = height.min() >= _MIN_HEIGHT_OF_TWO_PIXELS and np.ptp(height) <= 1
        return bool(is_even and contrast >= _MIN_CONTRAST_OF_TWO_OR_THREE_GRAY_LEVELS)
    if len(row) == 3:
        return bool(contrast >= _MIN_CONTRAST_OF_TWO_OR_THREE_GRAY_LEVELS)
    return len(row) > 3 and bool(contrast >= _MIN_CONTRAST_OF_FOUR_GRAY_LEVELS)


def _bounding_box(ink: Ink, row: npt.NDArray[np.intp]) -> Box:
    left, top = ink.left[row], ink.top[row]
    right, bottom = left + ink.width[row], top + ink.height[row]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())
