"""Each publication's metrics against cases computed by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from acsnet.metrics.published import PUBLISHED_METRICS, PublishedCase, aumente2025, chung2024, eee402, he2024

CLASSES = ("benign", "malignant", "normal")


def square(top: int, left: int, side: int, size: int = 16) -> npt.NDArray[np.bool_]:
    mask = np.zeros((size, size), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


EMPTY = square(0, 0, 0)


def case(
    mask: npt.NDArray[np.bool_],
    truth: npt.NDArray[np.bool_],
    label: int = 0,
    predicted: int = 0,
    first: npt.NDArray[np.bool_] | None = None,
) -> PublishedCase:
    probability = np.where(mask, 0.9, 0.1).astype(np.float32)
    return PublishedCase(probability, truth, truth if first is None else first, label, predicted, mask)


def test_he_counts_the_first_mask_and_undefined_distances_as_zero() -> None:
    # A square moved by two pixels: 4 x 2 of 4 x 4 pixels in common.
    moved = case(square(4, 6, 4), square(4, 4, 4) | square(12, 12, 3), first=square(4, 4, 4))
    missed = case(EMPTY, square(4, 4, 4), label=1)
    metrics = he2024([moved, missed], CLASSES[:2])
    assert metrics["dice"] == pytest.approx((8 / 16 + 0) / 2)
    assert metrics["jaccard"] == pytest.approx((8 / 24 + 0) / 2)
    # Of the 12 border pixels, the two columns in common have 4 + 2 pixels on or next to the other border, and those of
    # the far column are 2 pixels away; the directions mirror each other.
    assert metrics["hd95"] == pytest.approx(2.0 / 2)
    assert metrics["accuracy"] == 0.5
    # Benign: precision 1/2, recall 1; malignant: 0, 0; weighted by one image each.
    assert (metrics["precision"], metrics["recall"]) == (0.25, 0.5)
    assert metrics["f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_he_distances_have_one_direction_for_asd_and_both_pooled_for_hd95() -> None:
    # One pixel against two: from the one to the two 0, back 0 and 5.
    one, two = square(8, 2, 1), square(8, 2, 1) | square(8, 7, 1)
    assert he2024([case(one, two)], CLASSES)["asd"] == 0
    assert he2024([case(two, one)], CLASSES)["asd"] == 2.5
    pooled = np.percentile([0, 0, 5], 95)
    for mask, truth in ((one, two), (two, one)):
        assert he2024([case(mask, truth)], CLASSES)["hd95"] == pytest.approx(pooled)


def test_chung_averages_the_background_in() -> None:
    metrics = chung2024([case(square(4, 6, 4), square(4, 4, 4))], CLASSES)
    background = 16 * 16 - 16
    common = 16 * 16 - 24
    assert metrics["dice"] == pytest.approx((0.5 + common / background) / 2)
    assert metrics["iou"] == pytest.approx((8 / 24 + common / (2 * background - common)) / 2)


def test_a_lesion_dice_of_765_reads_870() -> None:
    # A lesion of a tenth of the image, found with a Dice of 0.765.
    truth, mask = np.zeros((100, 100), np.bool_), np.zeros((100, 100), np.bool_)
    truth[:10], mask[2:12] = True, True
    mask[9:12, 50:] = False
    lesion = 2 * (truth & mask).sum() / (truth.sum() + mask.sum())
    assert lesion == pytest.approx(0.765, abs=0.06)
    assert chung2024([case(mask, truth)], CLASSES)["dice"] == pytest.approx((lesion + 0.975) / 2, abs=0.02)


def test_chung_cuts_at_one_half_of_the_logit() -> None:
    probability = np.full((16, 16), 0.6, np.float32)
    truth = square(0, 0, 16)
    undecided = PublishedCase(probability, truth, truth, 0, 0, probability > 0.5)
    # 0.6 is a logit of 0.41: below one half on both sides, so that neither channel is foreground.
    assert chung2024([undecided], CLASSES)["dice"] == pytest.approx((0 + 1) / 2)
    decided = undecided._replace(probability=np.full((16, 16), 0.63, np.float32))
    assert chung2024([decided], CLASSES)["dice"] == 1


def test_chung_scores_classes_per_batch_in_class_order() -> None:
    # Eight benign ones, of which one is called malignant, then two malignant ones, in any order of the cases.
    cases = [case(EMPTY, EMPTY, 0, int(index == 3)) for index in range(8)] + 2 * [case(EMPTY, EMPTY, 1, 1)]
    metrics = chung2024(cases[::-1], CLASSES)
    assert metrics["accuracy"] == pytest.approx((7 / 8 + 1) / 2)
    # First batch: benign F1 14/15, malignant 0, although seven of eight are right.
    assert metrics["f1"] == pytest.approx(((14 / 15 + 0) / 2 + 1) / 2)
    assert metrics["overall"] == pytest.approx((1 + metrics["f1"]) / 2)


def test_aumente_by_hand() -> None:
    cases = [
        case(square(4, 6, 4), square(4, 4, 4), 0, 0),
        case(square(4, 4, 4), square(4, 4, 4), 1, 0),
        case(EMPTY, EMPTY, 2, 2),
        case(square(0, 0, 1), EMPTY, 2, 2),
    ]
    metrics = aumente2025(cases, CLASSES)
    assert [metrics[f"dice_{name}"] for name in CLASSES] == [0.5, 1.0, 0.5]
    assert metrics["dice"] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert [metrics[f"f1_{name}"] for name in CLASSES] == pytest.approx([2 / 3, 0, 1])
    assert metrics["f1_weighted"] == pytest.approx((2 / 3 + 0 + 2 * 1) / 4)
    assert metrics["accuracy"] == 0.75


def test_eee402_pools_pixels() -> None:
    metrics = eee402([case(square(0, 0, 8), square(0, 0, 8)), case(EMPTY, square(0, 0, 4), 1, 0)], CLASSES)
    assert metrics == {"dice": pytest.approx(128 / 144), "iou": pytest.approx(64 / 80), "accuracy": 0.5}
    assert eee402([case(EMPTY, EMPTY)], CLASSES)["dice"] == 1


def test_all_publications_are_there_and_differ_on_the_same_predictions() -> None:
    cases = [case(square(4, 6, 4), square(4, 4, 4), 0, 0), case(square(2, 2, 3), square(2, 2, 6), 1, 1)]
    dice = {name: compute(cases, CLASSES)["dice"] for name, compute in PUBLISHED_METRICS.items()}
    assert set(dice) == {"he2024", "chung2024", "aumente2025", "eee402"}
    assert dice["he2024"] == dice["aumente2025"]
    assert len(set(dice.values())) == 3
