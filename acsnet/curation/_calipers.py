"""Caliper marks: upright or slanting crosses."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from acsnet.curation._ink import Strokes, overlap
from acsnet.curation._text import Row, stands_in
from acsnet.curation.findings import Box, Flag
from acsnet.data.images import UInt8Array

# Pixels that an arm's whole length has at least, and the share of the image's longer side that it has at most.
_SHORTEST, _LONGEST = 7, 0.06
# Least contrast of a cross.
_FAINTEST = 80
# The largest share of a cross's box that is ink.
_FULLEST = 0.6

_UPRIGHT = ((1, 0), (0, 1))
_SLANTING = ((1, 1), (1, -1))


@dataclass(frozen=True)
class Cross:
    """A cross: upright (+) or slanting (x), and its box."""

    slanting: bool
    box: Box


def find_crosses(strokes: Sequence[Strokes]) -> list[Cross]:
    """Find pairs of straight bars of one ink that cross in the middle of both."""
    upright: list[Box] = []
    slanting: list[Box] = []
    for ink in strokes:
        _add_crosses(upright, ink, _UPRIGHT)
        _add_crosses(slanting, ink, _SLANTING)
    apart = [box for box in slanting if not any(overlap(box, other) for other in upright)]
    return [*(Cross(False, box) for box in upright), *(Cross(True, box) for box in apart)]


def drop_letters(crosses: Sequence[Cross], rows: Sequence[Row]) -> list[Cross]:
    """Leave out the crosses that are letters: those in a row of text, and a slanting one that has no partner."""
    apart = [cross for cross in crosses if not any(stands_in(cross.box, row) for row in rows)]
    paired = sum(cross.slanting for cross in apart) > 1
    return [cross for cross in apart if paired or not cross.slanting]


def caliper_flags(crosses: Sequence[Cross]) -> list[Flag]:
    """Tell how many caliper marks there are."""
    if not crosses:
        return []
    detail = "1 cross" if len(crosses) == 1 else f"{len(crosses)} crosses"
    return [Flag("calipers", detail, tuple(sorted(cross.box for cross in crosses)))]


def _add_crosses(crosses: list[Box], strokes: Strokes, directions: tuple[tuple[int, int], tuple[int, int]]) -> None:
    bars = [_open_along(strokes.ink, direction) for direction in directions]
    points = cv2.findNonZero(cv2.bitwise_and(*bars))
    for x, y in [] if points is None else points.reshape(-1, 2).tolist():
        if any(left <= x < right and top <= y < bottom for left, top, right, bottom in crosses):
            continue
        box = _cross_about(bars, directions, x, y)
        if box and _convinces(strokes, bars, box):
            crosses.append(box)


def _open_along(ink: UInt8Array, direction: tuple[int, int]) -> UInt8Array:
    """Keep the runs of ink along a direction that are long enough; what runs out of the image does not count."""
    line = {
        (1, 0): np.ones((1, _SHORTEST)),
        (0, 1): np.ones((_SHORTEST, 1)),
        (1, 1): np.eye(_SHORTEST),
        (1, -1): np.fliplr(np.eye(_SHORTEST)),
    }[direction].astype(np.uint8)
    return cv2.dilate(cv2.erode(ink, line, borderType=cv2.BORDER_CONSTANT, borderValue=0), line)


def _cross_about(
    bars: Sequence[UInt8Array], directions: tuple[tuple[int, int], tuple[int, int]], x: int, y: int
) -> Box | None:
    """The box of two bars through a point if they halve each other there and are of one length."""
    ends = []
    for bar, (dx, dy) in zip(bars, directions, strict=True):
        ahead, back = _reach(bar, x, y, dx, dy), _reach(bar, x, y, -dx, -dy)
        length = ahead + back + 1
        if abs(ahead - back) > max(2, 0.25 * length) or length > _LONGEST * max(bar.shape):
            return None
        ends += [(x + ahead * dx, y + ahead * dy), (x - back * dx, y - back * dy)]
    across, up = (np.array(values) for values in zip(*ends, strict=True))
    width, height = int(np.ptp(across)) + 1, int(np.ptp(up)) + 1
    if max(width, height) > 1.25 * min(width, height):
        return None
    return int(across.min()), int(up.min()), int(across.max()) + 1, int(up.max()) + 1


def _reach(bar: UInt8Array, x: int, y: int, dx: int, dy: int) -> int:
    """How many steps from a point the bar goes on."""
    height, width = bar.shape
    steps = 0
    while 0 <= (x := x + dx) < width and 0 <= (y := y + dy) < height and bar[y, x]:
        steps += 1
    return steps


def _convinces(strokes: Strokes, bars: Sequence[UInt8Array], box: Box) -> bool:
    """Whether dark lies between the arms."""
    left, top, right, bottom = box
    arms = cv2.bitwise_or(*bars)[top:bottom, left:right] > 0
    ink = strokes.ink[top:bottom, left:right] > 0
    relief = strokes.relief[top:bottom, left:right][arms]
    return bool(ink.mean() <= _FULLEST and relief.mean() >= _FAINTEST)
