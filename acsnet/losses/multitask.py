"""The loss of a network with a mask head, a class head, or both."""

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


def _main_mask_alone(rank: int) -> float:
    return float(rank == 0)


DEEP_SUPERVISION_SCHEMES: dict[str, Callable[[int], float]] = {
    "harmonic": _harmonic,
    "geometric": _geometric,
    "none": _main_mask_alone,
}


def deep_supervision_weights(scheme: str, auxiliary_masks: int) -> list[float]:
    """Give the weight of each auxiliary mask, finest first: ranks 1, 2, ...; the main mask has rank 0 and weight 1.

    `harmonic` is 1/(rank+1) (Aumente-Maestro et al. 2025), `geometric` 1/2^rank, `none` 0. The weights are factors of
    a plain sum, which is not divided by their total: the publication's form.

    Raises:
        UnknownNameError: another scheme.
    """
    weight_of = look_up("deep supervision scheme", scheme, DEEP_SUPERVISION_SCHEMES, "")
    return [weight_of(rank) for rank in range(1, auxiliary_masks + 1)]


class LossValues(NamedTuple):
    """Scalars of one batch, all with gradient; the field of what is left out is None."""

    total: Tensor
    segmentation: Tensor | None
    classification: Tensor | None
    distillation: Tensor | None = None


class MultiTaskLoss(nn.Module):
    """Balanced sum of a segmentation and a classification loss, with deep supervision of the mask.

    A single task's total is its loss itself; its weighting, if one is given, is not kept, so that no parameter stays
    without a gradient.

    Args:
        segmentation: called with mask logits and masks (B, 1, H, W); None leaves the task out.
        classification: called with class logits (B, K) and labels (B,); None leaves the task out.
        weighting: :class:`FixedWeighting` or :class:`UncertaintyWeighting`, called with both losses; required for two.
        deep_supervision: a name of :func:`deep_supervision_weights`, or the weight of each auxiliary mask, finest
            first; the main mask's is 1. Auxiliary logits are brought to the mask's size bilinearly. A network that
            gives no auxiliary mask (at inference) is judged by its main mask alone. Auxiliary heads whose weight is 0
            get no gradient.
        distillation: called with the network's and a teacher's output; where there is a teacher, the total becomes
            (1 - its ``weight``) * total + ``weight`` * distillation.

    Raises:
        InputError: both tasks are left out, the weighting of two is missing, or a weight is negative.
        UnknownNameError: an unknown scheme.
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
        """Judge a network's output by the mask, float (B, 1, H, W) in {0, 1}, and the label, int64 (B,).

        The mask or label of a task that is left out is not used and may be None. Without the output of a teacher there
        is no distillation, as in validation.

        Raises:
            InputError: a task's logits or target are missing, or the number of auxiliary masks is not that of the
                weights.
        """
        segmentation = None if self.segmentation is None else self._segmentation_loss(self.segmentation, output, mask)
        classification = None
        if self.classification is not None:
            logits, target = _both("classification", output.label, label)
            classification = self.classification(logits, target)
        losses = [loss for loss in (segmentation, classification) if loss is not None]
        total = losses[0] if self.weighting is None else self.weighting(*losses)
        if self.distillation is None or teacher is None:
            return LossValues(total, segmentation, classification)
        distillation = self.distillation(output, teacher)
        weight = self.distillation.weight
        return LossValues((1 - weight) * total + weight * distillation, segmentation, classification, distillation)

    def _segmentation_loss(self, criterion: nn.Module, output: "MultiTaskOutput", mask: Tensor | None) -> Tensor:
        logits, target = _both("segmentation", output.mask, mask)
        loss: Tensor = criterion(logits, target)
        for auxiliary, weight in zip(output.aux, self._auxiliary_weights(len(output.aux)), strict=True):
            if weight:
                # Upsampled logits, not a downsampled mask: a small lesion would vanish from that.
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
                f"the network gives {auxiliary_masks} auxiliary masks and deep_supervision has "
                f"{len(self.deep_supervision)} weights: expected one weight a mask, finest first"
            )
        return self.deep_supervision[:auxiliary_masks]


def _check_deep_supervision(deep_supervision: Sequence[float] | str) -> tuple[float, ...] | str:
    if isinstance(deep_supervision, str):
        look_up("deep supervision scheme", deep_supervision, DEEP_SUPERVISION_SCHEMES, "")
        return deep_supervision
    return tuple(check_range("a deep_supervision weight", weight, 0) for weight in deep_supervision)


def _both(task: str, logits: Tensor | None, target: Tensor | None) -> tuple[Tensor, Tensor]:
    if logits is None or target is None:
        missing = "the network gives no logits" if logits is None else "no target was given"
        raise InputError(f"{missing} for {task}: expected them, because a {task} loss is set")
    return logits, target
