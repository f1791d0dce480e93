"""Masks and classes that agree: prediction refining, and the mask weighed by the classifier.

Prediction refining: Aumente-Maestro, Diez, Remeseiro 2025, Computer Methods and Programs in Biomedicine 260, 108540.
"""

import torch
from torch import nn

from acsnet.errors import InputError

# The logit of a pixel that is certainly background: its probability rounds to 0, and its losses stay finite.
BLACK = -100.0
# By how much the logit of "normal" is put above the strongest other class where the rule decides for it.
NORMAL_MARGIN = 1.0


class PredictionRefining(nn.Module):
    """Makes the two outputs consistent: no lesion without a mask, no mask without a lesion.

    A case classified as normal gets an empty mask; a case whose mask is empty is classified as normal. Both decisions
    look at what comes in, not at each other's result; what neither rule changes comes out bit for bit. Where the second
    rule decides, the logit of "normal" is put :data:`NORMAL_MARGIN` above the strongest other class: the ratios of the
    other classes' probabilities stay the classifier's, how probable normal is (at least 0.58 of three classes) comes
    from the rule and is no measure of certainty.

    Source: Aumente-Maestro, Diez, Remeseiro 2025, whose rules are stated for classes and masks, not for logits.

    Args:
        normal_index: which class is "normal".
        empty_mask_for_normal: whether the first rule applies.
        normal_for_empty_mask: whether the second rule applies.
        threshold: mask probability from which a pixel is foreground, above 0 and below 1.

    Raises:
        InputError: for a negative index, or a threshold out of range.
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
        """Mask logits (B, 1, H, W), class logits (B, K) -> the same, refined.

        Raises:
            InputError: for other shapes, or fewer classes than the index of "normal" needs.
        """
        if not torch.compiler.is_compiling():
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
    are ``1 / (exp(-m) + exp(-d) + exp(-m - d))``: its logit is a logsumexp, without the subtraction from 1 that would
    lose all digits of probabilities near 0 and 1.

    Args:
        mask: mask logits (B, 1, H, W).
        label: class logits (B, K), K at least 2.
        normal_index: which class is "normal".

    Returns:
        Mask logits (B, 1, H, W), in float32 or, where that came in, float64.

    Raises:
        InputError: for other shapes, or fewer classes than the index of "normal" needs.
    """
    if not torch.compiler.is_compiling():
        check_outputs(mask, label, normal_index)
    mask, label = _wide(mask), _wide(label)
    others = torch.cat((label[:, :normal_index], label[:, normal_index + 1 :]), dim=1)  # (B, K-1)
    lesion = others.logsumexp(dim=1) - label[:, normal_index]  # (B,)
    lesion = lesion[:, None, None, None].expand_as(mask)
    return -torch.stack((-mask, -lesion, -mask - lesion)).logsumexp(dim=0)


def check_outputs(mask: torch.Tensor, label: torch.Tensor, normal_index: int) -> None:
    """Check that mask and class logits belong together and have a "normal" class beside others.

    Raises:
        InputError: saying what was received and what is needed.
    """
    if mask.ndim != 4 or label.ndim != 2 or mask.shape[0] != label.shape[0]:
        raise InputError(
            f"mask logits have shape {tuple(mask.shape)} and class logits {tuple(label.shape)}, needed are "
            "(batch, 1, height, width) and (batch, classes)"
        )
    if label.shape[1] < 2 or normal_index >= label.shape[1]:
        raise InputError(f'there are {label.shape[1]} classes: class {normal_index} cannot be "normal" beside others')


def _wide(logits: torch.Tensor) -> torch.Tensor:
    # Under autocast logits are bfloat16, where 1 - P(normal) has two digits.
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
