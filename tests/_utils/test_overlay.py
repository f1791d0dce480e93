import numpy as np
import numpy.typing as npt
import pytest

from acsnet._utils.overlay import (
    BOX_COLOR,
    MAX_HEAT_OPACITY,
    PREDICTION_COLOR,
    SECOND_COLOR,
    TRUTH_COLOR,
    add_caption,
    draw_boxes,
    draw_contours,
    draw_heat,
)
from acsnet.errors import InputError

COLOR = (10, 20, 30)


def square(size: int, low: int, high: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((size, size), np.bool_)
    mask[low:high, low:high] = True
    return mask


def painted(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (picture == COLOR).all(axis=2)


def test_the_outline_of_a_square_is_its_border_pixels() -> None:
    image = np.full((12, 12, 3), 200, np.uint8)
    picture = draw_contours(image, square(12, 3, 9), COLOR)
    expected = square(12, 3, 9) & ~square(12, 4, 8)
    assert np.array_equal(painted(picture), expected)
    assert (picture[~expected] == 200).all()


@pytest.mark.parametrize("image", [np.zeros((12, 12, 3), np.uint8), np.zeros((3, 12, 12), np.uint8).transpose(1, 2, 0)])
def test_the_image_is_left_as_it_was_and_may_be_a_view(image: npt.NDArray[np.uint8]) -> None:
    picture = draw_contours(image, square(12, 3, 9), COLOR)
    assert not image.any()
    assert painted(picture).any()


def test_holes_have_no_outline() -> None:
    mask = square(16, 2, 14) & ~square(16, 6, 10)
    picture = draw_contours(np.zeros((16, 16, 3), np.uint8), mask, COLOR)
    assert np.array_equal(painted(picture), square(16, 2, 14) & ~square(16, 3, 13))


def test_an_empty_mask_draws_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    assert np.array_equal(draw_contours(image, np.zeros((12, 12), np.bool_), COLOR), image)


def test_every_part_of_a_mask_is_outlined() -> None:
    mask = square(20, 2, 5) | square(20, 10, 16)
    picture = painted(draw_contours(np.zeros((20, 20, 3), np.uint8), mask, COLOR))
    assert picture[2, 2]
    assert picture[15, 15]


def test_outlines_are_wider_on_larger_images() -> None:
    widths = []
    for size in (300, 900, 1800):
        picture = draw_contours(np.zeros((size, size, 3), np.uint8), square(size, size // 4, size // 2), COLOR)
        widths.append(painted(picture)[: size // 3, size // 3].sum())
    assert widths[0] == 1
    assert widths[0] < widths[1] < widths[2] < 12


def test_everything_drawn_has_a_color_of_its_own() -> None:
    assert len({TRUTH_COLOR, PREDICTION_COLOR, SECOND_COLOR, BOX_COLOR}) == 4


@pytest.mark.parametrize("text", ["ok", "benign: a caption that is far too long for so narrow a picture", ""])
@pytest.mark.parametrize("width", [40, 200])
def test_a_caption_is_a_strip_below_the_image_and_fits(text: str, width: int) -> None:
    image = np.full((30, width, 3), 7, np.uint8)
    picture = add_caption(image, text)
    assert picture.shape == (50, width, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture[:30], image)
    columns = np.flatnonzero(picture[30:].any(axis=(0, 2)))
    assert (columns.size > 0) == bool(text)
    assert not columns.size or columns[-1] < width - 1, "no letter is cut off"


def test_a_short_caption_is_not_shrunk() -> None:
    extents = [
        np.flatnonzero(add_caption(np.zeros((4, width, 3), np.uint8), "benign").any(axis=(0, 2)))[-1]
        for width in (200, 400)
    ]
    assert extents[0] == extents[1]


def test_a_box_runs_around_its_pixels_and_covers_none() -> None:
    image = np.full((12, 16, 3), 200, np.uint8)
    drawn = painted(draw_boxes(image, [(4, 3, 9, 7)], COLOR))
    expected = np.zeros((12, 16), np.bool_)
    expected[2:8, 3:10] = True
    expected[3:7, 4:9] = False
    assert np.array_equal(drawn, expected)
    assert (image == 200).all()


def test_a_box_at_the_border_stays_in_the_image() -> None:
    drawn = painted(draw_boxes(np.zeros((8, 10, 3), np.uint8), [(0, 0, 10, 8)], COLOR))
    expected = np.ones((8, 10), np.bool_)
    expected[1:-1, 1:-1] = False
    assert np.array_equal(drawn, expected)


def test_no_box_draws_nothing() -> None:
    assert not painted(draw_boxes(np.zeros((8, 10, 3), np.uint8), [], COLOR)).any()


def test_heat_is_laid_over_the_image() -> None:
    """No heat changes nothing; the color is the map's, and the image's share what its opacity leaves."""
    image = np.full((2, 3, 3), 100, np.uint8)
    heat = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    picture = draw_heat(image, heat)
    assert (picture.shape, picture.dtype) == ((2, 3, 3), np.uint8)
    assert (picture[heat == 0] == 100).all()
    # Matplotlib's inferno at 128 of 255 and at its end, by its published table.
    for position, color, value in (((0, 1), (188, 55, 84), 0.5), ((0, 2), (252, 255, 164), 1.0)):
        share = MAX_HEAT_OPACITY * value
        np.testing.assert_allclose(picture[position], (1 - share) * 100 + share * np.array(color), atol=1.5)
    assert (image == 100).all()


def test_hotter_is_brighter_than_a_black_image() -> None:
    picture = draw_heat(np.zeros((1, 256, 3), np.uint8), np.linspace(0, 1, 256, dtype=np.float32)[None])
    brightness = picture.astype(int).sum(axis=2)[0]
    assert (np.diff(brightness) >= -2).all(), "but for rounding"
    assert brightness[-1] > 500


def test_heat_that_does_not_fit_is_refused() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(
        InputError, match=r"the heat map's shape is \(5, 4\) and the image's \(4, 5\): expected the same"
    ):
        draw_heat(image, np.zeros((5, 4)))
    for wrong in (1.5, -0.5, np.nan):
        with pytest.raises(InputError, match=r"the heat map has values from .* to .*: expected 0 to 1"):
            draw_heat(image, np.full((4, 5), wrong))
