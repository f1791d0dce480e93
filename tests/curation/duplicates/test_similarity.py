import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from acsnet.curation.duplicates.similarity import similarity_within, structural_similarity
from acsnet.data.images import UInt8Array


@pytest.fixture
def images() -> tuple[UInt8Array, UInt8Array]:
    """A smooth random picture and a noisy version of it."""
    generator = np.random.default_rng(3)
    smooth = gaussian_filter(generator.normal(size=(60, 80)), 3)
    first = np.interp(smooth, (smooth.min(), smooth.max()), (0, 255))
    second = np.clip(first + generator.normal(0, 25, first.shape), 0, 255)
    return first.astype(np.uint8), second.astype(np.uint8)


def test_agrees_with_monai(images: tuple[UInt8Array, UInt8Array]) -> None:
    from monai.metrics import SSIMMetric

    # MONAI's windows stay inside; mirrored at the borders first, the image gives the same windows as ours.
    padded = [torch.from_numpy(np.pad(image, 5, mode="reflect").astype(np.float32))[None, None] for image in images]
    metric = SSIMMetric(spatial_dims=2, data_range=255.0, win_size=11, kernel_sigma=1.5)
    assert structural_similarity(*images) == pytest.approx(metric(*padded).item(), abs=1e-4)


def test_agrees_with_the_formula_in_float64(images: tuple[UInt8Array, UInt8Array]) -> None:
    first, second = (image.astype(np.float64) for image in images)

    def blur(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, mode="mirror", radius=5)

    mean_1, mean_2 = blur(first), blur(second)
    variance_1, variance_2 = blur(first**2) - mean_1**2, blur(second**2) - mean_2**2
    covariance = blur(first * second) - mean_1 * mean_2
    numerator = (2 * mean_1 * mean_2 + 2.55**2) * (2 * covariance + 7.65**2)
    expected = numerator / ((mean_1**2 + mean_2**2 + 2.55**2) * (variance_1 + variance_2 + 7.65**2))
    assert structural_similarity(*images) == pytest.approx(expected.mean(), abs=1e-4)


def test_equal_images_have_similarity_one(images: tuple[UInt8Array, UInt8Array]) -> None:
    assert structural_similarity(images[0], images[0]) == pytest.approx(1, abs=1e-6)
    assert structural_similarity(*images) < 0.8


def test_another_tone_curve_makes_no_difference_within_an_area(images: tuple[UInt8Array, UInt8Array]) -> None:
    image = images[0]
    darker = (255 * (image / 255) ** 1.8 * 0.6).astype(np.uint8)
    whole = np.ones(image.shape, np.bool_)
    assert structural_similarity(image, darker) < 0.8
    assert similarity_within(image, darker, whole) > 0.97


def test_only_the_area_counts(images: tuple[UInt8Array, UInt8Array]) -> None:
    image = images[0]
    other = image.copy()
    other[:, 40:] = np.random.default_rng(0).integers(0, 256, (60, 40))
    area = np.zeros(image.shape, np.bool_)
    area[:, :30] = True
    assert similarity_within(image, other, area) == pytest.approx(1, abs=0.01)
    assert similarity_within(image, other, ~area) < 0.6


def test_flat_borders_are_ignored() -> None:
    first, second = np.zeros((2, 300, 300), np.uint8)
    first[90:210, 90:210] = np.random.default_rng(0).integers(0, 256, (120, 120))
    second[90:210, 90:210] = np.random.default_rng(1).integers(0, 256, (120, 120))
    assert structural_similarity(first, second) > 0.8
    assert similarity_within(first, second, np.ones((300, 300), np.bool_)) < 0.15


def test_an_area_without_structure_has_similarity_zero() -> None:
    flat, empty = np.full((40, 40), 90, np.uint8), np.zeros((40, 40), np.bool_)
    assert similarity_within(flat, flat, ~empty) == 0
    assert similarity_within(flat, flat, empty) == 0
