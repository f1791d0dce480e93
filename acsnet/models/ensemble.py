"""Ensembles: several networks that predict as one."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.labels import TASKS, Task
from acsnet.models._base import MultiTaskOutput


class Ensemble(nn.Module):
    """Averages the probabilities of several networks (Lakshminarayanan, Pritzel, Blundell 2017, NeurIPS).

    The members are trained networks of the same contract: the folds of a cross-validation, or different networks. The
    output is the logits of the averaged probabilities, so that a sigmoid or softmax returns the averages.

    Args:
        members: at least one network, each mapping images to a ``MultiTaskOutput`` of the same tasks and classes.

    Attributes:
        members: the networks.
        divisor: heights and widths have to be multiples of it: the least common multiple of the members' divisors.

    Raises:
        InputError: if there are no members.

    Example:
        >>> import torch
        >>> import acsnet
        >>> from acsnet.models import Ensemble
        >>> members = [acsnet.create_model("unet", width=4, depth=2).eval() for _ in range(3)]
        >>> output = Ensemble(members)(torch.zeros(2, 3, 32, 32))
        >>> output.mask.shape, output.label.shape
        (torch.Size([2, 1, 32, 32]), torch.Size([2, 3]))
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise InputError("an ensemble needs at least one network: members is empty")
        self.members = nn.ModuleList(members)
        self.divisor = math.lcm(*(int(getattr(member, "divisor", 1)) for member in members))

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, C, H, W) to mask logits (B, 1, H, W) and class logits (B, K), None for a missing task."""
        outputs = [member(images) for member in self.members]
        mask = label = None
        if outputs[0].mask is not None:
            mask = _average_logits(torch.stack([output.mask.float() for output in outputs]))
        if outputs[0].label is not None:
            # The logarithm of the mean softmax, computed without probabilities that could round to 0.
            logs = torch.stack([output.label.float().log_softmax(dim=1) for output in outputs])
            label = logs.logsumexp(dim=0) - torch.tensor(float(len(outputs))).log()
        return MultiTaskOutput(mask, label)


def _average_logits(logits: torch.Tensor) -> torch.Tensor:
    """Return the logit of the mean sigmoid over the first dimension."""
    # The number of members divides both means and cancels.
    foreground = nn.functional.logsigmoid(logits).logsumexp(dim=0)
    background = nn.functional.logsigmoid(-logits).logsumexp(dim=0)
    return foreground - background


def tasks_of(network: nn.Module) -> tuple[Task, ...]:
    """Return the tasks of a network, or of the members of an ensemble; both if the network does not declare them."""
    first = next(iter(getattr(network, "members", [network])))
    return tuple(getattr(first, "tasks", TASKS))
