"""Networks that return one tensor, for libraries that expect a mask or class scores and no ``MultiTaskOutput``."""

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.labels import Task
from acsnet.models.ensemble import tasks_of


class _OneTask(nn.Module):
    """Base class: returns one output of a network; see :class:`MaskOnly`."""

    task: Task

    def __init__(self, network: nn.Module, *, probabilities: bool = False) -> None:
        super().__init__()
        if self.task not in tasks_of(network):
            raise InputError(
                f"{type(self).__name__} needs the task {self.task}, and this {type(network).__name__} has only "
                f"{', '.join(tasks_of(network))}"
            )
        self.network = network
        self.probabilities = probabilities
        self.divisor = int(getattr(network, "divisor", 1))


class MaskOnly(_OneTask):
    """A network that returns its mask alone, as MONAI's sliding windows and other tools of segmentation expect.

    Args:
        network: a network that returns a ``MultiTaskOutput``, or an ensemble; it is shared, not copied.
        probabilities: return probabilities (a sigmoid) instead of logits.

    Attributes:
        network: the network.
        probabilities: whether the output is probabilities.
        divisor: heights and widths of images have to be multiples of it.

    Raises:
        InputError: if the network does not segment.

    Example:
        >>> import torch
        >>> import acsnet
        >>> model = acsnet.MaskOnly(acsnet.create_model("unet", width=4, depth=2).eval(), probabilities=True)
        >>> model(torch.zeros(2, 3, 32, 48)).shape
        torch.Size([2, 1, 32, 48])
    """

    task = "segmentation"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, H, W) to mask logits, or probabilities in 0..1, (B, 1, H, W)."""
        mask: torch.Tensor = self.network(images).mask
        return mask.sigmoid() if self.probabilities else mask


class LabelOnly(_OneTask):
    """A network that returns its class scores alone, as captum, pytorch-grad-cam and other tools of classes expect.

    Args:
        network: a network that returns a ``MultiTaskOutput``, or an ensemble; it is shared, not copied.
        probabilities: return probabilities (a softmax) instead of logits.

    Attributes:
        network: the network.
        probabilities: whether the output is probabilities.
        divisor: heights and widths of images have to be multiples of it.

    Raises:
        InputError: if the network does not classify.

    Example:
        >>> import torch
        >>> import acsnet
        >>> model = acsnet.LabelOnly(acsnet.create_model("unet", width=4, depth=2).eval(), probabilities=True)
        >>> model(torch.zeros(2, 3, 32, 48)).sum(dim=1).allclose(torch.ones(2))
        True
    """

    task = "classification"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, H, W) to class logits, or probabilities that sum to 1, (B, K)."""
        label: torch.Tensor = self.network(images).label
        return label.softmax(dim=1) if self.probabilities else label
