import numpy as np
import pytest

from acsnet.curation.findings import FLAG_DESCRIPTIONS, CurationFlag
from acsnet.curation.flags.mask import mask_flags
from acsnet.data.images import BoolArray


def _mask(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (100, 120)) -> BoolArray:
    mask = np.zeros(size, dtype=np.bool_)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_correct_masks_have_no_flag() -> None:
    assert mask_flags(_mask((20, 30, 50, 60)), "benign") == ()
    assert mask_flags(_mask(), "normal") == ()


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_empty_mask_of_a_lesion(label: str) -> None:
    assert mask_flags(_mask(), label) == (CurationFlag("lesion-mask-empty", f"no foreground in a {label} image"),)


def test_lesion_in_a_normal_mask() -> None:
    flags = mask_flags(_mask((20, 30, 24, 33)), "normal")
    assert flags == (CurationFlag("normal-mask-not-empty", "12 pixels", ((20, 30, 24, 33),)),)


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        ((0, 30, 40, 60), "left"),
        ((30, 0, 60, 40), "top"),
        ((80, 30, 120, 60), "right"),
        ((30, 60, 60, 100), "bottom"),
        ((0, 0, 40, 40), "left, top"),
    ],
)
def test_border(box: tuple[int, int, int, int], sides: str) -> None:
    assert mask_flags(_mask(box), "benign") == (CurationFlag("mask-border", sides, (box,)),)


@pytest.mark.parametrize("box", [(1, 30, 40, 60), (30, 1, 60, 40), (80, 30, 119, 60), (30, 60, 60, 99)])
def test_one_pixel_from_the_border_is_not_at_it(box: tuple[int, int, int, int]) -> None:
    assert mask_flags(_mask(box), "benign") == ()


def test_only_components_at_the_border_have_a_box() -> None:
    flags = mask_flags(_mask((0, 30, 20, 60), (50, 30, 90, 60)), "benign")
    assert [flag.kind for flag in flags] == ["mask-border", "mask-components"]
    assert flags[0].boxes == ((0, 30, 20, 60),)


def test_two_lesions_are_components_but_not_specks() -> None:
    flags = mask_flags(_mask((10, 10, 20, 20), (40, 30, 90, 60)), "malignant")
    expected = CurationFlag("mask-components", "2 components: 1500, 100 pixels", ((40, 30, 90, 60), (10, 10, 20, 20)))
    assert flags == (expected,)


def test_pixels_that_touch_by_a_corner_are_one_component() -> None:
    assert mask_flags(_mask((10, 10, 30, 30), (30, 30, 50, 50)), "benign") == ()
    separate = mask_flags(_mask((10, 10, 30, 30), (31, 31, 50, 50)), "benign")
    assert [flag.kind for flag in separate] == ["mask-components"]


def test_specks_next_to_a_lesion() -> None:
    flags = mask_flags(_mask((40, 30, 90, 60), (10, 10, 11, 11), (20, 80, 22, 82)), "malignant")
    assert flags[0].detail == "3 components: 1500, 4, 1 pixels"
    assert flags[1] == CurationFlag("mask-specks", "2 of 4, 1 pixels", ((20, 80, 22, 82), (10, 10, 11, 11)))


def test_speck_is_singular() -> None:
    flags = mask_flags(_mask((40, 30, 90, 60), (10, 10, 11, 11)), "malignant")
    assert flags[1] == CurationFlag("mask-specks", "1 of 1 pixel", ((10, 10, 11, 11),))


def test_a_speck_is_tiny_relative_to_the_largest_component() -> None:
    # 5 pixels are at most 1 % of 500, but not of 499.
    speck = (10, 10, 15, 11)
    assert [flag.kind for flag in mask_flags(_mask((40, 30, 90, 40), speck), "benign")][1:] == ["mask-specks"]
    smaller = _mask((40, 30, 90, 40), speck)
    smaller[30, 40] = False
    assert [flag.kind for flag in mask_flags(smaller, "benign")] == ["mask-components"]


def test_a_speck_is_tiny_relative_to_the_image() -> None:
    # 0.02 % of 500 x 600 pixels are 60; both are less than 1 % of the largest.
    lesion, size = (100, 100, 300, 200), (500, 600)
    at_most, more = _mask(lesion, (10, 10, 20, 16), size=size), _mask(lesion, (10, 10, 71, 11), size=size)
    assert [flag.kind for flag in mask_flags(at_most, "benign")] == ["mask-components", "mask-specks"]
    assert [flag.kind for flag in mask_flags(more, "benign")] == ["mask-components"]


def test_a_mask_of_specks_alone() -> None:
    flags = mask_flags(_mask((10, 10, 12, 12), (50, 50, 51, 51)), "benign")
    assert flags[1] == CurationFlag("mask-specks", "2 of 4, 1 pixels", ((10, 10, 12, 12), (50, 50, 51, 51)))
    assert [flag.kind for flag in mask_flags(_mask((10, 10, 12, 12)), "benign")] == ["mask-specks"]


def test_every_kind_has_a_description() -> None:
    masks = [_mask((0, 0, 30, 30), (50, 50, 51, 51)), _mask()]
    kinds = {flag.kind for mask in masks for label in ("benign", "normal") for flag in mask_flags(mask, label)}
    assert len(kinds) == 5
    assert kinds <= set(FLAG_DESCRIPTIONS)
