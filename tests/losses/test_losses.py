"""All losses against their formulas in numpy float64, and with extreme logits, empty masks and bfloat16."""

import numpy as np
import pytest
import torch

from acsnet import losses
from acsnet.errors import InputError, UnknownNameError

SEGMENTATION = list(losses.SEGMENTATION_LOSSES)
CLASSIFICATION = list(losses.CLASSIFICATION_LOSSES)


def mask_case(seed=0, shape=(3, 1, 12, 17)):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator)
    mask = (torch.rand(shape, generator=generator) < 0.3).float()
    mask[-1] = 0
    return logits, mask


def class_case(seed=0, images=7, classes=3):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(images, classes, generator=generator), torch.arange(images) % classes


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def dice(probability, mask, smooth, power=1):
    values = [
        1 - (2 * (p * y).sum() + smooth) / ((p**power).sum() + (y**power).sum() + smooth)
        for p, y in zip(probability, mask, strict=True)
    ]
    return np.mean(values)


def joint_dice(probability, mask, smooth, power=1):
    """One Dice of all pixels of the batch."""
    return dice(probability.reshape(1, -1), mask.reshape(1, -1), smooth, power)


def joint_dice_both(probability, mask, smooth):
    """One Dice of all pixels of foreground and background of the batch."""
    return joint_dice(np.stack([probability, 1 - probability]), np.stack([mask, 1 - mask]), smooth)


def dice_both(probability, mask, smooth):
    return (dice(probability, mask, smooth) + dice(1 - probability, 1 - mask, smooth)) / 2


def bce(probability, mask, positive_weight):
    return -np.mean(positive_weight * mask * np.log(probability) + (1 - mask) * np.log(1 - probability))


def focal(probability, mask, gamma, alpha):
    true = np.where(mask == 1, probability, 1 - probability)
    factor = 1 if alpha is None else np.where(mask == 1, alpha, 1 - alpha)
    return np.mean(-factor * (1 - true) ** gamma * np.log(true))


@pytest.mark.parametrize(
    ("name", "arguments", "formula"),
    [
        ("dice", {}, lambda p, y: dice(p, y, 1.0)),
        ("dice", {"smooth": 1e-5}, lambda p, y: dice(p, y, 1e-5)),
        ("dice", {"squared": True}, lambda p, y: dice(p, y, 1.0, 2)),
        ("dice", {"joint": True}, lambda p, y: joint_dice(p, y, 1.0)),
        ("dice", {"joint": True, "squared": True, "smooth": 2.0}, lambda p, y: joint_dice(p, y, 2.0, 2)),
        ("dice_foreground_background", {}, lambda p, y: dice_both(p, y, 1.0)),
        ("dice_foreground_background", {"joint": True}, lambda p, y: joint_dice_both(p, y, 1.0)),
        ("dice_foreground_background", {"smooth": 3.0}, lambda p, y: dice_both(p, y, 3.0)),
        ("bce", {}, lambda p, y: bce(p, y, 1.0)),
        ("bce", {"positive_weight": 4.0}, lambda p, y: bce(p, y, 4.0)),
        ("focal", {}, lambda p, y: focal(p, y, 2.0, None)),
        ("focal", {"gamma": 0.5, "alpha": 0.25}, lambda p, y: focal(p, y, 0.5, 0.25)),
    ],
)
def test_segmentation_loss_equals_formula(name, arguments, formula):
    logits, mask = mask_case()
    loss = losses.SEGMENTATION_LOSSES[name](**arguments)(logits, mask)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(formula(sigmoid(logits.double().numpy()), mask.double().numpy()), rel=1e-5)


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy(probability, label, weights, smoothing):
    classes = probability.shape[1]
    target = (1 - smoothing) * np.eye(classes)[label] + smoothing / classes
    weights = np.ones(classes) if weights is None else np.array(weights)
    return (-weights * target * np.log(probability)).sum() / weights[label].sum()


def class_focal(probability, label, gamma, alpha):
    true = probability[np.arange(len(label)), label]
    factor = 1 if alpha is None else np.array(alpha)[label]
    return np.mean(-factor * (1 - true) ** gamma * np.log(true))


