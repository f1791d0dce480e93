"""Segmentation metrics against MONAI's public functions, a brute-force search over edges, and cases done by hand."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance, compute_iou
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from acsnet.errors import InputError
from acsnet.metrics import (
    average_surface_distance,
    dice_score,
    hausdorff_distance_95,
    iou_score,
    pixel_precision,
    pixel_recall,
    segmentation_metrics,
    summarise_segmentation,
)

KEYS = ["dice", "iou", "hd95", "assd", "precision", "recall"]
FUNCTIONS = {
    "dice": dice_score,
    "iou": iou_score,
    "hd95": hausdorff_distance_95,
    "assd": average_surface_distance,
    "precision": pixel_precision,
    "recall": pixel_recall,
}


def blobs(seed, shape=(48, 61)):
    noise = np.random.default_rng(seed).normal(size=shape)
    return gaussian_filter(noise, 4) > 0.02


def rectangle(rows, columns, shape=(40, 50)):
    mask = np.zeros(shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def edge_points(mask):
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inside)


def brute_force(prediction, truth):
    distances = cdist(edge_points(prediction), edge_points(truth))
    there, back = distances.min(axis=1), distances.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return hd95, (there.sum() + back.sum()) / (len(there) + len(back))


PAIRS = {
    "blobs": (blobs(0), blobs(1)),
    "other blobs": (blobs(2), blobs(3)),
    "apart": (rectangle(slice(2, 5), slice(3, 9)), rectangle(slice(30, 38), slice(20, 45))),
    "touching the border": (rectangle(slice(0, 12), slice(30, 50)), rectangle(slice(0, 20), slice(0, 50))),
    "whole image": (np.ones((40, 50), dtype=bool), rectangle(slice(10, 20), slice(5, 30))),
    "single pixels": (rectangle(4, 5), rectangle(7, 9)),
    "equal": (blobs(4), blobs(4)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_surface_distances_equal_brute_force(name):
    hd95, assd = brute_force(*PAIRS[name])
    assert hausdorff_distance_95(*PAIRS[name]) == pytest.approx(hd95, abs=1e-4)
    assert average_surface_distance(*PAIRS[name]) == pytest.approx(assd, abs=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI calls its own deprecated argument
@pytest.mark.parametrize("name", PAIRS)
def test_equals_monai_on_the_whole_image(name):
    prediction, truth = (torch.from_numpy(mask)[None, None].float() for mask in PAIRS[name])
    expected = {
        "dice": compute_dice(prediction, truth, ignore_empty=False),
        "iou": compute_iou(prediction, truth, ignore_empty=False),
        "hd95": compute_hausdorff_distance(prediction, truth, include_background=True, percentile=95),
        "assd": compute_average_surface_distance(prediction, truth, include_background=True, symmetric=True),
    }
    metrics = segmentation_metrics(*PAIRS[name])
    assert {key: metrics[key] for key in expected} == pytest.approx(
        {key: float(value) for key, value in expected.items()}, abs=1e-4
    )


@pytest.mark.parametrize("padding", [((0, 0), (0, 37)), ((11, 0), (0, 0)), ((25, 64), (9, 3))])
def test_background_around_both_masks_changes_nothing(padding):
    # What is cropped away is background: adding some must not move any metric.
    for pair in PAIRS.values():
        assert segmentation_metrics(*(np.pad(mask, padding) for mask in pair)) == segmentation_metrics(*pair)


def test_shifted_square_by_hand():
    truth, prediction = rectangle(slice(10, 20), slice(10, 20)), rectangle(slice(10, 20), slice(15, 25))
    metrics = segmentation_metrics(prediction, truth)
    overlaps = {key: metrics[key] for key in ("dice", "iou", "precision", "recall")}
    assert overlaps == pytest.approx({"dice": 0.5, "iou": 50 / 150, "precision": 0.5, "recall": 0.5})
    assert metrics["hd95"] == 5.0


def test_precision_and_recall_tell_the_two_errors_apart():
    whole, half = rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(0, 5), slice(0, 10))
    assert (pixel_precision(whole, half), pixel_recall(whole, half)) == (0.5, 1.0)
    assert (pixel_precision(half, whole), pixel_recall(half, whole)) == (1.0, 0.5)


def test_one_pass_equals_single_functions():
    metrics = segmentation_metrics(*PAIRS["blobs"])
    assert list(metrics) == KEYS
    assert metrics == {key: function(*PAIRS["blobs"]) for key, function in FUNCTIONS.items()}


@pytest.mark.parametrize(
    ("prediction_empty", "truth_empty", "overlap"), [(True, True, 1.0), (True, False, 0.0), (False, True, 0.0)]
)
def test_empty_masks(prediction_empty, truth_empty, overlap):
    empty, full = rectangle(slice(0), slice(0)), rectangle(slice(3, 9), slice(3, 9))
    pair = (empty if prediction_empty else full, empty if truth_empty else full)
    for key, function in FUNCTIONS.items():
        if key in ("hd95", "assd"):
            assert math.isnan(function(*pair))
        else:
            assert function(*pair) == overlap


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), segmentation_metrics])
def test_wrong_masks_are_refused(function):
    mask = rectangle(slice(3, 9), slice(3, 9))
    with pytest.raises(InputError, match=r"prediction is uint8 of shape \(40, 50\): expected a boolean mask"):
        function(mask.astype(np.uint8), mask)
    with pytest.raises(InputError, match=r"truth is bool of shape \(1, 40, 50\): expected a boolean mask \(H, W\)"):
        function(mask, mask[None])
    with pytest.raises(InputError, match=r"prediction's shape is \(40, 50\) and the truth's \(39, 50\)"):
        function(mask, mask[1:])


def image(value, distance):
    return {"dice": value, "iou": value / 2, "hd95": distance, "assd": distance, "precision": 1.0, "recall": value}


def test_summary_by_hand():
    nan = math.nan
    per_image = [image(0.8, 4.0), image(0.6, 2.0), image(0.0, nan), image(1.0, nan), image(0.0, nan)]
    summary = summarise_segmentation(per_image, ["benign", "malignant", "malignant", "normal", "normal"])
    assert list(summary) == ["all", "lesion", "normal", "per_class"]
    assert summary["all"]["n"] == 5
    assert summary["all"]["dice"] == pytest.approx(0.48)
    assert (summary["all"]["hd95"], summary["all"]["hd95_undefined"]) == (3.0, 3)
    assert (summary["lesion"]["n"], summary["lesion"]["assd_undefined"]) == (3, 1)
    assert summary["lesion"]["dice"] == pytest.approx(1.4 / 3)
    assert (summary["normal"]["dice"], summary["normal"]["hd95"], summary["normal"]["hd95_undefined"]) == (0.5, None, 2)
    assert list(summary["per_class"]) == ["benign", "malignant", "normal"]
    assert summary["per_class"]["malignant"]["recall"] == pytest.approx(0.3)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_summary_without_normal_cases_has_none():
    summary = summarise_segmentation([image(0.5, 1.0)], ["benign"])
    assert summary["normal"]["n"] == 0
    assert summary["normal"]["dice"] is None
    assert summary["lesion"] == summary["all"] == summary["per_class"]["benign"]


def test_summary_with_another_name_for_normal():
    summary = summarise_segmentation(
        [image(0.5, 1.0), image(1.0, math.nan)], ["benign", "healthy"], normal_class="healthy"
    )
    assert (summary["lesion"]["n"], summary["normal"]["n"]) == (1, 1)


def test_wrong_summaries_are_refused():
    with pytest.raises(InputError, match="metrics of 1 images and 2 labels"):
        summarise_segmentation([image(0.5, 1.0)], ["benign", "normal"])
    with pytest.raises(InputError, match=r"image 0 has no 'iou': .* received \['dice'\]"):
        summarise_segmentation([{"dice": 1.0}], ["benign"])
    with pytest.raises(InputError, match="image 1 has dice nan: expected a finite number"):
        summarise_segmentation([image(0.5, 1.0), image(math.nan, 1.0)], ["benign", "benign"])
    with pytest.raises(InputError, match="image 0 has hd95 inf"):
        summarise_segmentation([image(0.5, math.inf)], ["benign"])


def test_importing_leaves_the_heavy_libraries_out():
    code = "import sys, acsnet.metrics, acsnet.losses; print([n for n in ('monai', 'sklearn') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
