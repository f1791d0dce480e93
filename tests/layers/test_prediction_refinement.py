import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from acsnet.errors import InputError
from acsnet.layers import PredictionRefining, weigh_by_lesion_probability
from acsnet.layers.prediction_refinement import BLACK, NORMAL_MARGIN

LESION, EMPTY = 3.0, -3.0
# Class logits (benign, malignant, normal) of a lesion and of a normal image.
AS_LESION, AS_NORMAL = [0.5, 2.0, -1.0], [0.5, -2.0, 1.0]


def cases() -> tuple[torch.Tensor, torch.Tensor]:
    """Lesion with mask, lesion without, normal with mask, normal without; a mask of one pixel is a mask."""
    mask = torch.full((4, 1, 2, 3), EMPTY)
    mask[[0, 2], 0, 1, 2] = LESION
    return mask, torch.tensor([AS_LESION, AS_LESION, AS_NORMAL, AS_NORMAL])


# --- prediction refining ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty_mask_for_normal", [True, False])
@pytest.mark.parametrize("normal_for_empty_mask", [True, False])
def test_each_rule_alone(empty_mask_for_normal: bool, normal_for_empty_mask: bool) -> None:
    mask, label = cases()
    before = mask.clone(), label.clone()
    new_mask, new_label = PredictionRefining(2, empty_mask_for_normal, normal_for_empty_mask)(mask, label)
    blackened = [2, 3] if empty_mask_for_normal else []
    for case in range(4):
        expected = torch.full((1, 2, 3), BLACK) if case in blackened else mask[case]
        assert torch.equal(new_mask[case], expected)
    reclassified = [1] if normal_for_empty_mask else []
    for case in range(4):
        expected = torch.tensor([0.5, 2.0, 2.0 + NORMAL_MARGIN]) if case in reclassified else label[case]
        assert torch.equal(new_label[case], expected)
    assert torch.equal(mask, before[0]), "what comes in is the caller's"
    assert torch.equal(label, before[1])


def test_both_rules_use_the_original_outputs() -> None:
    """A normal case with a mask becomes a normal case without: it does not count as a lesion because of its mask."""
    refine = PredictionRefining(2)
    mask, label = refine(*cases())
    assert label.argmax(dim=1).tolist() == [1, 2, 2, 2]
    assert (mask.amax(dim=(1, 2, 3)) > 0).tolist() == [True, False, False, False]
    again = refine(mask, label)
    assert torch.equal(again[1], label), "refined once is refined"
    assert torch.equal(again[0] > 0, mask > 0)


