"""Shapes whose size is known: rectangles to the pixel, ellipses to a few percent, on grids of any spacing."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from acsnet.errors import InputError
from acsnet.inference import lesion_shapes


def draw_ellipse(semi_axes: tuple[float, float], degrees: float, spacing: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Draw an ellipse in the middle of an image; semi-axes in millimeters, the first one turned from the row axis."""
    extent = 2.4 * max(semi_axes)
    shape = (int(extent / spacing[0]), int(extent / spacing[1]))
    y = (np.arange(shape[0]) + 0.5) * spacing[0] - shape[0] * spacing[0] / 2
    x = (np.arange(shape[1]) + 0.5) * spacing[1] - shape[1] * spacing[1] / 2
    along = x[None] * math.cos(math.radians(degrees)) + y[:, None] * math.sin(math.radians(degrees))
    across = -x[None] * math.sin(math.radians(degrees)) + y[:, None] * math.cos(math.radians(degrees))
    return (along / semi_axes[0]) ** 2 + (across / semi_axes[1]) ** 2 <= 1


def ellipse_perimeter(a: float, b: float) -> float:
    angles = np.linspace(0, 2 * np.pi, 20000, endpoint=False)
    return float(2 * np.pi * np.hypot(a * np.sin(angles), b * np.cos(angles)).mean())


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (0.6, 0.4)])
@pytest.mark.parametrize("degrees", [0, 17, 45, 90])
@pytest.mark.parametrize("semi_axes", [(20, 20), (24, 15), (30, 12)])
def test_ellipses(semi_axes: tuple[float, float], degrees: float, spacing: tuple[float, float]) -> None:
    (shape,) = lesion_shapes(draw_ellipse(semi_axes, degrees, spacing), spacing)
    a, b = semi_axes
    assert shape.area == pytest.approx(math.pi * a * b, rel=0.01)
    assert shape.perimeter == pytest.approx(ellipse_perimeter(a, b), rel=0.02)
    assert shape.long_axis == pytest.approx(2 * a, abs=1.5 * max(spacing))
    assert shape.short_axis == pytest.approx(2 * b, abs=2.5 * max(spacing))
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    assert shape.width == pytest.approx(2 * math.hypot(a * cosine, b * sine), abs=2 * spacing[1])
    assert shape.height == pytest.approx(2 * math.hypot(a * sine, b * cosine), abs=2 * spacing[0])
    assert shape.center == pytest.approx((0.5, 0.5), abs=0.01)
    expected = 4 * math.pi * math.pi * a * b / ellipse_perimeter(a, b) ** 2
    assert shape.circularity == pytest.approx(expected, rel=0.04)


def test_a_rectangle_is_exact_but_for_its_perimeter() -> None:
    mask = np.zeros((50, 80), np.bool_)
    mask[10:20, 40:70] = True
    (shape,) = lesion_shapes(mask, (0.2, 0.1))
    assert (shape.height, shape.width, shape.area, shape.pixels) == pytest.approx((2, 3, 6, 300))
    assert shape.long_axis == pytest.approx(math.hypot(2, 3))
    assert shape.perimeter == pytest.approx(10, rel=0.07)
    assert shape.center == pytest.approx((0.3, 55 / 80))
    assert not shape.taller_than_wide


def test_one_pixel_is_a_rectangle() -> None:
    mask = np.zeros((4, 4), np.bool_)
    mask[1, 2] = True
    (shape,) = lesion_shapes(mask)
    assert (shape.width, shape.height, shape.area) == (1, 1, 1)
    assert shape.long_axis == pytest.approx(math.sqrt(2))
    assert shape.short_axis == pytest.approx(math.sqrt(2))
    assert 0 < shape.circularity <= 1


def test_the_spacing_decides_what_is_taller_than_wide() -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[5:15, 5:20] = True
    assert not lesion_shapes(mask)[0].taller_than_wide
    assert lesion_shapes(mask, (0.2, 0.1))[0].taller_than_wide


def test_lesions_are_listed_by_size() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[2:4, 2:4] = True
    mask[4, 4] = True  # touches at a corner
    mask[20:30, 20:30] = True
    mask[20:30, 5] = True
    assert [shape.pixels for shape in lesion_shapes(mask)] == [100, 10, 5]


def test_a_hole_is_not_area() -> None:
    mask = np.ones((20, 20), np.bool_)
    mask[5:15, 5:15] = False
    (shape,) = lesion_shapes(mask)
    assert shape.area == 300
    assert shape.perimeter == pytest.approx(120, rel=0.07), "the outline of the hole counts"


def test_a_mask_at_the_border_of_the_image() -> None:
    (shape,) = lesion_shapes(np.ones((10, 10), np.bool_))
    assert shape.perimeter == pytest.approx(40, rel=0.07)
    assert shape.center == (0.5, 0.5)


def test_an_empty_mask_has_no_lesion() -> None:
    assert lesion_shapes(np.zeros((10, 10), np.bool_)) == ()


@pytest.mark.parametrize(
    ("mask", "spacing", "message"),
    [
        (np.zeros((4, 4), np.uint8), None, r"the mask is uint8 of shape \(4, 4\): expected a boolean array \(H, W\)"),
        (np.zeros((4, 4, 1), np.bool_), None, r"the mask is bool of shape \(4, 4, 1\): expected"),
        (np.zeros((4, 4), np.bool_), (0.1,), r"the spacing is \(0\.1,\): expected two numbers above 0"),
        (np.zeros((4, 4), np.bool_), (0.1, 0), r"the spacing is \(0\.1, 0\): expected two numbers above 0"),
        (np.zeros((4, 4), np.bool_), (0.1, math.nan), r"the spacing is \(0\.1, nan\): expected"),
    ],
)
def test_what_is_refused(mask: npt.NDArray[np.bool_], spacing: tuple[float, ...] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lesion_shapes(mask, spacing)