@pytest.mark.parametrize(
    ("name", "arguments", "formula"),
    [
        ("cross_entropy", {}, lambda p, y: cross_entropy(p, y, None, 0.0)),
        ("cross_entropy", {"class_weights": [1.0, 2.0, 0.5]}, lambda p, y: cross_entropy(p, y, [1.0, 2.0, 0.5], 0.0)),
        ("cross_entropy", {"label_smoothing": 0.1}, lambda p, y: cross_entropy(p, y, None, 0.1)),
        (
            "cross_entropy",
            {"class_weights": torch.tensor([1.0, 2.0, 0.5]), "label_smoothing": 0.2},
            lambda p, y: cross_entropy(p, y, [1.0, 2.0, 0.5], 0.2),
        ),
        ("focal", {}, lambda p, y: class_focal(p, y, 2.0, None)),
        ("focal", {"gamma": 0.0}, lambda p, y: class_focal(p, y, 0.0, None)),
        ("focal", {"gamma": 1.5, "alpha": [0.2, 0.3, 0.5]}, lambda p, y: class_focal(p, y, 1.5, [0.2, 0.3, 0.5])),
        ("focal", {"alpha": 0.25}, lambda p, y: class_focal(p, y, 2.0, [0.25] * 3)),
    ],
)
def test_classification_loss_equals_formula(name, arguments, formula):
    logits, label = class_case()
    loss = losses.CLASSIFICATION_LOSSES[name](**arguments)(logits, label)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(formula(softmax(logits.double().numpy()), label.numpy()), rel=1e-5)


def assert_finite(loss, logits):
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", SEGMENTATION)
@pytest.mark.parametrize("value", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_extreme_mask_logits_stay_finite(name, value, truth):
    logits = torch.full((2, 1, 8, 8), value, requires_grad=True)
    assert_finite(losses.SEGMENTATION_LOSSES[name]()(logits, torch.full((2, 1, 8, 8), truth)), logits)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cross_entropy", {}),
        ("focal", {}),
        ("focal", {"gamma": 0.0}),
        ("focal", {"gamma": 1.0}),
        ("focal", {"gamma": 1.5}),
    ],
)
def test_extreme_class_logits_stay_finite(name, arguments):
    logits = torch.tensor([[100.0, -100.0, -100.0], [100.0, -100.0, 0.0], [100.0, 100.0, 100.0]], requires_grad=True)
    loss = losses.CLASSIFICATION_LOSSES[name](**arguments)(logits, torch.tensor([0, 1, 2]))
    assert_finite(loss, logits)
    assert loss.item() > 50  # one of three images is wrong by 200


@pytest.mark.parametrize("name", SEGMENTATION)
def test_perfect_and_inverted_masks(name):
    _, mask = mask_case()
    loss = losses.SEGMENTATION_LOSSES[name]()
    perfect = 200 * mask - 100
    assert loss(perfect, mask).item() == pytest.approx(0, abs=1e-6)
    assert loss(-perfect, mask).item() > 0.9


@pytest.mark.parametrize("name", SEGMENTATION)
def test_an_empty_prediction_of_an_empty_mask_has_no_loss_and_can_be_learned(name):
    mask, loss = torch.zeros(1, 1, 256, 256), losses.SEGMENTATION_LOSSES[name]()
    assert loss(torch.full_like(mask, -20.0), mask).item() < 1e-3
    logits = torch.full_like(mask, -5.0).requires_grad_()
    assert_finite(loss(logits, mask), logits)
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("smooth", [1.0, 1e-5])
@pytest.mark.parametrize("squared", [False, True])
def test_dice_and_its_gradient_are_those_of_monai(joint, smooth, squared):
    from monai.losses import DiceLoss

    theirs = DiceLoss(sigmoid=True, smooth_nr=smooth, smooth_dr=smooth, squared_pred=squared, batch=joint)
    found = []
    for loss in (losses.DiceLoss(smooth, squared, joint), theirs):
        logits, mask = mask_case()
        logits.requires_grad_()
        value = loss(logits, mask)
        value.backward()
        found.append((value.detach(), logits.grad))
    # MONAI squares a root if squared, which rounds twice; otherwise all bits are equal.
    tolerance = {"rtol": 1e-5, "atol": 1e-7} if squared else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(*found, **tolerance)


