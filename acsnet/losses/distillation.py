"""The loss of a student network against its teacher."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.losses._checks import check_range

if TYPE_CHECKING:
    from acsnet.models import MultiTaskOutput


class DistillationLoss(nn.Module):
    """Distance of a network's probabilities from those of a teacher (Hinton, Vinyals, Dean 2015, arXiv:1503.02531).

    For the classes, it is the Kullback-Leibler divergence from the teacher's to the student's probabilities, both
    softened by the temperature. Multiplying it by the square of the temperature preserves the scale of the gradients.
    For the mask, it is the binary cross entropy with the teacher's probabilities as soft targets, at a temperature of
    1; its minimum is the entropy of the teacher. With both tasks it is the sum.

    Args:
        weight: weight of this loss in :class:`~acsnet.losses.MultiTaskLoss`, 0 to 1; the loss against the ground truth
            has the weight 1 - ``weight``.
        temperature: divisor of the class logits, at least 0.001.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from acsnet import MultiTaskOutput
        >>> from acsnet.losses import DistillationLoss
        >>> student = MultiTaskOutput(None, torch.tensor([[0.0, 0.0]]))
        >>> teacher = MultiTaskOutput(None, torch.tensor([[2.0, 0.0]]))
        >>> DistillationLoss(temperature=2.0)(student, teacher)
        tensor(0.4438)
    """

    def __init__(self, weight: float = 0.5, temperature: float = 2.0) -> None:
        super().__init__()
        self.weight = check_range("the weight of distillation", weight, 0, 1)
        self.temperature = check_range("the temperature of distillation", temperature, 1e-3)

    def forward(self, student: "MultiTaskOutput", teacher: "MultiTaskOutput") -> Tensor:
        """Compute the loss, a scalar, of two outputs for the same images; the teacher receives no gradient.

        Raises:
            InputError: if the teacher has no logits for a task of the student.
        """
        losses = []
        if student.label is not None:
            losses.append(self._class_divergence(student.label.float(), _logits(teacher.label, "classification")))
        if student.mask is not None:
            target = _logits(teacher.mask, "segmentation").sigmoid()
            losses.append(functional.binary_cross_entropy_with_logits(student.mask.float(), target))
        return torch.stack(losses).sum()

    def _class_divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        ours, theirs = ((logits / self.temperature).log_softmax(dim=1) for logits in (student, teacher))
        return self.temperature**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def _logits(logits: Tensor | None, task: str) -> Tensor:
    if logits is None:
        raise InputError(f"the teacher has no logits for {task}: expected logits for every task of the student")
    return logits.detach().float()
