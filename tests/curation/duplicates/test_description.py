import cv2
import numpy as np
import pytest

from acsnet.curation.duplicates.description import MAX_FEATURES, REDUCED_SIDE_PIXELS, describe
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom() -> tuple[UInt8Array, BoolArray]:
    made = make_phantom("malignant", 5, (300, 400))
    return cv2.cvtColor(made.image, cv2.COLOR_GRAY2RGB), made.mask > 0


def test_shapes_and_ranges(phantom: tuple[UInt8Array, BoolArray]) -> None:
    image, mask = phantom
    description = describe(image, mask)
    assert description.size == (300, 400)
    assert description.reduced.shape == (192, REDUCED_SIDE_PIXELS)
    assert (description.reduced.min(), description.reduced.max()) == (0, 255)
    assert description.points.shape == (MAX_FEATURES, 2)
    assert description.features.shape == (MAX_FEATURES, 128)
    lengths = np.linalg.norm(description.features.astype(np.float64) / 255, axis=1)
    assert np.allclose(lengths, 1, atol=0.03)
    assert description.mask is not None
    assert description.mask.mean() == pytest.approx(mask.mean(), rel=0.05)
    assert description.square.shape == (128, 128)
    assert np.linalg.norm(description.thumbnail) == pytest.approx(1, abs=1e-5)
    assert description.thumbnail.mean() == pytest.approx(0, abs=1e-6)


def test_a_small_image_is_not_enlarged(phantom: tuple[UInt8Array, BoolArray]) -> None:
    description = describe(phantom[0][:90, :70], None)
    assert description.reduced.shape == (90, 70)
    assert description.mask is None


def test_mirrored_is_the_description_of_the_mirror_image(phantom: tuple[UInt8Array, BoolArray]) -> None:
    image, mask = phantom
    expected = describe(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1]))
    mirrored = describe(image, mask).mirrored()
    assert np.array_equal(mirrored.reduced, expected.reduced)
    assert np.array_equal(mirrored.square, expected.square)
    assert np.allclose(mirrored.thumbnail, expected.thumbnail, atol=1e-6)
    assert mirrored.mask is not None
    assert np.array_equal(mirrored.mask, expected.mask)
    # The detector itself is symmetric except for rounding: nearly every feature has a counterpart at the same place.
    products = mirrored.features.astype(np.float32) @ expected.features.astype(np.float32).T / 255**2
    near = np.linalg.norm(mirrored.points[:, None] - expected.points[None], axis=2) < 1.5
    assert ((products > 0.95) & near).any(axis=1).mean() > 0.8
    plain = describe(image, mask).features.astype(np.float32) @ expected.features.astype(np.float32).T / 255**2
    assert (plain > 0.95).any(axis=1).mean() < 0.1


def test_brightness_makes_no_difference(phantom: tuple[UInt8Array, BoolArray]) -> None:
    image = phantom[0]
    dim, full = describe((image * 0.5).astype(np.uint8), None), describe(image, None)
    assert np.abs(dim.reduced.astype(int) - full.reduced).mean() < 2
    assert dim.thumbnail @ full.thumbnail > 0.999


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64)])
def test_a_flat_image_has_no_features(shape: tuple[int, int]) -> None:
    description = describe(np.full((*shape, 3), 70, np.uint8), np.zeros(shape, np.bool_))
    assert description.points.shape == (0, 2)
    assert description.features.shape == (0, 128)
    assert not description.thumbnail.any()
    assert description.mirrored().features.shape == (0, 128)
