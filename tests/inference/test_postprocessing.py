import numpy as np
import numpy.typing as npt
import pytest

from acsnet.config import PostprocessingConfig
from acsnet.inference.postprocessing import fill_holes, keep_largest_piece, postprocess, remove_small_pieces
from acsnet.metrics import count_lesions


def draw(*rows: str) -> npt.NDArray[np.bool_]:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


# Pieces of 5 (two squares that touch at a corner), 1, 8 (a ring with a hole) and 2 pixels; 8 x 5 = 40 of them in all.
MASK = draw(
    "##...###",
    "##...#.#",
    "..#..###",
    "........",
    "#.....##",
)


def test_pieces_smaller_than_the_share_go() -> None:
    # 2 / 40: the piece of 2 pixels is just large enough.
    assert np.array_equal(
        remove_small_pieces(MASK, 0.05), draw("##...###", "##...#.#", "..#..###", "........", "......##")
    )
    assert np.array_equal(
        remove_small_pieces(MASK, 0.051), draw("##...###", "##...#.#", "..#..###", "........", "........")
    )
    assert np.array_equal(
        remove_small_pieces(MASK, 0.2), draw(".....###", ".....#.#", ".....###", "........", "........")
    )
    assert not remove_small_pieces(MASK, 0.21).any()


def test_the_largest_piece_stays() -> None:
    expected = draw(".....###", ".....#.#", ".....###", "........", "........")
    assert np.array_equal(keep_largest_piece(MASK), expected)


def test_pixels_that_touch_at_a_corner_are_one_piece() -> None:
    """As lesions are counted."""
    diagonal = draw("#...", ".#..", "..#.", "#...")
    assert np.array_equal(keep_largest_piece(diagonal), draw("#...", ".#..", "..#.", "...."))
    assert count_lesions(diagonal, np.zeros_like(diagonal)).false_positives == 2


def test_of_equal_pieces_the_first_stays() -> None:
    assert np.array_equal(keep_largest_piece(draw("..##", "#...", "#...")), draw("..##", "....", "...."))


def test_holes_are_filled() -> None:
    expected = draw("##...###", "##...###", "..#..###", "........", "#.....##")
    assert np.array_equal(fill_holes(MASK), expected)
    ring = draw(".#.", "#.#", ".#.")
    assert np.array_equal(fill_holes(ring), draw(".#.", "###", ".#.")), "corners that touch enclose"
    open_ring = draw("###", "#.#", "#.#")
    assert np.array_equal(fill_holes(open_ring), open_ring), "a bay at the border is no hole"


@pytest.mark.parametrize("step", [lambda mask: remove_small_pieces(mask, 0.1), keep_largest_piece, fill_holes])
def test_empty_and_full_masks_stay(step: object) -> None:
    for mask in (np.zeros((4, 5), np.bool_), np.ones((4, 5), np.bool_)):
        result = step(mask)  # type: ignore[operator]
        assert result.dtype == np.bool_
        assert np.array_equal(result, mask)


def test_off_by_default() -> None:
    assert postprocess(MASK, PostprocessingConfig()) is MASK


def test_all_together() -> None:
    before = MASK.copy()
    settings = PostprocessingConfig(minimum_area=0.1, largest_component=True, fill_holes=True)
    assert np.array_equal(postprocess(MASK, settings), draw(".....###", ".....###", ".....###", "........", "........"))
    assert np.array_equal(MASK, before)


def test_holes_come_last() -> None:
    """The full piece has 8 pixels, the ring 10 and would have 14: were holes filled first, both orders would differ."""
    mask = draw("####.####", "#..#.####", "#..#.....", "####.....")
    mask[3, 0] = mask[0, 3] = False
    assert (mask[:, :4].sum(), mask[:, 5:].sum()) == (10, 8)
    # A share that the ring has only once it is filled: it goes before that.
    assert not postprocess(mask, PostprocessingConfig(minimum_area=11 / 36, fill_holes=True)).any()
    # Of 10 and 8 pixels the ring stays, and is filled then.
    kept = postprocess(mask, PostprocessingConfig(largest_component=True, fill_holes=True))
    assert (kept[:, :4].sum(), kept[:, 5:].sum()) == (14, 0)


def test_small_pieces_go_before_the_largest_is_kept() -> None:
    settings = PostprocessingConfig(minimum_area=0.5, largest_component=True)
    assert not postprocess(MASK, settings).any()
