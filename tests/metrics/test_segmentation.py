"""Segmentation metrics against MONAI's functions, a brute-force search over edges, and values computed by hand."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance, compute_iou
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.distance import cdist

from acsnet.errors import InputError
from acsnet.metrics import (
    area_difference,
    area_error,
    average_surface_distance,
    boundary_f1,
    count_lesions,
    dice_score,
    hausdorff_distance_95,
    iou_score,
    pixel_precision,
    pixel_recall,
    segmentation_metrics,
)

DISTANCES = ("hd95", "assd", "hd95_mm", "assd_mm")
AREA_ERRORS = ("area_error", "area_difference")
FUNCTIONS = {
    "dice": dice_score,
    "iou": iou_score,
    "hd95": hausdorff_distance_95,
    "assd": average_surface_distance,
    "precision": pixel_precision,
    "recall": pixel_recall,
    "boundary_f1": boundary_f1,
    "area_error": area_error,
    "area_difference": area_difference,
}
OVERLAPS = ("dice", "iou", "precision", "recall", "boundary_f1")
LESIONS = ["lesion_true_positives", "lesion_false_positives", "lesion_false_negatives"]


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


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("spacing", [(0.08, 0.08), (0.05, 0.12)])
@pytest.mark.parametrize("name", PAIRS)
def test_millimeters_equal_monai_with_a_spacing(name, spacing):
    prediction, truth = (torch.from_numpy(mask)[None, None].float() for mask in PAIRS[name])
    options = {"include_background": True, "spacing": spacing}
    expected = {
        "hd95": compute_hausdorff_distance(prediction, truth, percentile=95, **options),
        "assd": compute_average_surface_distance(prediction, truth, symmetric=True, **options),
    }
    metrics = segmentation_metrics(*PAIRS[name], spacing)
    for key, value in expected.items():
        assert metrics[f"{key}_mm"] == pytest.approx(float(value), abs=1e-5)
        assert FUNCTIONS[key](*PAIRS[name], spacing) == pytest.approx(metrics[f"{key}_mm"])
        assert FUNCTIONS[key](*PAIRS[name]) == metrics[key]


def test_millimeters_by_hand():
    # 3 pixels down at 0.5 mm, 4 to the right at 0.25 mm.
    pair = (rectangle(7, 9), rectangle(4, 5))
    assert hausdorff_distance_95(*pair) == 5
    assert hausdorff_distance_95(*pair, (0.5, 0.25)) == pytest.approx(math.hypot(1.5, 1))
    assert segmentation_metrics(*pair, (2, 2))["assd_mm"] == 10


def brute_force_boundary_f1(prediction, truth, tolerance):
    """Dilate each edge by the tolerance and intersect it with the other, as in DAVIS (Perazzi et al. 2016)."""
    edges = [edge_points(mask) for mask in (prediction, truth)]
    near = []
    for own, other in (edges, edges[::-1]):
        widened = np.ones(truth.shape, dtype=bool)
        widened[tuple(other.T)] = False
        near.append(np.mean(distance_transform_edt(widened)[tuple(own.T)] <= tolerance))
    return 2 * near[0] * near[1] / sum(near) if sum(near) else 0


@pytest.mark.parametrize("tolerance", [0.0, 0.0075, 0.03, 0.2])
@pytest.mark.parametrize("name", PAIRS)
def test_boundary_f1_equals_a_distance_transform(name, tolerance):
    expected = brute_force_boundary_f1(*PAIRS[name], tolerance * math.hypot(*PAIRS[name][0].shape))
    assert boundary_f1(*PAIRS[name], tolerance) == pytest.approx(expected)


def test_boundary_f1_by_hand():
    # Of the square's edge, shifted by 2, the two sides along the shift stay on the truth's but for their last 2 pixels.
    shape = (300, 400)
    truth, prediction = rectangle(slice(10, 20), slice(10, 20), shape), rectangle(slice(10, 20), slice(12, 22), shape)
    assert boundary_f1(prediction, truth, 2 / 500) == 1  # no farther than the tolerance
    assert boundary_f1(prediction, truth, 0) == pytest.approx(16 / 36)
    # Without another tolerance, 15 pixels of a diagonal of 2000.
    large = (1200, 1600)
    truth, prediction = (rectangle(slice(10, 20), slice(10 + shift, 20 + shift), large) for shift in (0, 15))
    assert boundary_f1(prediction, truth) == 1
    assert boundary_f1(np.roll(prediction, 1, axis=1), truth) == pytest.approx(26 / 36)
    with pytest.raises(InputError, match=r"tolerance is -0\.1: expected a fraction of the image's diagonal, 0 or more"):
        boundary_f1(prediction, truth, -0.1)
    with pytest.raises(InputError, match="tolerance is nan"):
        boundary_f1(prediction, truth, math.nan)


def test_area_errors_by_hand():
    truth = rectangle(slice(10, 20), slice(10, 20))
    # 50 pixels missed and 50 invented; half missed; three times as much invented.
    shifted, half, large = (slice(10, 20), slice(15, 25)), (slice(10, 15), slice(10, 20)), (slice(0, 20), slice(0, 20))
    for area, error, difference in ((shifted, 1.0, 0.0), (half, 0.5, -0.5), (large, 3.0, 3.0)):
        prediction = rectangle(*area)
        assert (area_error(prediction, truth), area_difference(prediction, truth)) == (error, difference)


@pytest.mark.parametrize("padding", [((0, 0), (0, 37)), ((11, 0), (0, 0)), ((25, 64), (9, 3))])
def test_background_around_both_masks_has_no_effect(padding):
    # What is cropped away is background: adding some must not move any metric but the one that asks for the diagonal.
    for pair in PAIRS.values():
        padded, plain = (
            segmentation_metrics(*(np.pad(mask, padding) for mask in pair), (1, 2)),
            segmentation_metrics(*pair, (1, 2)),
        )
        assert padded | {"boundary_f1": 0} == plain | {"boundary_f1": 0}


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_narrow_images(shape):
    full, corner = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    corner[-1, -1] = True
    metrics = segmentation_metrics(full, full, (1, 1))
    assert [metrics[key] for key in (*OVERLAPS, *LESIONS)] == [1, 1, 1, 1, 1, 1, 0, 0]
    assert [metrics[key] for key in (*DISTANCES, *AREA_ERRORS)] == [0, 0, 0, 0, 0, 0]
    metrics = segmentation_metrics(full, corner)
    assert (metrics["recall"], metrics["precision"]) == (1, 1 / full.size)
    assert metrics["hd95"] == pytest.approx(brute_force(full, corner)[0])
    assert segmentation_metrics(~full, ~full)["dice"] == 1


def test_shifted_square_by_hand():
    truth, prediction = rectangle(slice(10, 20), slice(10, 20)), rectangle(slice(10, 20), slice(15, 25))
    metrics = segmentation_metrics(prediction, truth)
    overlaps = {key: metrics[key] for key in ("dice", "iou", "precision", "recall")}
    assert overlaps == pytest.approx({"dice": 0.5, "iou": 50 / 150, "precision": 0.5, "recall": 0.5})
    assert metrics["hd95"] == 5.0


def test_precision_and_recall_distinguish_the_two_errors():
    whole, half = rectangle(slice(0, 10), slice(0, 10)), rectangle(slice(0, 5), slice(0, 10))
    assert (pixel_precision(whole, half), pixel_recall(whole, half)) == (0.5, 1.0)
    assert (pixel_precision(half, whole), pixel_recall(half, whole)) == (1.0, 0.5)


def test_one_pass_equals_single_functions():
    metrics = segmentation_metrics(*PAIRS["blobs"])
    assert list(metrics) == [*FUNCTIONS, "hd95_mm", "assd_mm", *LESIONS]
    assert {key: metrics[key] for key in FUNCTIONS} == {key: f(*PAIRS["blobs"]) for key, f in FUNCTIONS.items()}
    assert [metrics[key] for key in LESIONS] == [*count_lesions(*PAIRS["blobs"])]
    assert math.isnan(metrics["hd95_mm"])
    assert math.isnan(metrics["assd_mm"])


@pytest.mark.parametrize(
    ("prediction_empty", "truth_empty", "overlap"), [(True, True, 1.0), (True, False, 0.0), (False, True, 0.0)]
)
def test_empty_masks(prediction_empty, truth_empty, overlap):
    empty, full = rectangle(slice(0), slice(0)), rectangle(slice(3, 9), slice(3, 9))
    pair = (empty if prediction_empty else full, empty if truth_empty else full)
    metrics = segmentation_metrics(*pair, (0.1, 0.1))
    undefined = {*DISTANCES, *(AREA_ERRORS if truth_empty else ())}
    assert {key for key, value in metrics.items() if math.isnan(value)} == undefined
    assert {metrics[key] for key in OVERLAPS} == {overlap}
    assert [metrics[key] for key in LESIONS] == [0, int(not prediction_empty), int(not truth_empty)]
    for key, function in FUNCTIONS.items():
        assert function(*pair) == pytest.approx(metrics[key], nan_ok=True)
    if not truth_empty:
        assert (metrics["area_error"], metrics["area_difference"]) == (1, -1)


@pytest.mark.parametrize("spacing", [(0, 1), (1,), (1, math.inf), (math.nan, 1)])
def test_wrong_spacings_are_refused(spacing):
    message = r"spacing is \(.*\): expected two numbers above 0, millimeters per pixel \(vertical, horizontal\)"
    for function in (segmentation_metrics, hausdorff_distance_95, average_surface_distance):
        for pair in (PAIRS["blobs"], (rectangle(slice(0), slice(0)), rectangle(slice(0), slice(0)))):
            with pytest.raises(InputError, match=message):
                function(*pair, spacing)


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), segmentation_metrics])
def test_wrong_masks_are_refused(function):
    mask = rectangle(slice(3, 9), slice(3, 9))
    for dtype in (np.complex64, object, "S1"):
        with pytest.raises(InputError, match=r"prediction is .* of shape \(40, 50\): expected a boolean mask"):
            function(mask.astype(dtype), mask)
    with pytest.raises(InputError, match=r"truth is bool of shape \(1, 40, 50\): expected a boolean mask \(H, W\)"):
        function(mask, mask[None])
    with pytest.raises(InputError, match=r"prediction's shape is \(40, 50\) and the truth's \(39, 50\)"):
        function(mask, mask[1:])


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), segmentation_metrics, count_lesions])
def test_masks_of_0_and_1_of_any_type(function):
    """Arrays and tensors, with and without gradient: identical values."""
    prediction, truth = PAIRS["blobs"]
    expected = function(prediction, truth)
    others = [(prediction.astype(dtype), truth.astype(dtype)) for dtype in (np.uint8, np.int64, np.float16, np.float64)]
    dtypes = (torch.bool, torch.uint8, torch.int32, torch.float32, torch.bfloat16)
    others += [(torch.from_numpy(prediction).to(dtype), torch.from_numpy(truth).to(dtype)) for dtype in dtypes]
    others += [(torch.from_numpy(prediction).float().requires_grad_(), truth), (prediction, torch.from_numpy(truth))]
    others += [(prediction.tolist(), truth)]
    for pair in others:
        np.testing.assert_equal(function(*pair), expected)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_on_a_gpu():
    prediction, truth = PAIRS["blobs"]
    expected = segmentation_metrics(prediction, truth)
    on_gpu = segmentation_metrics(torch.from_numpy(prediction).cuda(), torch.from_numpy(truth).cuda().half())
    np.testing.assert_equal(on_gpu, expected)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (255, "from 0 to 255"),
        (2, "from 0 to 2"),
        (-1, "from -1 to 0"),
        (0.5, "from 0 to 0.5"),
        (math.nan, "from nan to nan"),
    ],
)
def test_masks_of_other_values(value, found):
    mask = np.zeros((4, 5), np.float32)
    mask[1, 2] = value
    message = (
        f"the prediction has values {found}: expected a mask of 0 and 1, for example `mask > 0`, or `probability > 0.5`"
    )
    for one in (mask, torch.from_numpy(mask)):
        for function in (dice_score, segmentation_metrics, hausdorff_distance_95, count_lesions):
            with pytest.raises(InputError) as caught:
                function(one, mask > 0)
            assert str(caught.value) == message


def test_an_image_takes_less_than_25_milliseconds():
    rows, columns = np.mgrid[:512, :512]
    truth = ((rows - 250) / 65) ** 2 + ((columns - 250) / 90) ** 2 < 1
    prediction = np.roll(truth, (9, 5), axis=(0, 1)) | (rows + columns < 40)
    times = []
    for _ in range(6):
        start = time.process_time()
        segmentation_metrics(prediction, truth, (0.07, 0.08))
        times.append(time.process_time() - start)
    assert min(times) < 0.025


def test_the_import_does_not_import_heavy_libraries():
    code = "import sys, acsnet.metrics, acsnet.losses; print([n for n in ('monai', 'sklearn') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
