"""Caliper marks: upright or slanting crosses."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from acsnet.curation.findings import Box, CurationFlag
from acsnet.curation.flags.ink import Ink, boxes_overlap
from acsnet.curation.flags.text import TextRow, belongs_to_row
from acsnet.data.images import UInt8Array

# Length of a bar from end to end.
_MIN_BAR_PIXELS = 7
_MAX_BAR_SHARE = 0.06  # of the longer side of the image
# The two parts of a bar on either side of the crossing differ by at most this, so that corners are not crosses.
_MAX_ARM_DIFFERENCE_PIXELS = 2
_MAX_ARM_DIFFERENCE_SHARE = 0.25  # of the length of the bar
# Longer side of the box of a cross, relative to its shorter side.
_MAX_ASPECT_RATIO = 1.25
# Mean contrast along the bars of a cross.
_MIN_CONTRAST_GRAY_LEVELS = 80
# Share of ink pixels in the box of a cross: the area between the arms must be free.
_MAX_INK_SHARE = 0.6

_Direction = tuple[int, int]
_UPRIGHT_DIRECTIONS: tuple[_Direction, _Direction] = ((1, 0), (0, 1))
_SLANTING_DIRECTIONS: tuple[_Direction, _Direction] = ((1, 1), (1, -1))


@dataclass(frozen=True)
class Cross:
    """A cross.

    Attributes:
        slanting: True for x, False for +.
        box: bounding box.
    """

    slanting: bool
    box: Box


def find_crosses(inks: Sequence[Ink]) -> list[Cross]:
    """Find pairs of straight bars of one ink that bisect each other, upright crosses first."""
    upright: list[Box] = []
    slanting: list[Box] = []
    for ink in inks:
        _add_crosses(upright, ink, _UPRIGHT_DIRECTIONS)
        _add_crosses(slanting, ink, _SLANTING_DIRECTIONS)
    # A mark that passes as both is counted once.
    separate = [box for box in slanting if not any(boxes_overlap(box, other) for other in upright)]
    return [*(Cross(False, box) for box in upright), *(Cross(True, box) for box in separate)]


def drop_letters(crosses: Sequence[Cross], rows: Sequence[TextRow]) -> list[Cross]:
    """Remove the crosses that are letters: those in a row of text, and a single slanting cross (an X)."""
    outside_text = [cross for cross in crosses if not any(belongs_to_row(cross.box, row) for row in rows)]
    several_slanting = sum(cross.slanting for cross in outside_text) > 1
    return [cross for cross in outside_text if several_slanting or not cross.slanting]


def caliper_flags(crosses: Sequence[Cross]) -> list[CurationFlag]:
    """Return the flag for the caliper marks, if there are any."""
    if not crosses:
        return []
    detail = "1 cross" if len(crosses) == 1 else f"{len(crosses)} crosses"
    return [CurationFlag("calipers", detail, tuple(sorted(cross.box for cross in crosses)))]


def _add_crosses(boxes: list[Box], ink: Ink, directions: tuple[_Direction, _Direction]) -> None:
    """Append the boxes of the crosses whose bars have the given directions."""
    bars = [_find_bars(ink.pixels, direction) for direction in directions]
    crossings = cv2.findNonZero(cv2.bitwise_and(*bars))
    for x, y in [] if crossings is None else crossings.reshape(-1, 2).tolist():
        if any(left <= x < right and top <= y < bottom for left, top, right, bottom in boxes):
            continue
        box = _cross_at(bars, directions, x, y)
        if box and _is_drawn_cross(ink, bars, box):
            boxes.append(box)


def _find_bars(pixels: UInt8Array, direction: _Direction) -> UInt8Array:
    """Keep the runs of ink along a direction that have the length of a bar within the image."""
    line = {
        (1, 0): np.ones((1, _MIN_BAR_PIXELS)),
        (0, 1): np.ones((_MIN_BAR_PIXELS, 1)),
        (1, 1): np.eye(_MIN_BAR_PIXELS),
        (1, -1): np.fliplr(np.eye(_MIN_BAR_PIXELS)),
    }[direction].astype(np.uint8)
    return cv2.dilate(cv2.erode(pixels, line, borderType=cv2.BORDER_CONSTANT, borderValue=0), line)


def _cross_at(bars: Sequence[UInt8Array], directions: tuple[_Direction, _Direction], x: int, y: int) -> Box | None:
    """Return the box of the two bars through a point if they bisect each other there and have equal lengths."""
    ends = []
    for bar, (dx, dy) in zip(bars, directions, strict=True):
        forward, backward = _run_length(bar, x, y, dx, dy), _run_length(bar, x, y, -dx, -dy)
        length = forward + backward + 1
        max_difference = max(_MAX_ARM_DIFFERENCE_PIXELS, _MAX_ARM_DIFFERENCE_SHARE * length)
        if abs(forward - backward) > max_difference or length > _MAX_BAR_SHARE * max(bar.shape):
            return None
        ends += [(x + forward * dx, y + forward * dy), (x - backward * dx, y - backward * dy)]
    columns, rows = (np.array(values) for values in zip(*ends, strict=True))
    width, height = int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
    if max(width, height) > _MAX_ASPECT_RATIO * min(width, height):
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _run_length(bar: UInt8Array, x: int, y: int, dx: int, dy: int) -> int:
    """Count the steps from a point to the end of the bar in one direction."""
    height, width = bar.shape
    steps = 0
    while 0 <= (x := x + dx) < width and 0 <= (y := y + dy) < height and bar[y, x]:
        steps += 1
    return steps


def _is_drawn_cross(ink: Ink, bars: Sequence[UInt8Array], box: Box) -> bool:
    """Return whether the area between the arms is free and the arms have the contrast of a drawn mark."""
    left, top, right, bottom = box
    on_arms = cv2.bitwise_or(*bars)[top:bottom, left:right] > 0
    is_ink = ink.pixels[top:bottom, left:right] > 0
    arm_contrast = ink.contrast_map[top:bottom, left:right][on_arms]
    return bool(is_ink.mean() <= _MAX_INK_SHARE and arm_contrast.mean() >= _MIN_CONTRAST_GRAY_LEVELS)
