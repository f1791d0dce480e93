"""The weighting of two tasks and deep supervision, each against its formula."""

import math

import pytest
import torch
from torch.nn import functional

from acsnet.errors import InputError, UnknownNameError
from acsnet.losses import (
    WEIGHTINGS,
    BCELoss,
    CrossEntropyLoss,
    DiceLoss,
    FixedWeighting,
    MultiTaskLoss,
    UncertaintyWeighting,
    build_weighting,
    deep_supervision_weights,
)
from acsnet.models import MultiTaskOutput


@pytest.fixture
def output():
    generator = torch.Generator().manual_seed(0)
    sizes = [16, 8, 4]
    main, *aux = (torch.randn(2, 1, size, size, generator=generator, requires_grad=True) for size in sizes)
    return MultiTaskOutput(main, torch.randn(2, 3, generator=generator, requires_grad=True), tuple(aux))


@pytest.fixture
def mask():
    return (torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.4).float()


LABEL = torch.tensor([2, 0])


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_fixed_weighting(output, mask, share):
    values = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), FixedWeighting(share))(output, mask, LABEL)
    torch.testing.assert_close(values.segmentation, DiceLoss()(output.mask, mask))
    torch.testing.assert_close(values.classification, CrossEntropyLoss()(output.label, LABEL))
    torch.testing.assert_close(values.total, share * values.segmentation + (1 - share) * values.classification)


def test_uncertainty_weighting_starts_at_one(output, mask):
    values = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), UncertaintyWeighting())(output, mask, LABEL)
    expected = values.segmentation.item() / 2 + values.classification.item() / 2 + 2 * math.log(2)
    assert values.total.item() == pytest.approx(expected, rel=1e-6)


def test_uncertainty_weighting_and_its_gradient_by_hand():
    weighting, losses, scales = UncertaintyWeighting(), (0.4, 1.3), (0.8, -1.7)
    weighting.scales.data = torch.tensor(scales)
    total = weighting(*(torch.tensor(loss) for loss in losses))
    total.backward()
    expected = sum(loss / (2 * s**2) + math.log(1 + s**2) for loss, s in zip(losses, scales, strict=True))
    slopes = [-loss / s**3 + 2 * s / (1 + s**2) for loss, s in zip(losses, scales, strict=True)]
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert weighting.scales.grad.tolist() == pytest.approx(slopes, rel=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("loss", [0.0, 3.0])
def test_uncertainty_weighting_stays_finite(scale, loss):
    weighting = UncertaintyWeighting()
    weighting.scales.data.fill_(scale)
    total = weighting(torch.tensor(loss), torch.tensor(loss))
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(weighting.scales.grad).all()


def test_uncertainty_weighting_converges_to_a_larger_weight_for_the_smaller_loss():
    weighting = UncertaintyWeighting()
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        weighting(torch.tensor(0.05), torch.tensor(2.0)).backward()
        optimizer.step()
    # Where the slope is zero: loss (1 + s^2) = 2 s^4.
    for s, loss in zip(weighting.scales.tolist(), (0.05, 2.0), strict=True):
        assert loss * (1 + s**2) == pytest.approx(2 * s**4, rel=1e-2)


def test_the_total_of_a_single_task_is_its_loss(output, mask):
    segmentation = MultiTaskLoss(DiceLoss(), None)(MultiTaskOutput(output.mask, None, ()), mask, None)
    assert segmentation.total is segmentation.segmentation
    assert segmentation.classification is None
    torch.testing.assert_close(segmentation.total, DiceLoss()(output.mask, mask))
    classification = MultiTaskLoss(None, CrossEntropyLoss())(MultiTaskOutput(None, output.label, ()), None, LABEL)
    assert classification.total is classification.classification
    assert classification.segmentation is None
    torch.testing.assert_close(classification.total, CrossEntropyLoss()(output.label, LABEL))


def test_a_single_task_has_no_weighting_parameter():
    assert not list(MultiTaskLoss(DiceLoss(), None, UncertaintyWeighting()).parameters())
    assert [
        name for name, _ in MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), UncertaintyWeighting()).named_parameters()
    ] == ["weighting.scales"]


@pytest.mark.parametrize(
    ("scheme", "weights"),
    [("harmonic", (1 / 2, 1 / 3)), ("geometric", (1 / 2, 1 / 4)), ("none", (0.0, 0.0)), ((0.3, 0.0), (0.3, 0.0))],
)
def test_deep_supervision_is_a_plain_weighted_sum(output, mask, scheme, weights):
    loss = MultiTaskLoss(BCELoss(), None, deep_supervision=scheme)(output, mask, None)
    expected = BCELoss()(output.mask, mask)
    for auxiliary, weight in zip(output.aux, weights, strict=True):
        resized = functional.interpolate(auxiliary, (16, 16), mode="bilinear", align_corners=False)
        expected = expected + weight * BCELoss()(resized, mask)
    torch.testing.assert_close(loss.segmentation, expected)


