"""Distillation loss against values computed by hand."""

import math

import pytest
import torch

from acsnet.errors import InputError
from acsnet.losses import BCELoss, CrossEntropyLoss, DistillationLoss, FixedWeighting, MultiTaskLoss
from acsnet.models import MultiTaskOutput


def entropy(p: float, q: float) -> float:
    return -p * math.log(q) - (1 - p) * math.log(1 - q)


def test_classes_by_hand() -> None:
    # At temperature 2, logits 2 ln 3 and 0 are ln 3 and 0: probabilities 3/4 and 1/4; the student's are 1/2 and 1/2.
    teacher = MultiTaskOutput(None, torch.tensor([[2 * math.log(3), 0.0]]))
    student = MultiTaskOutput(None, torch.tensor([[1.0, 1.0]]))
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert DistillationLoss(temperature=2.0)(student, teacher).item() == pytest.approx(expected, rel=1e-5)
    # The mean over images, one of which agrees with the teacher.
    both = [MultiTaskOutput(None, torch.cat([teacher.label, other.label])) for other in (student, teacher)]
    assert DistillationLoss(temperature=2.0)(*both).item() == pytest.approx(expected / 2, rel=1e-5)


def test_mask_by_hand() -> None:
    teacher = MultiTaskOutput(torch.tensor([math.log(3), 0.0]).reshape(1, 1, 1, 2), None)
    student = MultiTaskOutput(torch.tensor([0.0, math.log(4)]).reshape(1, 1, 1, 2), None)
    expected = (entropy(0.75, 0.5) + entropy(0.5, 0.8)) / 2
    # The temperature is that of the classes.
    assert DistillationLoss(temperature=5.0)(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_both_tasks_are_added_and_half_precision_is_widened() -> None:
    torch.manual_seed(0)
    student, teacher = (MultiTaskOutput(torch.randn(2, 1, 4, 4), torch.randn(2, 3)) for _ in range(2))
    loss = DistillationLoss()
    single = [loss(student._replace(**{left: None}), teacher) for left in ("mask", "label")]
    torch.testing.assert_close(loss(student, teacher), sum(single))
    halves = [MultiTaskOutput(output.mask.bfloat16(), output.label.bfloat16()) for output in (student, teacher)]
    assert loss(*halves).dtype == torch.float32


def test_gradient_is_the_difference_of_probabilities_and_the_teacher_has_none() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    DistillationLoss(temperature=3.0)(MultiTaskOutput(None, student), MultiTaskOutput(None, teacher)).backward()
    # d/ds of T^2 KL is T (softmax(s / T) - softmax(t / T)), a mean over three images.
    expected = 3.0 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)) / 3
    torch.testing.assert_close(student.grad, expected.detach())
    assert teacher.grad is None


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_weight_in_the_total_loss(weight: float) -> None:
    torch.manual_seed(0)
    student, teacher = (MultiTaskOutput(torch.randn(2, 1, 8, 8), torch.randn(2, 3)) for _ in range(2))
    mask, label = (torch.rand(2, 1, 8, 8) < 0.5).float(), torch.tensor([0, 2])
    distillation = DistillationLoss(weight)
    loss = MultiTaskLoss(BCELoss(), CrossEntropyLoss(), FixedWeighting(0.5), distillation=distillation)
    alone, taught = loss(student, mask, label), loss(student, mask, label, teacher)
    assert alone.distillation is None
    torch.testing.assert_close(taught.distillation, distillation(student, teacher))
    torch.testing.assert_close(taught.total, (1 - weight) * alone.total + weight * taught.distillation)
    torch.testing.assert_close(taught.segmentation, alone.segmentation)


def test_a_teacher_without_a_task() -> None:
    student = MultiTaskOutput(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2))
    for left, task in (("mask", "segmentation"), ("label", "classification")):
        with pytest.raises(InputError, match=f"the teacher has no logits for {task}: expected logits for every task"):
            DistillationLoss()(student, student._replace(**{left: None}))


def test_values_out_of_range() -> None:
    with pytest.raises(InputError, match=r"the weight of distillation is 1.5: expected .* at least 0 and at most 1"):
        DistillationLoss(weight=1.5)
    with pytest.raises(InputError, match=r"the temperature of distillation is 0: expected .* at least 0.001"):
        DistillationLoss(temperature=0)
