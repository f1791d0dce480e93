import cv2
import numpy as np
import pytest

from acsnet.curation.duplicates.alignment import align, warp
from acsnet.curation.duplicates.description import describe
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.phantom import make_phantom

SIZE = 200


@pytest.fixture(scope="module")
def phantom() -> tuple[UInt8Array, BoolArray]:
    made = make_phantom("benign", 11, (SIZE, SIZE))
    return cv2.cvtColor(made.image, cv2.COLOR_GRAY2RGB), made.mask > 0


def test_an_image_is_aligned_to_itself_by_the_identity(phantom: tuple[UInt8Array, BoolArray]) -> None:
    found = align(describe(*phantom), describe(*phantom))
    assert found is not None
    assert np.allclose(found.transform, np.eye(2, 3), atol=1e-3)
    assert found.similarity == pytest.approx(1, abs=1e-4)
    assert found.overlap == (1, 1)
    assert found.mask_dice == 1


def test_a_crop_is_aligned_to_its_original_position(phantom: tuple[UInt8Array, BoolArray]) -> None:
    image, mask = phantom
    crop = describe(np.ascontiguousarray(image[30:170, 50:190]), np.ascontiguousarray(mask[30:170, 50:190]))
    found = align(describe(image, mask), crop)
    assert found is not None
    assert np.allclose(found.transform, [[1, 0, -50], [0, 1, -30]], atol=0.6)
    assert found.overlap[0] == pytest.approx((140 / SIZE) ** 2, abs=0.02)
    assert found.overlap[1] == pytest.approx(1, abs=0.02)
    assert found.similarity > 0.9
    # The result is the same in both directions.
    back = align(crop, describe(image, mask))
    assert back is not None
    assert np.allclose(back.transform, [[1, 0, 50], [0, 1, 30]], atol=0.6)
    assert back.overlap[0] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("width", "height"), [(90, 90), (120, 100), (80, 110)])
def test_a_smaller_copy_is_compared_at_its_own_size(
    phantom: tuple[UInt8Array, BoolArray], width: int, height: int
) -> None:
    image, mask = phantom
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    small_mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    for first, second in (((image, mask), (small, small_mask)), ((small, small_mask), (image, mask))):
        found = align(describe(*first), describe(*second))
        assert found is not None
        assert found.similarity > 0.9
        assert found.overlap[0] > 0.97
        assert found.mask_dice is not None
        assert found.mask_dice > 0.9


def test_masks_are_compared_where_the_images_overlap(phantom: tuple[UInt8Array, BoolArray]) -> None:
    image, _ = phantom
    first, second = np.zeros((2, SIZE, SIZE), np.bool_)
    first[50:100, 50:100] = True
    second[50:100, 75:125] = True
    found = align(describe(image, first), describe(image, second))
    assert found is not None
    assert found.mask_dice == pytest.approx(0.5)
    # The right half of the second mask lies outside the crop.
    crop = describe(np.ascontiguousarray(image[:, :100]), np.ascontiguousarray(first[:, :100]))
    found = align(describe(image, second), crop)
    assert found is not None
    assert found.mask_dice == pytest.approx(2 * 25 / 75, abs=0.03)
    empty = np.zeros((SIZE, SIZE), np.bool_)
    both_empty, missing = (align(describe(image, empty), describe(image, mask)) for mask in (empty, None))
    assert both_empty is not None
    assert missing is not None
    assert both_empty.mask_dice == 1
    assert missing.mask_dice is None


def test_different_scans_are_not_aligned(phantom: tuple[UInt8Array, BoolArray]) -> None:
    other = cv2.cvtColor(make_phantom("malignant", 12, (SIZE, SIZE)).image, cv2.COLOR_GRAY2RGB)
    found = align(describe(*phantom), describe(other, None))
    assert found is None or found.similarity < 0.35
    flat = describe(np.full((SIZE, SIZE, 3), 60, np.uint8), None)
    assert align(describe(*phantom), flat) is None


def test_mirror_images_are_aligned_only_after_mirroring(phantom: tuple[UInt8Array, BoolArray]) -> None:
    image, mask = phantom
    mirror = describe(np.ascontiguousarray(image[:, ::-1]), None)
    found = align(describe(image, mask), mirror)
    assert found is None or found.similarity < 0.5
    found = align(describe(image, mask).mirrored(), mirror)
    assert found is not None
    assert found.similarity > 0.99


def test_warping_shifts_by_whole_pixels_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    shifted = warp(image, np.array([[1.0, 0, 4], [0, 1.0, 2]]), (15, 20))
    assert np.array_equal(shifted, image[2:17, 4:24])