def test_deep_supervision_reaches_every_weighted_map(output, mask):
    MultiTaskLoss(DiceLoss(), None, deep_supervision="harmonic")(output, mask, None).total.backward()
    assert all(logits.grad.abs().sum() > 0 for logits in (output.mask, *output.aux))
    assert output.label.grad is None


@pytest.mark.parametrize("scheme", ["harmonic", (0.5, 0.25)])
def test_without_auxiliary_masks_the_loss_is_that_of_the_main_mask(output, mask, scheme):
    loss = MultiTaskLoss(DiceLoss(), None, deep_supervision=scheme)(output._replace(aux=()), mask, None)
    torch.testing.assert_close(loss.total, DiceLoss()(output.mask, mask))


def test_deep_supervision_weights_by_rank():
    assert deep_supervision_weights("harmonic", 3) == [1 / 2, 1 / 3, 1 / 4]
    assert deep_supervision_weights("geometric", 3) == [1 / 2, 1 / 4, 1 / 8]
    assert deep_supervision_weights("none", 3) == [0.0, 0.0, 0.0]
    assert deep_supervision_weights("harmonic", 0) == []


def test_bfloat16_output_gives_a_float32_loss(output, mask):
    half = MultiTaskOutput(output.mask.bfloat16(), output.label.bfloat16(), tuple(a.bfloat16() for a in output.aux))
    criterion = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), UncertaintyWeighting(), "harmonic")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = criterion(half, mask, LABEL)
    assert all(value.dtype == torch.float32 for value in values[:3])
    torch.testing.assert_close(values.total, criterion(output, mask, LABEL).total, rtol=1e-2, atol=0)


def test_weightings_are_built_by_name():
    assert build_weighting("fixed", {"segmentation_weight": 0.7}).segmentation_weight == 0.7
    assert isinstance(build_weighting("uncertainty", {}), UncertaintyWeighting)
    assert set(WEIGHTINGS) == {"fixed", "uncertainty"}


def test_wrong_weightings_are_refused():
    with pytest.raises(UnknownNameError, match="unknown weighting 'fixd': did you mean 'fixed'"):
        build_weighting("fixd", {})
    with pytest.raises(InputError, match=r"weighting 'fixed': missing .*'segmentation_weight'; its arguments are"):
        build_weighting("fixed", {})
    with pytest.raises(InputError, match=r"weighting 'uncertainty': .* its arguments are: none"):
        build_weighting("uncertainty", {"share": 0.5})
    with pytest.raises(InputError, match=r"segmentation_weight is 1.1: .* at most 1"):
        FixedWeighting(1.1)


def test_wrong_tasks_are_refused():
    with pytest.raises(InputError, match="neither a segmentation nor a classification loss"):
        MultiTaskLoss(None, None)
    with pytest.raises(InputError, match="two losses and no weighting"):
        MultiTaskLoss(DiceLoss(), CrossEntropyLoss())
    with pytest.raises(UnknownNameError, match="unknown deep supervision scheme 'harmonics': did you mean 'harmonic'"):
        MultiTaskLoss(DiceLoss(), None, deep_supervision="harmonics")
    with pytest.raises(UnknownNameError, match="unknown deep supervision scheme 'linear'"):
        deep_supervision_weights("linear", 2)
    with pytest.raises(InputError, match=r"a deep_supervision weight is -0.5"):
        MultiTaskLoss(DiceLoss(), None, deep_supervision=(1.0, -0.5))


def test_outputs_that_do_not_match_are_refused(output, mask):
    both = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), FixedWeighting(0.5))
    with pytest.raises(InputError, match="the network has no logits for segmentation"):
        both(output._replace(mask=None), mask, LABEL)
    with pytest.raises(InputError, match="there is no target for segmentation"):
        both(output, None, LABEL)
    with pytest.raises(InputError, match="the network has no logits for classification"):
        both(output._replace(label=None), mask, LABEL)
    with pytest.raises(InputError, match="there is no target for classification"):
        both(output, mask, None)
    with pytest.raises(InputError, match="has 2 auxiliary masks and deep_supervision has 1 weights"):
        MultiTaskLoss(DiceLoss(), None, deep_supervision=(1.0,))(output, mask, None)