@pytest.mark.parametrize("normal_index", [0, 1, 2, 3])
def test_refined_outputs_are_always_consistent(normal_index: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.randn(200, 1, 2, 2, generator=generator)
    label = torch.randn(200, 4, generator=generator)
    refined_mask, refined_label = PredictionRefining(normal_index)(mask, label)
    normal = refined_label.argmax(dim=1) == normal_index
    empty = (refined_mask < 0).all(dim=3).all(dim=2).all(dim=1)
    assert torch.equal(normal, empty)
    others = [index for index in range(4) if index != normal_index]
    assert torch.equal(refined_label[:, others], label[:, others])
    changed = refined_label[:, normal_index] != label[:, normal_index]
    assert 0 < changed.sum() < 200
    odds = refined_label[changed].softmax(dim=1)[:, others] / label[changed].softmax(dim=1)[:, others]
    torch.testing.assert_close(odds / odds[:, :1], torch.ones_like(odds), rtol=1e-4, atol=1e-4)


def test_the_least_probability_of_normal_is_the_documented_one() -> None:
    mask, label = torch.full((1, 1, 2, 2), EMPTY), torch.tensor([[4.0, 4.0, -9.0]])
    _, refined = PredictionRefining(2)(mask, label)
    assert refined.softmax(dim=1)[0, 2].item() == pytest.approx(math.e / (math.e + 2), rel=1e-6)
    assert 0.57 < math.e / (math.e + 2) < 0.58


@pytest.mark.parametrize(("threshold", "empty"), [(0.3, False), (0.5, False), (0.500001, True), (0.7, True)])
def test_a_pixel_at_the_threshold_is_foreground(threshold: float, empty: bool) -> None:
    mask, label = torch.tensor([[[[-5.0, 0.0]]]]), torch.tensor([AS_LESION])
    _, refined = PredictionRefining(2, threshold=threshold)(mask, label)
    assert (refined.argmax(dim=1).item() == 2) is empty


def test_low_precision_keeps_the_decision() -> None:
    mask, label = torch.full((1, 1, 2, 2), EMPTY), torch.tensor([[900.0, 3.0, 1.0]])
    for dtype in (torch.bfloat16, torch.float16):
        refined_mask, refined_label = PredictionRefining(2)(mask.to(dtype), label.to(dtype))
        assert refined_label.argmax(dim=1).item() == 2
        blackened, _ = PredictionRefining(2)(refined_mask, refined_label)
        assert blackened.dtype == dtype
        assert (blackened == BLACK).all()


def test_refining_can_be_compiled_and_exported() -> None:
    refine = PredictionRefining(2)
    expected = refine(*cases())
    compiled = torch.compile(refine, fullgraph=True, backend="eager")
    for run in (compiled, torch.export.export(refine, cases()).module()):
        torch.testing.assert_close(run(*cases()), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normal_index": -1}, r"normal_index is -1: it has to be a class index of at least 0"),
        ({"normal_index": True}, r"normal_index is True"),
        ({"normal_index": "normal"}, r"normal_index is 'normal'"),
        ({"normal_index": 2, "threshold": 1.0}, r"threshold is 1\.0: it has to be a number above 0 and below 1"),
        ({"normal_index": 2, "threshold": 0.0}, r"threshold is 0\.0"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PredictionRefining(**arguments)


@pytest.mark.parametrize(
    ("mask", "label", "message"),
    [
        ((2, 4, 4), (2, 3), r"mask logits have shape \(2, 4, 4\) and class logits \(2, 3\), expected \(batch, 1,"),
        ((2, 1, 4, 4), (3,), r"class logits \(3,\), expected"),
        ((2, 1, 4, 4), (3, 3), r"class logits \(3, 3\), expected"),
        ((2, 1, 4, 4), (2, 2), r'there are 2 classes: class 2 cannot be "normal" next to others'),
    ],
)
def test_outputs_that_do_not_fit(mask: tuple[int, ...], label: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PredictionRefining(2)(torch.zeros(mask), torch.zeros(label))
    with pytest.raises(InputError, match=message):
        weigh_by_lesion_probability(torch.zeros(mask), torch.zeros(label), 2)


def test_one_class_is_not_enough() -> None:
    with pytest.raises(InputError, match=r'there are 1 classes: class 0 cannot be "normal" next to others'):
        PredictionRefining(0)(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1))


# --- the product -----------------------------------------------------------------------------------------------------


def product(mask: NDArray[np.float64], label: NDArray[np.float64], normal: int) -> NDArray[np.float64]:
    """Compute the probabilities by the definition: sigmoid(mask) * (1 - softmax(label)[normal])."""
    exponentials = np.exp(label - label.max(axis=1, keepdims=True))
    lesion = 1 - exponentials[:, normal] / exponentials.sum(axis=1)
    return lesion[:, None, None, None] / (1 + np.exp(-mask))


@pytest.mark.parametrize("normal_index", [0, 1, 2])
def test_the_product_is_the_definition(normal_index: int) -> None:
    generator = np.random.default_rng(0)
    mask, label = generator.normal(scale=4, size=(50, 1, 3, 3)), generator.normal(scale=3, size=(50, 3))
    expected = product(mask, label, normal_index)
    double = weigh_by_lesion_probability(torch.from_numpy(mask), torch.from_numpy(label), normal_index)
    assert double.dtype == torch.float64
    np.testing.assert_allclose(double.numpy(), np.log(expected) - np.log1p(-expected), rtol=1e-9, atol=1e-9)
    single = weigh_by_lesion_probability(torch.from_numpy(mask).float(), torch.from_numpy(label).float(), normal_index)
    np.testing.assert_allclose(single.numpy(), double.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("m", [-1e4, -100.0, -30.0, 0.0, 30.0, 100.0, 1e4])
@pytest.mark.parametrize("d", [-1e4, -100.0, -30.0, 0.0, 30.0, 100.0, 1e4])
def test_extremes_are_finite_and_so_are_their_gradients(dtype: torch.dtype, m: float, d: float) -> None:
    """Far from 0 the logit of the product is about the smaller of the two, minus log 2 if they are equal."""
    mask = torch.tensor([[[[m]]]], dtype=dtype, requires_grad=True)
    label = torch.tensor([[d, d - 1e6, 0.0]], dtype=dtype, requires_grad=True)
    logit = weigh_by_lesion_probability(mask, label, 2)
    assert logit.dtype == torch.float32
    m, d = mask.item(), label[0, 0].item()
    # In float64, with the exponents' common factor taken out: -log(exp(-m) + exp(-d) + exp(-m - d)).
    terms = np.array([-m, -d, -m - d])
    expected = -(terms.max() + np.log(np.exp(terms - terms.max()).sum()))
    assert logit.item() == pytest.approx(expected, rel=1e-6, abs=1e-6)
    logit.sum().backward()
    for gradient in (mask.grad, label.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
    slope = np.exp(terms - terms.max()) / np.exp(terms - terms.max()).sum()
    assert mask.grad.item() == pytest.approx(slope[0] + slope[2], rel=1e-2, abs=1e-6)
    assert label.grad[0].tolist() == pytest.approx([slope[1] + slope[2], 0, -slope[1] - slope[2]], rel=1e-2, abs=1e-6)


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    mask = torch.randn(2, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    label = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *given: weigh_by_lesion_probability(*given, 1), (mask, label))


def test_certainty_of_normal_empties_the_mask_and_certainty_of_a_lesion_changes_nothing() -> None:
    mask = torch.tensor([-2.0, 0.0, 5.0]).reshape(1, 1, 1, 3)
    black = weigh_by_lesion_probability(mask, torch.tensor([[0.0, 0.0, 90.0]]), 2)
    assert (black < -80).all()
    same = weigh_by_lesion_probability(mask, torch.tensor([[0.0, 0.0, -90.0]]), 2)
    torch.testing.assert_close(same, mask)
