"""What a student learns from a teacher."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.losses._checks import check_range

if TYPE_CHECKING:
    from acsnet.models import MultiTaskOutput


class DistillationLoss(nn.Module):
    """How far a network's probabilities are from a teacher's (Hinton, Vinyals, Dean 2015, arXiv:1503.02531).

    Of the classes, the Kullback-Leibler divergence of the student's from the teacher's probabilities, both at the
    temperature, times its square, which keeps the size of gradients; of the mask, the binary cross entropy with the
    teacher's probabilities as soft targets, at a temperature of 1, whose least value is the teacher's own entropy. A
    student of both tasks has the sum.

    Args:
        weight: of this loss in :class:`~acsnet.losses.MultiTaskLoss`, 0 to 1; the loss of the truth has the rest.
        temperature: above 0; class logits are divided by it.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(self, weight: float = 0.5, temperature: float = 2.0) -> None:
        super().__init__()
        self.weight = check_range("the weight of distillation", weight, 0, 1)
        self.temperature = check_range("the temperature of distillation", temperature, 1e-3)

    def forward(self, student: "MultiTaskOutput", teacher: "MultiTaskOutput") -> Tensor:
        """Compare the logits of the same images; the teacher gets no gradient.

        Raises:
            InputError: where the teacher has no logits for a task of the student.
        """
        losses = []
        if student.label is not None:
            losses.append(self._of_classes(student.label.float(), _logits(teacher.label, "classification")))
        if student.mask is not None:
            target = _logits(teacher.mask, "segmentation").sigmoid()
            losses.append(functional.binary_cross_entropy_with_logits(student.mask.float(), target))
        return torch.stack(losses).sum()

    def _of_classes(self, student: Tensor, teacher: Tensor) -> Tensor:
        own, taught = ((logits / self.temperature).log_softmax(dim=1) for logits in (student, teacher))
        return self.temperature**2 * functional.kl_div(own, taught, reduction="batchmean", log_target=True)


def _logits(logits: Tensor | None, task: str) -> Tensor:
    if logits is None:
        raise InputError(f"the teacher gives no logits for {task}: expected those of every task of the student")
    return logits.detach().float()
