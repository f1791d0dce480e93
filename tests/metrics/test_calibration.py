"""Brier score and calibration error against scikit-learn and values computed by hand."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from acsnet.errors import InputError
from acsnet.metrics import brier_score, expected_calibration_error, reliability_bins


def random_case(images=400, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=images)
    logits = 2 * generator.normal(size=(images, classes)) + np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_brier_score_is_the_sum_over_classes_of_scikit_learn(classes):
    labels, probabilities = random_case(classes=classes)
    expected = sum(brier_score_loss(labels == k, probabilities[:, k]) for k in range(classes))
    assert brier_score(labels, probabilities) == pytest.approx(expected)


def test_brier_score_by_hand():
    assert brier_score([0, 1], [[1, 0, 0], [0, 1, 0]]) == 0
    assert brier_score([0, 1], [[0, 1, 0], [0, 0, 1]]) == 2
    # (0.4^2 + 0.3^2 + 0.1^2 + 0.8^2 + 0.7^2 + 0.1^2) / 2
    assert brier_score([0, 1], [[0.6, 0.3, 0.1], [0.7, 0.2, 0.1]]) == pytest.approx((0.26 + 1.14) / 2)


@pytest.mark.parametrize("bins", [1, 4, 15, 100])
def test_calibration_error_equals_scikit_learns_curve(bins):
    labels, probabilities = random_case()
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracies, confidences = calibration_curve(correct, confidence, n_bins=bins, strategy="uniform")
    sizes = np.histogram(confidence, bins=bins, range=(0, 1))[0]
    expected = np.average(np.abs(accuracies - confidences), weights=sizes[sizes > 0])
    assert expected_calibration_error(labels, probabilities, bins) == pytest.approx(expected)


def test_calibration_error_by_hand():
    # Of 15 bins, 0.82 and 0.86 are in one (0.8 to 0.867), 0.55 in another: one of two right, one of one right.
    labels = [0, 1, 0]
    probabilities = [[0.82, 0.18], [0.86, 0.14], [0.55, 0.45]]
    assert expected_calibration_error(labels, probabilities) == pytest.approx((2 * 0.34 + 0.45) / 3)
    assert expected_calibration_error([0, 1], [[1, 0], [0, 1]]) == 0
    assert expected_calibration_error([1, 0], [[1, 0], [0, 1]]) == 1


def test_a_bin_includes_its_upper_bound():
    # 0.75 and 0.70 in one bin of (0.5, 0.75]: one right and one wrong. With the lower end they would be in two.
    expected = abs(1 - 0.75 + 0 - 0.70) / 2
    assert expected_calibration_error([0, 1], [[0.75, 0.25], [0.7, 0.3]], bins=4) == pytest.approx(expected)


def test_no_bins_are_refused():
    with pytest.raises(InputError, match="the number of bins is 0: expected at least 1"):
        expected_calibration_error([0], [[1, 0]], bins=0)


@pytest.mark.parametrize("function", [brier_score, expected_calibration_error])
@pytest.mark.parametrize(
    ("labels", "probabilities", "match"),
    [
        ([0, 1], [[1, 0]], r"shape is \(1, 2\): expected \(2, 2\), one row per label and one column per class"),
        ([0, 1], [1, 0], r"shape is \(2,\): expected \(2, 2\)"),
        ([0, 1], 0.5, r"shape is \(\): expected \(2, 0\)"),
        ([0, 2], [[1, 0], [0, 1]], "labels range from 0 to 2: expected 0 to 1"),
        ([0.5, 1], [[1, 0], [0, 1]], "labels are float64"),
        ([0, 1], [[1, 0], [2, 3]], r"image 1 are \[2.0, 3.0\] .* apply a softmax to logits first"),
    ],
)
def test_wrong_input_is_refused(function, labels, probabilities, match):
    with pytest.raises(InputError, match=match):
        function(labels, probabilities)


def test_reliability_bins_by_hand() -> None:
    """Four bins; 0.6 (correct) and 0.75 (wrong, at the upper bound) share a bin, 0.9 (correct) is in the last."""
    probabilities = [[0.6, 0.4], [0.75, 0.25], [0.9, 0.1]]
    images, accuracy, confidence = reliability_bins([0, 1, 0], probabilities, 4)
    assert images.tolist() == [0, 0, 2, 1]
    assert accuracy == pytest.approx([np.nan, np.nan, 0.5, 1], nan_ok=True)
    assert confidence == pytest.approx([np.nan, np.nan, 0.675, 0.9], nan_ok=True)
    with pytest.raises(InputError, match="the number of bins is 0: expected at least 1"):
        reliability_bins([0, 1, 0], probabilities, 0)


def test_a_probability_a_little_above_one_is_in_the_last_bin() -> None:
    images, _, _ = reliability_bins([0], [[1.0, 0.0]], 15)
    assert images[-1] == 1
