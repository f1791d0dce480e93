"""Means over a set of images against values computed by hand."""

import json
import math

import pytest

from acsnet.errors import InputError
from acsnet.metrics import summarize_segmentation

UNDEFINABLE = ("hd95", "assd", "hd95_mm", "assd_mm", "area_error", "area_difference")


def image(value, distance):
    """Metrics of an image; those in millimeters and of the area are undefined if the distance is."""
    overlaps = {"dice": value, "iou": value / 2, "precision": 1.0, "recall": value, "boundary_f1": value}
    lesions = {"lesion_true_positives": 1, "lesion_false_positives": 2, "lesion_false_negatives": 0}
    return overlaps | dict.fromkeys(UNDEFINABLE, distance) | lesions


def test_summary_by_hand():
    nan = math.nan
    per_image = [image(0.8, 4.0), image(0.6, 2.0), image(0.0, nan), image(1.0, nan), image(0.0, nan)]
    summary = summarize_segmentation(per_image, ["benign", "malignant", "malignant", "normal", "normal"])
    assert list(summary) == ["all", "lesion", "normal", "per_class"]
    assert summary["all"]["n"] == 5
    assert summary["all"]["dice"] == pytest.approx(0.48)
    assert (summary["all"]["hd95"], summary["all"]["hd95_undefined"]) == (3.0, 3)
    assert (summary["lesion"]["n"], summary["lesion"]["assd_undefined"]) == (3, 1)
    assert summary["lesion"]["dice"] == pytest.approx(1.4 / 3)
    assert (summary["normal"]["dice"], summary["normal"]["hd95"], summary["normal"]["hd95_undefined"]) == (0.5, None, 2)
    assert (summary["all"]["area_error"], summary["all"]["area_error_undefined"]) == (3.0, 3)
    assert (summary["lesion"]["hd95_mm"], summary["lesion"]["hd95_mm_undefined"]) == (3.0, 1)
    assert summary["lesion"]["boundary_f1"] == pytest.approx(1.4 / 3)
    assert summary["lesion"]["detection"]["true_positives"] == 3
    assert summary["normal"]["detection"]["precision"] == pytest.approx(2 / 6)
    assert list(summary["per_class"]) == ["benign", "malignant", "normal"]
    assert summary["per_class"]["malignant"]["recall"] == pytest.approx(0.3)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_summary_without_normal_cases_has_none():
    summary = summarize_segmentation([image(0.5, 1.0)], ["benign"])
    assert summary["normal"]["n"] == 0
    assert summary["normal"]["dice"] is None
    assert (summary["normal"]["detection"]["lesions"], summary["normal"]["detection"]["f1"]) == (0, None)
    assert summary["lesion"] == summary["all"] == summary["per_class"]["benign"]


def test_summary_with_another_name_for_normal():
    summary = summarize_segmentation(
        [image(0.5, 1.0), image(1.0, math.nan)], ["benign", "healthy"], normal_class="healthy"
    )
    assert (summary["lesion"]["n"], summary["normal"]["n"]) == (1, 1)


def test_wrong_summaries_are_refused():
    with pytest.raises(InputError, match="metrics of 1 images and 2 labels"):
        summarize_segmentation([image(0.5, 1.0)], ["benign", "normal"])
    with pytest.raises(InputError, match=r"image 0 has no 'iou': .* received \['dice'\]"):
        summarize_segmentation([{"dice": 1.0}], ["benign"])
    with pytest.raises(InputError, match="image 1 has dice nan: expected a finite number"):
        summarize_segmentation([image(0.5, 1.0), image(math.nan, 1.0)], ["benign", "benign"])
    with pytest.raises(InputError, match="image 0 has hd95 inf"):
        summarize_segmentation([image(0.5, math.inf)], ["benign"])
