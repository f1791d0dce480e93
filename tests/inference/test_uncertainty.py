import numpy as np
import pytest
import torch

from acsnet.inference.uncertainty import label_entropy, mask_entropy, mean_mask_uncertainty


def test_mask_entropy_by_hand() -> None:
    # -(1/4) log2(1/4) - (3/4) log2(3/4)
    quarter = 0.5 + 0.75 * (2 - np.log2(3))
    probability = np.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.5]], np.float32)
    entropy = mask_entropy(probability)
    assert entropy.dtype == np.float32
    np.testing.assert_allclose(entropy, [[0, quarter, 1], [quarter, 0, 1]], rtol=1e-6)


def test_mask_entropy_equals_torch() -> None:
    probability = np.random.default_rng(0).random((9, 7)).astype(np.float32)
    reference = torch.distributions.Bernoulli(torch.from_numpy(probability)).entropy().numpy() / np.log(2)
    np.testing.assert_allclose(mask_entropy(probability), reference, rtol=1e-5)


def test_values_slightly_outside_the_range_are_certain() -> None:
    entropy = mask_entropy(np.array([[-1e-7, 1 + 2e-7]], np.float32))
    assert np.isfinite(entropy).all()
    assert (np.abs(entropy) < 1e-5).all()


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([1 / 3, 1 / 3, 1 / 3], 1.0),
        ([1.0, 0.0, 0.0], 0.0),
        ([0.5, 0.5, 0.0], np.log(2) / np.log(3)),
        ([0.5, 0.5], 1.0),
        ([0.25, 0.25, 0.25, 0.25], 1.0),
        ([0.7, 0.1, 0.1, 0.1], -(0.7 * np.log(0.7) + 0.3 * np.log(0.1)) / np.log(4)),
        ([1.0], 0.0),
    ],
)
def test_label_entropy_is_relative_to_its_maximum(probabilities: list[float], expected: float) -> None:
    entropy = label_entropy(np.array(probabilities, np.float32))
    assert entropy == pytest.approx(expected, abs=1e-6)
    assert 0 <= entropy <= 1


def test_the_mean_is_over_the_mask_or_the_image() -> None:
    uncertainty = np.array([[0.0, 1.0], [0.5, 0.1]], np.float32)
    assert mean_mask_uncertainty(uncertainty, np.array([[False, True], [True, False]])) == pytest.approx(0.75)
    assert mean_mask_uncertainty(uncertainty, np.zeros((2, 2), np.bool_)) == pytest.approx(0.4)