@pytest.mark.parametrize("name", ["dice", "dice_foreground_background"])
def test_dice_is_averaged_over_images_not_pooled(name):
    logits, mask = mask_case()
    loss = losses.SEGMENTATION_LOSSES[name]()
    single = [loss(logits[i : i + 1], mask[i : i + 1]).item() for i in range(len(logits))]
    assert loss(logits, mask).item() == pytest.approx(np.mean(single), rel=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", SEGMENTATION)
def test_bfloat16_mask_logits_are_computed_in_float32(name, autocast):
    logits, mask = mask_case(shape=(2, 1, 96, 96))
    logits, loss = logits.bfloat16(), losses.SEGMENTATION_LOSSES[name]()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(logits, mask)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits.float(), mask).item(), rel=1e-6)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_bfloat16_class_logits_are_computed_in_float32(name, autocast):
    logits, label = class_case()
    logits, loss = logits.bfloat16(), losses.CLASSIFICATION_LOSSES[name]()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(logits, label)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits.float(), label).item(), rel=1e-6)


@pytest.mark.parametrize("name", SEGMENTATION)
def test_masks_that_do_not_match_are_refused(name):
    logits, mask = mask_case()
    loss = losses.SEGMENTATION_LOSSES[name]()
    match = r"mask logits have shape \(3, 1, 12, 17\) and the mask \(3, 12, 17\): expected \(B, 1, H, W\)"
    with pytest.raises(InputError, match=match):
        loss(logits, mask[:, 0])
    with pytest.raises(InputError, match=r"\(3, 2, 12, 17\): expected \(B, 1, H, W\)"):
        loss(logits.repeat(1, 2, 1, 1), mask.repeat(1, 2, 1, 1))


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_labels_that_do_not_match_are_refused(name):
    logits, label = class_case()
    loss = losses.CLASSIFICATION_LOSSES[name]()
    with pytest.raises(InputError, match=r"labels are torch.int64 of shape \(6,\): expected \(B, K\)"):
        loss(logits, label[1:])
    with pytest.raises(InputError, match=r"labels are torch.float32"):
        loss(logits, label.float())
    with pytest.raises(InputError, match="labels range from 1 to 3: expected 0 to 2"):
        loss(logits, label + 1)
    with pytest.raises(InputError, match="labels range from -1 to 1: expected 0 to 2"):
        loss(logits, label - 1)


@pytest.mark.parametrize("name", SEGMENTATION)
@pytest.mark.parametrize(
    ("value", "low", "high"), [(255.0, 0, 255), (-1.0, -1, 1), (2.0, 0, 2), (float("nan"), "nan", "nan")]
)
def test_masks_outside_0_to_1_are_refused(name, value, low, high):
    logits, mask = mask_case()
    mask[0, 0, 0, :2], mask[1] = value, 1
    message = f"the mask has values from {low} to {high}: expected 0 to 1; divide a mask of 0 and 255 by 255"
    with pytest.raises(InputError, match=message):
        losses.SEGMENTATION_LOSSES[name]()(logits, mask)


