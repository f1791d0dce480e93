"""The loss of a network with one or both tasks, with deep supervision and distillation."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
from acsnet.losses._checks import check_range

if TYPE_CHECKING:
    from acsnet.losses.distillation import DistillationLoss
    from acsnet.models import MultiTaskOutput


def _harmonic(rank: int) -> float:
    return 1 / (rank + 1)


def _geometric(rank: int) -> float:
    return 0.5**rank


def _main_mask_only(rank: int) -> float:
    return float(rank == 0)


DEEP_SUPERVISION_SCHEMES: dict[str, Callable[[int], float]] = {
    "harmonic": _harmonic,
    "geometric": _geometric,
    "none": _main_mask_only,
}


def deep_supervision_weights(scheme: str, auxiliary_masks: int) -> list[float]:
    """Return the weight of each auxiliary mask, finest first.

    The auxiliary masks have the ranks 1, 2, ...; the main mask has rank 0 and weight 1. As in the publication, the
    loss is the weighted sum, not divided by the sum of the weights.

    Args:
        scheme: ``"harmonic"`` for 1/(rank+1) (Aumente-Maestro et al. 2025), ``"geometric"`` for 1/2^rank, or ``"none"``
            for 0.
        auxiliary_masks: number of auxiliary masks.

    Raises:
        UnknownNameError: for an unknown scheme, with near matches.

    Example:
        >>> from acsnet.losses import deep_supervision_weights
        >>> deep_supervision_weights("geometric", 3)
        [0.5, 0.25, 0.125]
    """
    weight_of = look_up("deep supervision scheme", scheme, DEEP_SUPERVISION_SCHEMES, "")
    return [weight_of(rank) for rank in range(1, auxiliary_masks + 1)]


class LossValues(NamedTuple):
    """Losses of one batch, scalars with gradients.

    Attributes:
        total: loss to minimize.
        segmentation: loss of the masks, or None without the segmentation task.
        classification: loss of the classes, or None without the classification task.
        distillation: loss against the teacher, or None without a teacher.
    """

    total: Tensor
    segmentation: Tensor | None
    classification: Tensor | None
    distillation: Tensor | None = None


class MultiTaskLoss(nn.Module):
    """Weighted sum of a segmentation and a classification loss, with deep supervision of the mask.

    The total of a single task is its loss. A weighting is then ignored, so that all parameters have a gradient.

    Args:
        segmentation: loss of mask logits and masks (B, 1, H, W); None without the segmentation task.
        classification: loss of class logits (B, K) and labels (B,); None without the classification task.
        weighting: :class:`FixedWeighting` or :class:`UncertaintyWeighting`; required for two tasks.
        deep_supervision: a scheme of :func:`deep_supervision_weights`, or the weight of each auxiliary mask, finest
            first; the weight of the main mask is 1. Auxiliary logits are resized bilinearly to the size of the mask. An
            output without auxiliary masks (at inference) has the loss of its main mask only. Auxiliary heads with a
            weight of 0 receive no gradient.
        distillation: loss of the network's and a teacher's output. With a teacher, the total becomes
            (1 - ``weight``) * total + ``weight`` * distillation, where ``weight`` is its attribute.

    Raises:
        InputError: if both losses are None, if the weighting of two losses is missing, or if a weight is negative.
        UnknownNameError: for an unknown scheme, with near matches.

    Example:
        >>> import torch
        >>> from acsnet import create_model
        >>> from acsnet.losses import CrossEntropyLoss, DiceLoss, FixedWeighting, MultiTaskLoss
        >>> criterion = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), FixedWeighting(0.7), "harmonic")
        >>> output = create_model("mt_unetpp", widths=[4] * 6)(torch.zeros(2, 3, 32, 32))
        >>> loss = criterion(output, mask=torch.zeros(2, 1, 32, 32), label=torch.tensor([0, 1]))
        >>> loss.total.shape, loss.distillation
        (torch.Size([]), None)
    """

    def __init__(
        self,
        segmentation: nn.Module | None,
        classification: nn.Module | None,
        weighting: nn.Module | None = None,
        deep_supervision: Sequence[float] | str = "none",
        distillation: "DistillationLoss | None" = None,
    ) -> None:
        super().__init__()
        both = segmentation is not None and classification is not None
        if segmentation is None and classification is None:
            raise InputError("received neither a segmentation nor a classification loss: expected at least one")
        if both and weighting is None:
            raise InputError("received two losses and no weighting: expected FixedWeighting or UncertaintyWeighting")
        self.segmentation = segmentation
        self.classification = classification
        self.weighting = weighting if both else None
        self.deep_supervision = _check_deep_supervision(deep_supervision)
        self.distillation = distillation

    def forward(
        self,
        output: "MultiTaskOutput",
        mask: Tensor | None,
        label: Tensor | None,
        teacher: "MultiTaskOutput | None" = None,
    ) -> LossValues:
        """Compute the losses of a network's output.

        Args:
            output: output of the network.
            mask: float (B, 1, H, W) in {0, 1}; not used without a segmentation loss.
            label: class indices, int64 (B,); not used without a classification loss.
            teacher: output of the teacher for the same images; None for no distillation, as in validation.

        Raises:
            InputError: if the logits or the target of a task are missing, or if the numbers of auxiliary masks and of
                weights differ.
        """
        segmentation = None if self.segmentation is None else self._segmentation_loss(self.segmentation, output, mask)
        classification = None
        if self.classification is not None:
            logits, target = _logits_and_target("classification", output.label, label)
            classification = self.classification(logits, target)
        losses = [loss for loss in (segmentation, classification) if loss is not None]
        total = losses[0] if self.weighting is None else self.weighting(*losses)
        if self.distillation is None or teacher is None:
            return LossValues(total, segmentation, classification)
        distillation = self.distillation(output, teacher)
        weight = self.distillation.weight
        return LossValues((1 - weight) * total + weight * distillation, segmentation, classification, distillation)

    def _segmentation_loss(self, criterion: nn.Module, output: "MultiTaskOutput", mask: Tensor | None) -> Tensor:
        logits, target = _logits_and_target("segmentation", output.mask, mask)
        loss: Tensor = criterion(logits, target)
        for auxiliary, weight in zip(output.aux, self._auxiliary_weights(len(output.aux)), strict=True):
            if weight:
                # The logits are upsampled, since a small lesion could vanish from a downsampled mask.
                resized = functional.interpolate(
                    auxiliary.float(), target.shape[-2:], mode="bilinear", align_corners=False
                )
                loss = loss + weight * criterion(resized, target)
        return loss

    def _auxiliary_weights(self, auxiliary_masks: int) -> Sequence[float]:
        if isinstance(self.deep_supervision, str):
            return deep_supervision_weights(self.deep_supervision, auxiliary_masks)
        if auxiliary_masks and auxiliary_masks != len(self.deep_supervision):
            raise InputError(
                f"the network has {auxiliary_masks} auxiliary masks and deep_supervision has "
                f"{len(self.deep_supervision)} weights: expected one weight per mask, finest first"
            )
        return self.deep_supervision[:auxiliary_masks]


def _check_deep_supervision(deep_supervision: Sequence[float] | str) -> tuple[float, ...] | str:
    if isinstance(deep_supervision, str):
        look_up("deep supervision scheme", deep_supervision, DEEP_SUPERVISION_SCHEMES, "")
        return deep_supervision
    return tuple(check_range("a deep_supervision weight", weight, 0) for weight in deep_supervision)


def _logits_and_target(task: str, logits: Tensor | None, target: Tensor | None) -> tuple[Tensor, Tensor]:
    if logits is None or target is None:
        missing = "the network has no logits" if logits is None else "there is no target"
        raise InputError(f"{missing} for {task}: expected a tensor, since there is a {task} loss")
    return logits, target
