"""Outlines of lesions along the edges of pixels, which enclose exactly their pixels."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.inference.lesion_shape import Lesion

#: Corners (N, 2) of a closed line: x from the left, y from the top edge of the image; the first is not repeated.
Ring = npt.NDArray[np.int64]
_Corner = tuple[int, int]


class Polygon(NamedTuple):
    """A region: its outer line, and the outlines of its holes.

    Attributes:
        exterior: its corners; the sum of x_i y_(i+1) - x_(i+1) y_i is positive.
        holes: the corners of each hole; the sum is negative.
    """

    exterior: Ring
    holes: list[Ring]


def trace_outline(lesion: Lesion) -> list[Polygon]:
    """Return the polygons of a lesion, the largest first.

    The corners are those of pixels: the first pixel of an image covers x and y from 0 to 1. No line touches itself:
    regions that are connected at a corner only are two polygons that share this corner.

    Example:
        >>> import numpy as np
        >>> from acsnet.inference.formats.outlines import trace_outline
        >>> from acsnet.inference.lesion_shape import find_lesions
        >>> mask = np.zeros((5, 6), bool)
        >>> mask[1:3, 2:5] = True
        >>> (polygon,) = trace_outline(find_lesions(mask)[0])
        >>> polygon.exterior.tolist(), polygon.holes
        ([[2, 1], [5, 1], [5, 3], [2, 3]], [])
    """
    rings = [_simplify(ring) for loop in _loops(_edges(lesion.mask)) for ring in _split(loop)]
    polygons = [Polygon(ring, []) for ring in rings if _area(ring) > 0]
    polygons.sort(key=lambda polygon: _area(polygon.exterior))
    for hole in (ring for ring in rings if _area(ring) < 0):
        # The middle of an edge, which is on no other line.
        x, y = (hole[0] + hole[1]) / 2
        enclosing = (
            one for one in polygons if cv2.pointPolygonTest(one.exterior.astype(np.float32), (x, y), False) > 0
        )
        next(enclosing).holes.append(hole)
    offset = np.array([lesion.left, lesion.top])
    return [Polygon(one.exterior + offset, [hole + offset for hole in one.holes]) for one in reversed(polygons)]


def _edges(mask: npt.NDArray[np.bool_]) -> dict[_Corner, list[_Corner]]:
    """Return where the edges from each corner lead; the foreground is to their right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    edges: dict[_Corner, list[_Corner]] = {}
    for neighbor, (x0, y0), (x1, y1) in sides:
        for row, column in np.argwhere(inside & ~neighbor).tolist():
            edges.setdefault((column + x0, row + y0), []).append((column + x1, row + y1))
    return edges


def _loops(edges: dict[_Corner, list[_Corner]]) -> list[list[_Corner]]:
    """Return closed lines, which may pass a corner twice."""
    loops = []
    while edges:
        start = next(iter(edges))
        loop, corner = [start], _take(edges, start)
        while corner != start or start in edges:
            loop.append(corner)
            corner = _take(edges, corner)
        loops.append(loop)
    return loops


def _take(edges: dict[_Corner, list[_Corner]], corner: _Corner) -> _Corner:
    target = edges[corner].pop()
    if not edges[corner]:
        del edges[corner]
    return target


def _split(loop: list[_Corner]) -> list[list[_Corner]]:
    """Divide a line at the corners that it passes twice."""
    rings: list[list[_Corner]] = []
    open_corners: list[_Corner] = []
    places: dict[_Corner, int] = {}
    for corner in loop:
        if corner in places:
            first = places[corner]
            rings.append(open_corners[first:])
            for passed in open_corners[first + 1 :]:
                del places[passed]
            del open_corners[first + 1 :]
        else:
            places[corner] = len(open_corners)
            open_corners.append(corner)
    return [*rings, open_corners]


def _simplify(ring: list[_Corner]) -> Ring:
    """Return the corners at which a line turns."""
    corners = np.array(ring)
    before, after = corners - np.roll(corners, 1, 0), np.roll(corners, -1, 0) - corners
    return corners[(before != after).any(axis=1)]


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
