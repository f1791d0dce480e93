"""Several networks as one."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.models._base import MultiTaskOutput
from acsnet.models._hub import HubModel


class Ensemble(HubModel, nn.Module):
    """Averages the probabilities of several networks (Lakshminarayanan, Pritzel, Blundell 2017, NeurIPS).

    The members are trained networks of the same contract: the folds of a cross-validation, or different networks. What
    comes out are logits of the averaged probabilities, so that a sigmoid or softmax gives these back.

    Args:
        members: at least one network, each mapping images to a ``MultiTaskOutput`` of the same tasks and classes.

    Attributes:
        divisor: heights and widths have to be multiples of it.

    Raises:
        InputError: for no member.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise InputError("an ensemble has no members: give one network at least")
        self.members = nn.ModuleList(members)
        self.divisor = math.lcm(*(int(getattr(member, "divisor", 1)) for member in members))

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, C, H, W) -> mask logits (B, 1, H, W) and class logits (B, K), each None where the members have none."""
        outputs = [member(images) for member in self.members]
        mask = label = None
        if outputs[0].mask is not None:
            mask = _average_logits(torch.stack([output.mask.float() for output in outputs]))
        if outputs[0].label is not None:
            # The logarithm of the mean of softmaxes, without a probability that rounds to 0.
            logs = torch.stack([output.label.float().log_softmax(dim=1) for output in outputs])
            label = logs.logsumexp(dim=0) - torch.tensor(float(len(outputs))).log()
        return MultiTaskOutput(mask, label)


def _average_logits(logits: torch.Tensor) -> torch.Tensor:
    """The logit of the mean of sigmoids over the first dimension; what is common to both means cancels."""
    foreground = nn.functional.logsigmoid(logits).logsumexp(dim=0)
    background = nn.functional.logsigmoid(-logits).logsumexp(dim=0)
    return foreground - background
