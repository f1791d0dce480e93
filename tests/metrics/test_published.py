"""Each publication's metrics against cases computed by hand."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from acsnet.config.evaluation_section import METRICS_OF_BOTH_TASKS, PublicationName
from acsnet.errors import InputError, UnknownNameError
from acsnet.metrics.published import PUBLISHED_METRICS, PublishedCase, check_tasks, published_metrics

CLASSES = ("benign", "malignant", "normal")
Mask = npt.NDArray[np.bool_]


def square(top: int, left: int, side: int, size: int = 16) -> Mask:
    mask = np.zeros((size, size), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


EMPTY = square(0, 0, 0)


def case(mask: Mask, *truths: Mask, label: str = "benign", predicted: str | None = "benign") -> PublishedCase:
    return PublishedCase(label, predicted, np.where(mask, 0.9, 0.1).astype(np.float32), mask, truths)


def test_he_counts_the_first_mask_and_undefined_distances_as_zero() -> None:
    # A square moved by two pixels: 4 x 2 of 4 x 4 pixels in common.
    moved = case(square(4, 6, 4), square(4, 4, 4), square(12, 12, 3))
    missed = case(EMPTY, square(4, 4, 4), label="malignant")
    metrics = published_metrics("he2024", [moved, missed], CLASSES[:2])
    assert metrics["dice"] == pytest.approx((16 / (32 + 1e-5) + 0) / 2, abs=1e-12)
    assert metrics["jaccard"] == pytest.approx((8 / (24 + 1e-5) + 0) / 2, abs=1e-12)
    # Eight pixels of each mask are in the other; four are 1 and four are 2 pixels away from it.
    assert metrics["hd95"] == pytest.approx(2.0 / 2)
    assert metrics["asd"] == pytest.approx((8 * 0 + 4 * 1 + 4 * 2) / 16 / 2)
    assert metrics["accuracy"] == 0.5


def test_he_weights_precision_and_f1_but_not_recall() -> None:
    labels = ["benign"] * 3 + ["malignant"]
    predicted = ["benign", "benign", "malignant", "malignant"]
    cases = [case(EMPTY, EMPTY, label=a, predicted=b) for a, b in zip(labels, predicted, strict=True)]
    metrics = published_metrics("he2024", cases, CLASSES[:2])
    # Benign: precision 1, recall 2/3; malignant: precision 1/2, recall 1.
    assert metrics["precision"] == pytest.approx((3 * 1 + 1 * 0.5) / 4)
    assert metrics["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert metrics["f1"] == pytest.approx((3 * 0.8 + 1 * 2 / 3) / 4)


def test_he_empty_on_empty_is_zero() -> None:
    metrics = published_metrics("he2024", [case(EMPTY, EMPTY), case(EMPTY)], CLASSES)
    assert [metrics[name] for name in ("dice", "jaccard", "hd95", "asd")] == [0, 0, 0, 0]


def test_he_distances_have_one_direction_for_asd_and_both_pooled_for_hd95() -> None:
    # One pixel against two: from the one to the two 0, back 0 and 5.
    one, two = square(8, 2, 1), square(8, 2, 1) | square(8, 7, 1)
    assert published_metrics("he2024", [case(one, two)], CLASSES)["asd"] == 0
    assert published_metrics("he2024", [case(two, one)], CLASSES)["asd"] == 2.5
    pooled = np.percentile([0, 0, 5], 95)
    for mask, truth in ((one, two), (two, one)):
        assert published_metrics("he2024", [case(mask, truth)], CLASSES)["hd95"] == pytest.approx(pooled)


def test_he_surfaces_are_areas() -> None:
    """In a volume of one slice every pixel is next to the outside: the erosion leaves nothing of the area."""
    volume = square(4, 4, 8)[None]
    assert not ndimage.binary_erosion(volume, ndimage.generate_binary_structure(3, 1)).any()
    # A square within another one: by outlines, the distances would not be 0.
    assert published_metrics("he2024", [case(square(6, 6, 4), square(4, 4, 8))], CLASSES)["asd"] == 0


def test_he_ignores_gray_edges_in_overlaps_and_counts_them_in_distances() -> None:
    truth = np.zeros((16, 32), np.bool_)
    truth[4:12, 5:20] = True
    # A column of half the width has weights 1/8, 3/8, 3/8, 1/8: columns 3 to 8 are white, 2, 9 and 10 are gray.
    inside, touched = np.zeros((2, 16, 16), np.bool_)
    inside[4:12, 3:9] = touched[4:12, 2:11] = True
    for mask in (inside, touched):
        metrics = published_metrics("he2024", [case(mask, truth)], CLASSES)
        assert metrics["dice"] == pytest.approx(1, abs=1e-6)
        assert metrics["asd"] == 0
    # Of 48 + 72 distances, 16 are 1 and 8 are 2.
    assert published_metrics("he2024", [case(inside, truth)], CLASSES)["hd95"] == 2
    assert published_metrics("he2024", [case(touched, truth)], CLASSES)["hd95"] == 0


def test_chung_averages_the_background_in() -> None:
    metrics = published_metrics("chung2024", [case(square(4, 6, 4), square(4, 4, 4))], CLASSES)
    background = 16 * 16 - 16
    common = 16 * 16 - 24
    assert metrics["dice"] == pytest.approx((0.5 + common / background) / 2)
    assert metrics["segmentation_f1"] == pytest.approx(metrics["dice"])
    assert metrics["iou"] == pytest.approx((8 / 24 + common / (2 * background - common)) / 2)


def test_a_lesion_dice_of_765_reads_870() -> None:
    # 1000 pixels of 10400 are lesion, 765 of 1000 predicted ones are right: the Dice of the background is 9165 / 9400.
    truth, mask = np.zeros((2, 104, 100), np.bool_)
    truth.flat[:1000] = mask.flat[235:1235] = True
    assert published_metrics("eee402", [case(mask, truth)], CLASSES)["dice"] == pytest.approx(0.765)
    dice = published_metrics("chung2024", [case(mask, truth)], CLASSES)["dice"]
    assert dice == pytest.approx((0.765 + 9165 / 9400) / 2)
    assert dice == pytest.approx(0.870)


def test_chung_cuts_at_one_half_of_the_logit() -> None:
    full = square(0, 0, 16)
    undecided = case(full, full)._replace(probability=np.full((16, 16), 0.6, np.float32))
    # 0.6 is a logit of 0.41: below one half on both sides, so that neither channel is foreground.
    metrics = published_metrics("chung2024", [undecided], CLASSES)
    assert (metrics["iou"], metrics["segmentation_f1"], metrics["dice"]) == ((0 + 1) / 2, (0 + 1) / 2, 0)
    decided = undecided._replace(probability=np.full((16, 16), 0.63, np.float32))
    assert published_metrics("chung2024", [decided], CLASSES)["iou"] == 1


def test_chung_pools_the_pixels_of_a_batch() -> None:
    # A large lesion that is found and a small one that is missed, with a background that is right everywhere else.
    cases = [case(square(0, 0, 8), square(0, 0, 8)), case(EMPTY, square(0, 0, 4))]
    metrics = published_metrics("chung2024", cases, CLASSES)
    background = 2 * 16 * 16 - 64 - 16
    assert metrics["dice"] == pytest.approx((2 * 64 / (2 * 64 + 16) + 2 * background / (2 * background + 16)) / 2)
    assert metrics["iou"] == pytest.approx((64 / 80 + background / (background + 16)) / 2)


def test_chung_scores_batches_in_class_order_by_their_sizes() -> None:
    # Eight benign ones, of which one is called malignant, then two malignant ones, in any order of the cases.
    found = square(4, 4, 4)
    cases = [case(found, found, predicted="malignant" if index == 3 else "benign") for index in range(8)]
    cases += 2 * [case(EMPTY, found, label="malignant", predicted="malignant")]
    metrics = published_metrics("chung2024", cases[::-1], CLASSES)
    assert metrics["accuracy"] == pytest.approx(9 / 10)
    # First batch: benign F1 14/15, malignant 0, although seven of eight are right.
    assert metrics["f1"] == pytest.approx((8 * (14 / 15 + 0) / 2 + 2 * 1) / 10)
    # Second batch: nothing is found, and the background is 240 pixels with 16 wrong ones each.
    assert metrics["iou"] == pytest.approx((8 * 1 + 2 * (0 + 240 / 256) / 2) / 10)
    assert metrics["overall"] == pytest.approx(
        ((metrics["iou"] + metrics["dice"] + metrics["segmentation_f1"]) / 3 + metrics["f1"]) / 2
    )


def test_chung_counts_empty_batches_as_1_in_f1_and_as_0_in_dice() -> None:
    metrics = published_metrics("chung2024", [case(EMPTY, label="normal", predicted="normal")], CLASSES)
    assert (metrics["iou"], metrics["segmentation_f1"]) == (1, 1)
    assert metrics["dice"] == pytest.approx(0.5)


def test_chung_agrees_with_the_library_that_it_calls() -> None:
    import segmentation_models_pytorch as smp

    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0.01, 0.99, (8, 16, 16)).astype(np.float32)
    truths = rng.random((8, 16, 16)) < 0.3
    cases = [PublishedCase("benign", "benign", p, p >= 0.5, [t]) for p, t in zip(probabilities, truths, strict=True)]
    metrics = published_metrics("chung2024", cases, CLASSES)
    logits = torch.logit(torch.from_numpy(probabilities))
    target = torch.from_numpy(truths).long()
    stats = smp.metrics.get_stats(
        torch.stack([-logits, logits], 1), torch.stack([1 - target, target], 1), mode="binary", threshold=0.5
    )
    assert metrics["iou"] == pytest.approx(float(smp.metrics.iou_score(*stats, reduction="macro")), abs=1e-6)
    assert metrics["segmentation_f1"] == pytest.approx(float(smp.metrics.f1_score(*stats, reduction="macro")), abs=1e-6)


def test_aumente_by_hand() -> None:
    cases = [
        case(square(4, 6, 4), square(4, 4, 4)),
        case(square(4, 4, 4), square(4, 4, 4), label="malignant"),
        case(EMPTY, EMPTY, label="normal", predicted="normal"),
        case(square(0, 0, 1), label="normal", predicted="normal"),
    ]
    metrics = published_metrics("aumente2025", cases, CLASSES)
    assert [metrics[f"dice_{name}"] for name in CLASSES] == [0.5, 1.0, 0.5]
    assert metrics["dice"] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert metrics["iou"] == pytest.approx((1 / 3 + 1 + 1 + 0) / 4)
    assert [metrics[f"f1_{name}"] for name in CLASSES] == pytest.approx([2 / 3, 0, 1])
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert metrics["f1_weighted"] == pytest.approx((2 / 3 + 0 + 2 * 1) / 4)
    assert metrics["accuracy"] == 0.75


def test_aumente_merges_the_first_two_masks() -> None:
    first, second, third = square(0, 0, 4), square(8, 8, 4), square(0, 12, 4)
    metrics = published_metrics("aumente2025", [case(first | second | third, first, second, third)], CLASSES)
    assert metrics["dice"] == pytest.approx(2 * 32 / (48 + 32))


def test_aumente_fills_holes_for_networks_of_masks_alone() -> None:
    ring = square(4, 4, 4) & ~square(5, 5, 2)
    alone = published_metrics("aumente2025", [case(ring, square(4, 4, 4), predicted=None)], CLASSES)
    assert alone["dice"] == 1
    assert {*alone} == {"dice_benign", "dice_malignant", "dice_normal", "dice", "iou"}
    assert published_metrics("aumente2025", [case(ring, square(4, 4, 4))], CLASSES)["dice"] == pytest.approx(24 / 28)


def test_a_class_without_images_is_undefined() -> None:
    metrics = published_metrics("aumente2025", [case(EMPTY, EMPTY)], ["benign", "cyst"])
    assert (metrics["dice_benign"], metrics["dice_cyst"], metrics["f1_cyst"]) == (1, None, 0)


def test_eee402_pools_pixels() -> None:
    cases = [case(square(0, 0, 8), square(0, 0, 8)), case(EMPTY, square(0, 0, 4), label="malignant")]
    metrics = published_metrics("eee402", cases, CLASSES)
    assert metrics == {"dice": pytest.approx(128 / 144), "iou": pytest.approx(64 / 80), "accuracy": 0.5}
    assert published_metrics("eee402", [case(EMPTY, EMPTY), case(EMPTY)], CLASSES)["dice"] == 1


def test_eee402_counts_the_first_mask_enlarged_by_resizing() -> None:
    truth = np.zeros((16, 32), np.bool_)
    truth[4:12, 5:20] = True
    touched = square(4, 2, 8)  # every column with a part of the truth
    assert published_metrics("eee402", [case(touched, truth, square(0, 0, 2))], CLASSES)["dice"] == pytest.approx(1)


def test_masks_are_resized_to_the_input_size_as_the_publications_do() -> None:
    # Of every two columns, the nearest one that OpenCV takes is the first.
    truth = np.zeros((16, 32), np.bool_)
    truth[4:12, 5:20] = True
    nearest = np.zeros((16, 16), np.bool_)
    nearest[4:12, 3:10] = True
    for name in ("chung2024", "aumente2025"):
        assert published_metrics(name, [case(nearest, truth)], CLASSES)["iou"] == pytest.approx(1)


def test_all_publications_differ_on_the_same_predictions() -> None:
    cases = [
        case(square(4, 6, 4), square(4, 4, 4)),
        case(square(2, 2, 3), square(2, 2, 6), square(10, 10, 3), label="malignant", predicted="malignant"),
        case(EMPTY, label="normal", predicted="normal"),
    ]
    dice = {name: published_metrics(name, cases, CLASSES)["dice"] for name in PUBLISHED_METRICS}
    assert len({*dice.values()}) == 4


@pytest.mark.parametrize("name", PUBLISHED_METRICS)
def test_the_named_metrics_are_there(name: str) -> None:
    own = PUBLISHED_METRICS[name]
    metrics = published_metrics(name, [case(square(4, 4, 4), square(4, 4, 4))], CLASSES)
    assert {own.dice, own.iou, own.accuracy, own.f1} - {""} <= {*metrics}


def test_the_configuration_has_the_same_publications() -> None:
    assert get_args(PublicationName) == (*PUBLISHED_METRICS,)
    assert {name for name, own in PUBLISHED_METRICS.items() if own.tasks} == METRICS_OF_BOTH_TASKS


@pytest.mark.parametrize(
    ("name", "tasks", "missing"),
    [
        ("he2024", ["segmentation"], "need classification, the network has only segmentation: remove he2024 from"),
        ("eee402", ["classification"], "need segmentation, the network has only classification"),
    ],
)
def test_tasks_that_a_publication_needs(name: str, tasks: Sequence[str], missing: str) -> None:
    with pytest.raises(InputError, match=f"the metrics of {name} {missing}"):
        check_tasks([name], tasks)
    masks_only = case(EMPTY, EMPTY, predicted=None)
    classes_only = case(EMPTY, EMPTY)._replace(mask=None, probability=None)
    with pytest.raises(InputError, match=missing):
        published_metrics(name, [masks_only if tasks == ["segmentation"] else classes_only], CLASSES)
    check_tasks(["chung2024", "aumente2025"], tasks)


def test_one_task_has_the_metrics_of_that_task() -> None:
    classes_only = case(EMPTY, EMPTY)._replace(mask=None, probability=None)
    assert {*published_metrics("chung2024", [classes_only], CLASSES)} == {"accuracy", "f1"}
    masks_only = case(EMPTY, EMPTY, predicted=None)
    assert {*published_metrics("chung2024", [masks_only], CLASSES)} == {"iou", "dice", "segmentation_f1"}


def test_unknown_publications_have_near_matches() -> None:
    with pytest.raises(UnknownNameError, match="unknown publication 'he2023': did you mean 'he2024'"):
        published_metrics("he2023", [case(EMPTY, EMPTY)], CLASSES)
    with pytest.raises(InputError, match="there are no cases: pass at least one tested image"):
        published_metrics("he2024", [], CLASSES)
