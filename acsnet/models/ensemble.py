"""Ensembles: several networks that predict as one."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.labels import TASKS, Task
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import check_count


class Ensemble(nn.Module):
    """Averages the probabilities of several networks (Lakshminarayanan, Pritzel, Blundell 2017, NeurIPS).

    The members are trained networks of the same contract: the folds of a cross-validation, or different networks. The
    output is the logits of the averaged probabilities, so that a sigmoid or softmax returns the averages.

    Args:
        members: at least one network, each mapping images to a ``MultiTaskOutput`` of the same tasks and classes.

    Attributes:
        members: the networks.
        image_size: the only (height, width) that a member takes, or None.
        divisor: heights and widths have to be multiples of it: the least common multiple of the members' divisors.

    Raises:
        InputError: if there are no members, or one of them has no classes.

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
        if any(getattr(member, "num_classes", None) == 0 for member in members):
            raise InputError(
                "an ensemble averages class probabilities, but a member has num_classes=0 and returns features: "
                "reset_classifier(K) gives it classes"
            )
        self.members = nn.ModuleList(members)
        self.image_size = next(filter(None, (getattr(member, "image_size", None) for member in members)), None)
        self.divisor = math.lcm(*(int(getattr(member, "divisor", 1)) for member in members))

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Refuse the call: each member has maps of its own.

        Raises:
            InputError: always; the message says what to call instead.
        """
        raise InputError(
            f"an ensemble of {len(self.members)} networks has no features of its own: call "
            "members[i].forward_features(images)"
        )

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer of the classifier of each member; see :class:`~acsnet.models.MultiTaskModel`.

        Raises:
            InputError: if the number is below 1, since probabilities are averaged, or a member refuses it.
        """
        check_count("num_classes", num_classes)
        for member in self.members:
            cast(MultiTaskModel, member).reset_classifier(num_classes)
        self.__dict__.pop("metadata", None)

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
