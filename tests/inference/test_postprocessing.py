import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from acsnet.config import PostprocessingConfig
from acsnet.inference.postprocessing import fill_holes, keep_largest_component, postprocess, remove_small_components
from acsnet.metrics import count_lesions


def draw(*rows: str) -> npt.NDArray[np.bool_]:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


# Components of 5 (a square and a pixel that touch at a corner), 8 (a ring with a hole), 1 and 2 pixels, in 8 x 5 = 40.
MASK = draw(
    "##...###",
    "##...#.#",
    "..#..###",
    "........",
    "#.....##",
)


def test_components_below_the_minimum_area_are_removed() -> None:
    # 2 / 40: the component of 2 pixels is just large enough.
    assert np.array_equal(
        remove_small_components(MASK, 0.05), draw("##...###", "##...#.#", "..#..###", "........", "......##")
    )
    assert np.array_equal(
        remove_small_components(MASK, 0.051), draw("##...###", "##...#.#", "..#..###", "........", "........")
    )
    assert np.array_equal(
        remove_small_components(MASK, 0.2), draw(".....###", ".....#.#", ".....###", "........", "........")
    )
    assert not remove_small_components(MASK, 0.21).any()


def test_the_largest_component_is_kept() -> None:
    expected = draw(".....###", ".....#.#", ".....###", "........", "........")
    assert np.array_equal(keep_largest_component(MASK), expected)


def test_pixels_that_touch_at_a_corner_are_connected() -> None:
    """As in the count of lesions."""
    diagonal = draw("#...", ".#..", "..#.", "#...")
    assert np.array_equal(keep_largest_component(diagonal), draw("#...", ".#..", "..#.", "...."))
    assert count_lesions(diagonal, np.zeros_like(diagonal)).false_positives == 2


def test_ties_go_to_the_first_component() -> None:
    assert np.array_equal(keep_largest_component(draw("..##", "#...", "#...")), draw("..##", "....", "...."))


def test_holes_are_filled() -> None:
    expected = draw("##...###", "##...###", "..#..###", "........", "#.....##")
    assert np.array_equal(fill_holes(MASK), expected)
    ring = draw(".#.", "#.#", ".#.")
    assert np.array_equal(fill_holes(ring), draw(".#.", "###", ".#.")), "corners that touch enclose"
    open_ring = draw("###", "#.#", "#.#")
    assert np.array_equal(fill_holes(open_ring), open_ring), "a bay at the border is not a hole"


@pytest.mark.parametrize("step", [lambda mask: remove_small_components(mask, 0.1), keep_largest_component, fill_holes])
def test_empty_and_full_masks_do_not_change(step: object) -> None:
    for mask in (np.zeros((4, 5), np.bool_), np.ones((4, 5), np.bool_)):
        result = step(mask)  # type: ignore[operator]
        assert result.dtype == np.bool_
        assert np.array_equal(result, mask)


def test_off_by_default() -> None:
    assert postprocess(MASK, PostprocessingConfig()) is MASK


def test_all_steps_together() -> None:
    before = MASK.copy()
    settings = PostprocessingConfig(minimum_area=0.1, largest_component=True, fill_holes=True)
    assert np.array_equal(postprocess(MASK, settings), draw(".....###", ".....###", ".....###", "........", "........"))
    assert np.array_equal(MASK, before)


def test_holes_come_last() -> None:
    """The full component has 8 pixels; the ring has 10, and 14 once it is filled, so that the order matters."""
    mask = draw("####.####", "#..#.####", "#..#.....", "####.....")
    mask[3, 0] = mask[0, 3] = False
    assert (mask[:, :4].sum(), mask[:, 5:].sum()) == (10, 8)
    # The ring reaches this area only once it is filled, and is removed before.
    assert not postprocess(mask, PostprocessingConfig(minimum_area=11 / 36, fill_holes=True)).any()
    # The ring is the larger component, and is filled afterwards.
    kept = postprocess(mask, PostprocessingConfig(largest_component=True, fill_holes=True))
    assert (kept[:, :4].sum(), kept[:, 5:].sum()) == (14, 0)


def test_small_components_are_removed_before_the_largest_is_kept() -> None:
    settings = PostprocessingConfig(minimum_area=0.5, largest_component=True)
    assert not postprocess(MASK, settings).any()


@pytest.mark.parametrize(("seed", "density"), [(0, 0.3), (1, 0.45), (2, 0.6), (3, 0.8)])
def test_noise_is_processed_as_by_scipy(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((37, 53)) < density
    components, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(components.ravel())
    assert np.array_equal(keep_largest_component(mask), components == 1 + areas[1:].argmax())
    assert np.array_equal(remove_small_components(mask, 0.005), (areas >= 0.005 * mask.size)[components] & mask)
    assert np.array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
