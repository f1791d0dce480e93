"""Consistency of masks and classes: prediction refining, and mask probabilities weighted by the classifier.

Prediction refining: Aumente-Maestro, Diez, Remeseiro 2025, Computer Methods and Programs in Biomedicine 260, 108540.
"""

import torch
from torch import nn

from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError

# It computes with dtypes, which torch.fx cannot follow, and records as one call instead.
torch.fx.wrap("_wide")

# Logit of a pixel in an empty mask: its probability rounds to 0, and its losses stay finite.
BLACK = -100.0
# Difference between the logit of "normal" and the largest other logit if the rule changes the class to "normal".
NORMAL_MARGIN = 1.0


class PredictionRefining(nn.Module):
    """Rules that make the two outputs consistent: no lesion without a mask, no mask without a lesion.

    First rule: an image classified as normal gets an empty mask. Second rule: an image with an empty mask is classified
    as normal. Both rules use the original outputs, not each other's result. Outputs that neither rule changes are
    returned bit for bit.

    The second rule sets the logit of "normal" to :data:`NORMAL_MARGIN` above the largest other logit, which does not
    change the ratios of the other probabilities. The new probability of "normal" (at least 0.58 with three classes)
    comes from the rule and is not a confidence.

    Source: Aumente-Maestro, Diez, Remeseiro 2025, whose rules are stated for classes and masks, not for logits.

    Args:
        normal_index: index of the class "normal".
        empty_mask_for_normal: whether the first rule applies.
        normal_for_empty_mask: whether the second rule applies.
        threshold: least mask probability of a foreground pixel, above 0 and below 1.

    Raises:
        InputError: if the index is negative, or the threshold is out of range.
    """

    def __init__(
        self,
        normal_index: int,
        empty_mask_for_normal: bool = True,
        normal_for_empty_mask: bool = True,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        if not isinstance(normal_index, int) or isinstance(normal_index, bool) or normal_index < 0:
            raise InputError(f"normal_index is {normal_index!r}: it has to be a class index of at least 0")
        if not isinstance(threshold, float) or not 0 < threshold < 1:
            raise InputError(f"threshold is {threshold!r}: it has to be a number above 0 and below 1")
        self.normal_index = normal_index
        self.empty_mask_for_normal = empty_mask_for_normal
        self.normal_for_empty_mask = normal_for_empty_mask
        self.threshold = threshold

    def forward(self, mask: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Refine mask logits (B, 1, H, W) and class logits (B, K).

        Raises:
            InputError: if the shapes are different, or ``normal_index`` is not the index of a class.
        """
        if not is_traced(mask):
            check_outputs(mask, label, self.normal_index)
        is_normal = label.argmax(dim=1) == self.normal_index  # (B,)
        is_empty = mask.amax(dim=(1, 2, 3)).sigmoid() < self.threshold  # (B,)
        if self.empty_mask_for_normal:
            mask = mask.masked_fill(is_normal[:, None, None, None], BLACK)
        if self.normal_for_empty_mask:
            label = self._as_normal(label, is_empty & ~is_normal)
        return mask, label

    def _as_normal(self, label: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        strongest = _wide(label).amax(dim=1, keepdim=True)  # (B, 1)
        is_normal_class = torch.arange(label.shape[1], device=label.device) == self.normal_index  # (K,)
        raised = torch.where(is_normal_class, strongest + NORMAL_MARGIN, label)
        return torch.where(chosen[:, None], raised, label)


def weigh_by_lesion_probability(mask: torch.Tensor, label: torch.Tensor, normal_index: int) -> torch.Tensor:
    """Multiply mask probabilities by 1 - P(normal), from logits to logits, differentiable in both.

    With ``d = logsumexp(other classes) - normal``, 1 - P(normal) is sigmoid(d), and the odds of sigmoid(m) * sigmoid(d)
    are ``1 / (exp(-m) + exp(-d) + exp(-m - d))``. The logit is therefore a logsumexp. Computing it without a
    subtraction from 1 preserves the digits of probabilities near 0 and 1.

    Args:
        mask: mask logits (B, 1, H, W).
        label: class logits (B, K), K at least 2.
        normal_index: index of the class "normal".

    Returns:
        Mask logits (B, 1, H, W), in float64 if an input is float64, otherwise in float32.

    Raises:
        InputError: if the shapes are different, or ``normal_index`` is not the index of a class.
    """
    if not is_traced(mask):
        check_outputs(mask, label, normal_index)
    mask, label = _wide(mask), _wide(label)
    others = torch.cat((label[:, :normal_index], label[:, normal_index + 1 :]), dim=1)  # (B, K-1)
    lesion = others.logsumexp(dim=1) - label[:, normal_index]  # (B,)
    lesion = lesion[:, None, None, None].expand_as(mask)
    return -torch.stack((-mask, -lesion, -mask - lesion)).logsumexp(dim=0)


def check_outputs(mask: torch.Tensor, label: torch.Tensor, normal_index: int) -> None:
    """Check that mask and class logits have matching shapes, and that there is a class "normal" and at least one other.

    Raises:
        InputError: if not; the message names the received and the expected shapes.
    """
    if mask.ndim != 4 or label.ndim != 2 or mask.shape[0] != label.shape[0]:
        raise InputError(
            f"mask logits have shape {tuple(mask.shape)} and class logits {tuple(label.shape)}, expected "
            "(batch, 1, height, width) and (batch, classes)"
        )
    if label.shape[1] < 2 or normal_index >= label.shape[1]:
        raise InputError(f'there are {label.shape[1]} classes: class {normal_index} cannot be "normal" next to others')


def _wide(logits: torch.Tensor) -> torch.Tensor:
    # Under autocast logits are bfloat16, in which 1 - P(normal) would have two digits only.
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
