"""Calliper marks: upright or slanting crosses, and the dotted lines between them."""

from collections.abc import Sequence

import cv2
import numpy as np

from acsnet.data.curation._ink import Strokes
from acsnet.data.curation.findings import Box, Flag
from acsnet.data.images import UInt8Array

# Pixels that an arm's whole length has at least, and the share of the image's longer side that it has at most.
_SHORTEST, _LONGEST = 7, 0.06
# Least contrast of a cross.
_FAINTEST = 80
# The largest share of a cross's box that is ink.
_FULLEST = 0.6

_UPRIGHT = ((1, 0), (0, 1))
_SLANTING = ((1, 1), (1, -1))


def find_crosses(strokes: Sequence[Strokes]) -> list[Box]:
    """Find pairs of straight bars of one ink that cross in the middle of both, upright (+) or slanting (x)."""
    crosses: list[Box] = []
    for ink in strokes:
        for directions in (_UPRIGHT, _SLANTING):
            _add_crosses(crosses, ink, directions)
    return sorted(crosses)


def calliper_flags(crosses: Sequence[Box]) -> list[Flag]:
    """Tell how many calliper marks there are."""
    if not crosses:
        return []
    return [Flag("callipers", "1 cross" if len(crosses) == 1 else f"{len(crosses)} crosses", tuple(crosses))]


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
    if max(width, height) > 1.35 * min(width, height):
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
