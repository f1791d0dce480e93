"""The overall score against the table of its publication."""

import pytest

from acsnet.errors import InputError
from acsnet.metrics import overall_score


@pytest.mark.parametrize(
    ("iou", "dice", "segmentation_f1", "classification_f1", "published"),
    [
        (0.682, 0.756, 0.756, 0.648, 0.690),  # U-Net, ResNet-50
        (0.692, 0.758, 0.774, 0.663, 0.702),  # U-Net, ResNeXt-50
        (0.714, 0.752, 0.794, 0.652, 0.703),  # FPN, ResNeXt-50
        (0.722, 0.797, 0.797, 0.610, 0.691),  # DeepLabV3+, Wide ResNet-50-2
        (0.798, 0.813, 0.864, 0.694, 0.760),  # DeepLabV3+, EfficientNet-B4
    ],
)
def test_equals_the_published_table(iou, dice, segmentation_f1, classification_f1, published):
    # The published figures are rounded to three decimals, the score as well.
    assert overall_score(iou, dice, segmentation_f1, classification_f1) == pytest.approx(published, abs=1.1e-3)


def test_range_and_weights():
    assert (overall_score(0, 0, 0, 0), overall_score(1, 1, 1, 1)) == (0, 1)
    assert overall_score(0, 0, 0, 1) == 0.5
    assert [overall_score(*(float(i == k) for i in range(3)), 0) for k in range(3)] == pytest.approx([1 / 6] * 3)


@pytest.mark.parametrize(("position", "name"), [*enumerate(["IoU", "Dice", "segmentation F1", "classification F1"])])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_metrics_out_of_range_are_refused(position, name, value):
    metrics = [0.5] * 4
    metrics[position] = value
    with pytest.raises(InputError, match=f"the {name} is {value}: expected a number in 0 to 1"):
        overall_score(*metrics)