@pytest.mark.parametrize(("name", "argument"), [("cross_entropy", "class_weights"), ("focal", "alpha")])
def test_class_weights_that_do_not_match_are_refused(name, argument):
    build = losses.CLASSIFICATION_LOSSES[name]
    with pytest.raises(InputError, match=f"{argument} has 2 values: expected 3, one for each class logit"):
        build(**{argument: [1.0, 1.0]})(*class_case())
    for wrong in ([1.0, -1.0, 1.0], [1.0, 0.0, 1.0], [1.0, float("nan"), 1.0], [[1.0], [1.0]], ["a", "b"]):
        with pytest.raises(InputError, match=f"{argument} is .*: expected a list of finite numbers above 0"):
            build(**{argument: wrong})


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "match"),
    [
        ("segmentation", "dice", {"smooth": 0}, "smooth is 0: expected a finite number of at least 1e-06"),
        ("segmentation", "dice_foreground_background", {"smooth": -1}, "smooth is -1"),
        ("classification", "focal", {"alpha": -1}, "alpha is -1: expected a finite number of at least 1e-06"),
        (
            "segmentation",
            "bce",
            {"positive_weight": -1},
            "positive_weight is -1: expected a finite number of at least 0",
        ),
        ("segmentation", "focal", {"gamma": -1}, "gamma is -1"),
        ("segmentation", "focal", {"gamma": "two"}, "gamma is 'two': expected a finite number"),
        ("segmentation", "focal", {"alpha": 1.5}, "alpha is 1.5: expected a finite number of at least 0 and at most 1"),
        ("segmentation", "focal", {"gama": 2}, r"segmentation loss 'focal': .*'gama'; its arguments are: gamma, alpha"),
        ("classification", "focal", {"gamma": float("nan")}, "gamma is nan"),
        ("classification", "focal", {"gamma": 0.5}, "gamma is 0.5: expected 0 or at least 1"),
        ("classification", "cross_entropy", {"label_smoothing": 2}, "label_smoothing is 2: .* at most 1"),
    ],
)
def test_wrong_arguments_are_refused(kind, name, arguments, match):
    with pytest.raises(InputError, match=match):
        losses.build_loss(kind, [(name, 1.0, arguments)])


def test_build_loss_sums_weighted_terms():
    logits, mask = mask_case()
    loss = losses.build_loss("segmentation", [("dice", 0.7, {}), ("focal", 2.0, {"gamma": 1.0})])
    expected = 0.7 * losses.DiceLoss()(logits, mask) + 2.0 * losses.FocalLoss(gamma=1.0)(logits, mask)
    torch.testing.assert_close(loss(logits, mask), expected)


def test_build_loss_of_classes():
    loss = losses.build_loss("classification", [("cross_entropy", 1.0, {"class_weights": [1.0, 2.0, 3.0]})])
    torch.testing.assert_close(loss(*class_case()), losses.CrossEntropyLoss([1.0, 2.0, 3.0])(*class_case()))


def test_wrong_terms_are_refused():
    with pytest.raises(UnknownNameError, match="unknown segmentation loss 'dise': did you mean 'dice'"):
        losses.build_loss("segmentation", [("dise", 1.0, {})])
    with pytest.raises(UnknownNameError, match="unknown kind of loss 'segment'"):
        losses.build_loss("segment", [("dice", 1.0, {})])
    with pytest.raises(InputError, match="the weight of a loss is -1"):
        losses.build_loss("segmentation", [("dice", -1, {})])
    with pytest.raises(InputError, match="received 0 losses and 0 weights"):
        losses.build_loss("classification", [])
    with pytest.raises(InputError, match="received 1 losses and 2 weights"):
        losses.WeightedSum([losses.DiceLoss()], [1.0, 1.0])


def test_losses_have_an_empty_state_dict():
    modules = [
        build() for known in (losses.SEGMENTATION_LOSSES, losses.CLASSIFICATION_LOSSES) for build in known.values()
    ]
    modules += [losses.CrossEntropyLoss([1.0, 2.0]), losses.ClassFocalLoss(alpha=[0.5, 0.5])]
    assert not any(module.state_dict() for module in modules)


def test_weights_from_counts_by_hand():
    torch.testing.assert_close(losses.focal_alpha_from_counts([437, 210]), torch.tensor([210 / 647, 437 / 647]))
    torch.testing.assert_close(losses.focal_alpha_from_counts([1, 2, 4]), torch.tensor([4 / 7, 2 / 7, 1 / 7]))
    torch.testing.assert_close(losses.class_weights_from_counts([1, 2, 4]), torch.tensor([12 / 7, 6 / 7, 3 / 7]))


@pytest.mark.parametrize("share", [losses.class_weights_from_counts, losses.focal_alpha_from_counts])
def test_wrong_counts_are_refused(share):
    with pytest.raises(InputError, match="class 1 has 0 images: expected at least 1"):
        share([437, 0, 133])
    with pytest.raises(InputError, match="received no class counts"):
        share([])
