"""Size and shape of the lesions in a mask: what a caliper and a planimeter would read off it.

The values describe the predicted mask, not the lesion: they are as right as its outline. No BI-RADS category follows
from them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.components import label_components
from acsnet.errors import InputError
from acsnet.metrics._distances import check_spacing

Mask = npt.NDArray[np.bool_]
# The steps, in pixels (down, right), of the parallel lines that the perimeter is counted on.
_DIRECTIONS = ((0, 1), (1, 2), (1, 1), (2, 1), (1, 0), (2, -1), (1, -1), (1, -2))


class Lesion(NamedTuple):
    """One connected component of a mask.

    Attributes:
        top: its first row in the image.
        left: its first column in the image.
        mask: boolean (h, w), the component within its bounding box.
    """

    top: int
    left: int
    mask: Mask

    @property
    def center(self) -> tuple[float, float]:
        """Center of mass (down, right) in pixels from the corner of the image; the first pixel covers 0 to 1."""
        rows, columns = np.nonzero(self.mask)
        return float(rows.mean()) + self.top + 0.5, float(columns.mean()) + self.left + 0.5


@dataclass(frozen=True)
class LesionShape:
    """Size and shape of one lesion; lengths in millimeters if the spacing is known, otherwise in pixels.

    Attributes:
        width: extent parallel to the skin, that is, along the rows of the image.
        height: extent in depth, that is, along the columns.
        area: area of its pixels.
        perimeter: length of the outline, by the Cauchy-Crofton formula on lines of eight directions; within 2 % for
            smooth outlines of lesions at least 20 pixels across; up to 7 % too small for rectangles of 10 pixels.
        long_axis: the largest distance between two points of the outline.
        short_axis: the extent perpendicular to the long axis.
        taller_than_wide: whether the height is larger than the width.
        circularity: 4 pi area / perimeter^2, 1 for a disk and less for other shapes; at most 1.
        center: its center of mass as fractions (down, right) of the height and width of the image, 0 to 1.
        pixels: number of its pixels.
    """

    width: float
    height: float
    area: float
    perimeter: float
    long_axis: float
    short_axis: float
    taller_than_wide: bool
    circularity: float
    center: tuple[float, float]
    pixels: int


def lesion_shapes(mask: Mask, spacing: Sequence[float] | None = None) -> tuple[LesionShape, ...]:
    """Return the shape of each lesion of a mask, the largest first.

    A lesion is a connected component of the mask; pixels that touch at a corner are connected. A pixel counts as a
    rectangle: a lesion of one row of pixels is one pixel high.

    Args:
        mask: boolean (H, W).
        spacing: millimeters per pixel, (vertical, horizontal), or None if it is unknown.

    Raises:
        InputError: if the mask is not boolean with two dimensions, or the spacing is not two numbers above 0.

    Example:
        >>> import numpy as np
        >>> from acsnet.inference import lesion_shapes
        >>> mask = np.zeros((100, 100), dtype=bool)
        >>> mask[20:60, 10:30] = True
        >>> (shape,) = lesion_shapes(mask, spacing=(0.1, 0.2))
        >>> shape.height, shape.width, shape.area, shape.taller_than_wide
        (4.0, 4.0, 16.0, False)
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise InputError(f"the mask is {mask.dtype} of shape {mask.shape}: expected a boolean array (H, W)")
    if spacing is not None:
        check_spacing(spacing)
    down, right = (1.0, 1.0) if spacing is None else (float(value) for value in spacing)
    return tuple(describe_lesion(lesion, mask.shape, (down, right)) for lesion in find_lesions(mask))


def find_lesions(mask: Mask) -> list[Lesion]:
    """Return the connected components of a mask (H, W) in the order of :func:`lesion_shapes`."""
    components, areas = label_components(mask)
    foreground = np.flatnonzero(components)
    order = foreground[np.argsort(components.flat[foreground], kind="stable")]
    lesions = []
    for pixels in np.split(order, np.cumsum(areas[1:]))[:-1]:
        rows, columns = np.divmod(pixels, mask.shape[1])
        top, left = int(rows.min()), int(columns.min())
        component = np.zeros((int(rows.max()) + 1 - top, int(columns.max()) + 1 - left), np.bool_)
        component[rows - top, columns - left] = True
        lesions.append(Lesion(top, left, component))
    return sorted(lesions, key=lambda lesion: (-int(lesion.mask.sum()), lesion.center))


def describe_lesion(lesion: Lesion, size: tuple[int, ...], spacing: tuple[float, float]) -> LesionShape:
    """Return the shape of a lesion in an image of a size (height, width); see :func:`lesion_shapes`."""
    down, right = spacing
    component = lesion.mask
    height, width = component.shape[0] * down, component.shape[1] * right
    pixels = int(component.sum())
    area, perimeter = pixels * down * right, _perimeter(component, spacing)
    long_axis, short_axis = _axes(component, spacing)
    return LesionShape(
        width=width,
        height=height,
        area=area,
        perimeter=perimeter,
        long_axis=long_axis,
        short_axis=short_axis,
        taller_than_wide=height > width,
        circularity=min(1.0, 4 * math.pi * area / perimeter**2),
        center=(lesion.center[0] / size[0], lesion.center[1] / size[1]),
        pixels=pixels,
    )


def _perimeter(component: Mask, spacing: tuple[float, float]) -> float:
    """Return the length of the outline: half the number of its crossings with all lines (Cauchy-Crofton).

    Lines of one direction have the distance of the grid; each direction stands for the angles nearest to it.
    """
    down, right = spacing
    padded = np.pad(component, 2)
    steps = [(rows * down, columns * right) for rows, columns in _DIRECTIONS]
    angles = [math.atan2(*step) for step in steps]
    length = 0.0
    for i, ((rows, columns), step) in enumerate(zip(_DIRECTIONS, steps, strict=True)):
        before = angles[i - 1] - (math.pi if i == 0 else 0)
        after = angles[(i + 1) % len(angles)] + (math.pi if i == len(angles) - 1 else 0)
        distance = down * right / math.hypot(*step)
        crossings = np.count_nonzero(padded != np.roll(padded, (rows, columns), (0, 1)))
        length += (after - before) / 2 * distance * crossings
    return length / 2


def _axes(component: Mask, spacing: tuple[float, float]) -> tuple[float, float]:
    """Return the largest distance of two points, and the extent perpendicular to it."""
    (outline,), _ = cv2.findContours(component.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    pixels = outline[:, 0, ::-1]
    corners = np.concatenate([pixels + np.array([i, j]) for i in (0, 1) for j in (0, 1)])
    hull = cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64) * spacing
    differences = hull[:, None] - hull[None]
    distances = np.linalg.norm(differences, axis=2)
    first, second = np.unravel_index(distances.argmax(), distances.shape)
    long_axis = float(distances[first, second])
    normal = np.array([-differences[first, second, 1], differences[first, second, 0]]) / long_axis
    return long_axis, float(np.ptp(hull @ normal))
