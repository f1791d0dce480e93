"""Lesion counts against an assignment over the matrix of all overlaps, and against values computed by hand."""

import itertools
import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label
from scipy.optimize import linear_sum_assignment

from acsnet.errors import InputError
from acsnet.metrics import LesionCounts, count_lesions, detection_metrics


def draw(*rectangles, shape=(40, 50)):
    mask = np.zeros(shape, dtype=bool)
    for rows, columns in rectangles:
        mask[rows, columns] = True
    return mask


def blobs(seed, shift=0):
    noise = np.random.default_rng(seed).normal(size=(80, 90))
    return np.roll(gaussian_filter(noise, 2.5) > 0.05, shift, axis=0)


def by_assignment(prediction, truth, threshold):
    """Compute the best assignment over the full matrix of IoUs of scipy's components."""
    pieces, lesions = (
        [labels == index for index in range(1, count + 1)]
        for labels, count in (label(mask, structure=np.ones((3, 3))) for mask in (prediction, truth))
    )
    found = np.zeros((len(pieces), len(lesions)))
    for (row, piece), (column, lesion) in itertools.product(enumerate(pieces), enumerate(lesions)):
        found[row, column] = (piece & lesion).sum() / (piece | lesion).sum() >= threshold
    pairs = int(found[linear_sum_assignment(found, maximize=True)].sum())
    return pairs, len(pieces) - pairs, len(lesions) - pairs


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("shift", [0, 1, 3, 6])
def test_equals_an_assignment_over_all_overlaps(shift, threshold):
    # Another seed's pieces in one half: some are found by several, some by none.
    prediction, truth = blobs(0, shift), blobs(0)
    prediction[:, 45:] |= blobs(1)[:, 45:]
    assert count_lesions(prediction, truth, threshold) == by_assignment(prediction, truth, threshold)


def test_by_hand():
    truth = draw((slice(2, 12), slice(2, 12)), (slice(20, 30), slice(2, 12)), (slice(20, 30), slice(30, 40)))
    # Found with an IoU of 90 / 110; missed with 50 / 150; nothing at the third; one piece where there is no lesion.
    prediction = draw((slice(3, 13), slice(2, 12)), (slice(25, 35), slice(2, 12)), (slice(2, 6), slice(30, 40)))
    assert count_lesions(prediction, truth) == LesionCounts(1, 2, 2)
    assert count_lesions(prediction, truth, iou_threshold=0.3) == LesionCounts(2, 1, 1)


def test_an_iou_equal_to_the_threshold_is_a_detection():
    assert count_lesions(draw((slice(0, 5), slice(0, 10))), draw((slice(0, 10), slice(0, 10)))) == (1, 0, 0)
    assert count_lesions(draw((slice(0, 7), slice(0, 10))), draw((slice(0, 10), slice(0, 10))), 0.7) == (1, 0, 0)


def test_no_component_is_matched_twice():
    # One piece over two lesions has an IoU of nearly a half with each; two pieces in one lesion the same.
    one, two = draw((slice(0, 10), slice(0, 21))), draw((slice(0, 10), slice(0, 10)), (slice(0, 10), slice(11, 21)))
    assert count_lesions(one, two, 0.4) == (1, 0, 1)
    assert count_lesions(two, one, 0.4) == (1, 1, 0)


def test_the_number_of_pairs_is_maximal():
    # The left piece overlaps both lesions, the right one only the second: taking the best overlap first would lose one.
    truth = draw((slice(0, 1), slice(0, 4)), (slice(0, 1), slice(5, 12)))
    prediction = draw((slice(0, 1), slice(2, 9)), (slice(0, 1), slice(10, 13)))
    assert count_lesions(prediction, truth, 0.2) == (2, 0, 0)


def test_components_touch_at_corners():
    chain = draw(*((slice(3 * k, 3 * k + 3), slice(3 * k, 3 * k + 3)) for k in range(5)))
    assert count_lesions(chain, chain) == (1, 0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (0, 5)])
def test_narrow_and_empty(shape):
    full, empty = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    pieces = int(full.any())
    assert count_lesions(full, full) == (pieces, 0, 0)
    assert count_lesions(full, empty) == (0, pieces, 0)
    assert count_lesions(empty, full) == (0, 0, pieces)
    assert count_lesions(empty, empty) == (0, 0, 0)


def test_memory_with_a_noisy_prediction():
    # 65536 pieces on each side: a full matrix of their overlaps would take gigabytes.
    noise = np.zeros((512, 512), dtype=bool)
    noise[::2, ::2] = True
    assert count_lesions(noise, noise) == (65536, 0, 0)


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
def test_wrong_thresholds_are_refused(threshold):
    with pytest.raises(InputError, match=f"IoU threshold is {threshold}: expected a number above 0 and at most 1"):
        count_lesions(draw(), draw(), threshold)


def test_wrong_masks_are_refused():
    with pytest.raises(InputError, match=r"prediction is bool of shape \(40, 50, 1\): expected a boolean mask"):
        count_lesions(draw()[..., None], draw())
    with pytest.raises(InputError, match=r"prediction's shape is \(40, 50\) and the truth's \(39, 50\)"):
        count_lesions(draw(), draw()[1:])


def test_sums_by_hand():
    metrics = detection_metrics([LesionCounts(3, 0, 1), LesionCounts(0, 2, 0), LesionCounts(0, 0, 0)])
    assert metrics == {
        "lesions": 4,
        "true_positives": 3,
        "false_positives": 2,
        "false_negatives": 1,
        "sensitivity": 3 / 4,
        "precision": 3 / 5,
        "f1": 6 / 9,
        "false_positives_per_image": 2 / 3,
    }
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize(
    ("counts", "undefined"),
    [
        ([], {"sensitivity", "precision", "f1", "false_positives_per_image"}),
        ([LesionCounts(0, 0, 0)], {"sensitivity", "precision", "f1"}),
        ([LesionCounts(0, 1, 0)], {"sensitivity"}),
        ([LesionCounts(0, 0, 1)], {"precision"}),
    ],
)
def test_ratios_without_a_denominator_are_none(counts, undefined):
    metrics = detection_metrics(counts)
    assert {key for key, value in metrics.items() if value is None} == undefined
    assert {value for value in metrics.values() if value is not None} <= {0, 1}
