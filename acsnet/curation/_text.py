"""Burned-in text: characters of one ink that stand in a row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from acsnet.curation._ink import Strokes, overlap
from acsnet.curation.findings import Box, Flag
from acsnet.data.images import BoolArray

# Height of a character: pixels, pixels where there are but two, and the largest share of the image's height.
_LOWEST, _LOWEST_OF_TWO, _HIGHEST = 6, 10, 0.08
# Least contrast of a character, and on average of a row of two or three, and of more: bright tissue leaves little.
_FAINTEST, _OF_FEW, _OF_FOUR = 60, 85, 65
# The farthest that the next character stands, in heights.
_GAP = 1.5
# Contrast that no echo has, and the largest width of one character, and of several that touch, in heights.
_CLEAR, _WIDEST, _WIDEST_JOINED = 130, 1.6, 4
# Share of the image's width and height that a corner takes up.
_CORNER = 0.08


@dataclass(frozen=True)
class Row:
    """A row of characters.

    Attributes:
        box: where it stands.
        characters: how many were told apart, two or more; some may hang together.
    """

    box: Box
    characters: int


def find_rows(strokes: Sequence[Strokes], marks: Sequence[Box]) -> list[Row]:
    """Find rows of two or more characters of one ink, leaving out whatever touches the boxes of caliper marks."""
    found = sorted((row for ink in strokes for row in _rows(ink, marks)), key=lambda row: -row.characters)
    rows: list[Row] = []
    for row in found:
        # The soft edges of one ink may pass for another.
        if not any(overlap(row.box, other.box) for other in rows):
            rows.append(row)
    return sorted(rows, key=lambda row: (row.box[1], row.box[0]))


def stands_in(box: Box, row: Row) -> bool:
    """Whether a box is no higher than a row and stands in it or next to it, so that it is one of its characters."""
    left, top, right, bottom = row.box
    height = bottom - top
    level = box[1] >= top - 0.2 * height and box[3] <= bottom + 0.2 * height
    return level and box[0] <= right + height and box[2] >= left - height


def text_flags(rows: Sequence[Row], size: tuple[int, ...]) -> list[Flag]:
    """Tell how much text there is, and what of it stands in a corner as scanners' logos do, in an image of a size."""
    if not rows:
        return []
    texts = [f"{row.characters} characters{' in a corner' if _in_corner(row.box, size) else ''}" for row in rows]
    return [Flag("text", ", ".join(texts), tuple(row.box for row in rows))]


def _in_corner(box: Box, size: tuple[int, ...]) -> bool:
    height, width = size
    beside = box[2] <= _CORNER * width or box[0] >= (1 - _CORNER) * width
    return beside and (box[3] <= _CORNER * height or box[1] >= (1 - _CORNER) * height)


def _rows(ink: Strokes, marks: Sequence[Box]) -> list[Row]:
    chosen = np.flatnonzero(_characters(ink) & ~_on_marks(ink, marks))
    if len(chosen) < 2:
        return []
    count, group = connected_components(_side_by_side(ink, chosen), directed=False)
    rows = [chosen[group == number] for number in range(count)]
    return [Row(_box(ink, row), len(row)) for row in rows if _convinces(ink, row)]


def _characters(ink: Strokes) -> BoolArray:
    tall = (ink.height >= _LOWEST) & (ink.height <= _HIGHEST * ink.ink.shape[0])
    # Letters that touch are told from echoes by their contrast alone.
    widest = np.where(ink.contrast >= _CLEAR, _WIDEST_JOINED, _WIDEST) * ink.height
    return tall & (ink.width <= widest) & (ink.contrast >= _FAINTEST)


def _on_marks(ink: Strokes, marks: Sequence[Box]) -> BoolArray:
    on = np.zeros(len(ink.left), dtype=np.bool_)
    for left, top, right, bottom in marks:
        across = (ink.left < right) & (ink.left + ink.width > left)
        on |= across & (ink.top < bottom) & (ink.top + ink.height > top)
    return on


def _side_by_side(ink: Strokes, chosen: npt.NDArray[np.intp]) -> BoolArray:
    """Which of the chosen characters are neighbors in a row: (N, N)."""
    left, height = ink.left[chosen], ink.height[chosen]
    right, bottom = left + ink.width[chosen], ink.top[chosen] + height
    taller = np.maximum(height[:, None], height)
    gap = left - right[:, None]
    same_line = np.abs(bottom - bottom[:, None]) <= 1
    alike = taller <= 1.5 * np.minimum(height[:, None], height)
    return same_line & alike & (gap >= 0) & (gap <= _GAP * taller)


def _convinces(ink: Strokes, row: npt.NDArray[np.intp]) -> bool:
    contrast, height = ink.contrast[row].mean(), ink.height[row]
    if len(row) == 2:
        return bool(height.min() >= _LOWEST_OF_TWO and contrast >= _OF_FEW and np.ptp(height) <= 1)
    return len(row) > 2 and bool(contrast >= (_OF_FEW if len(row) == 3 else _OF_FOUR))


def _box(ink: Strokes, row: npt.NDArray[np.intp]) -> Box:
    left, top = ink.left[row], ink.top[row]
    right, bottom = left + ink.width[row], top + ink.height[row]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())
