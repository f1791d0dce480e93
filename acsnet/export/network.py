"""The exported network, which returns probabilities by name, and its description."""

from typing import Any

import torch
from torch import nn

from acsnet.checkpoints import Checkpoint
from acsnet.models import TASKS, load_model
from acsnet.models.ensemble import tasks_of
from acsnet.ops import DeformConv2d
from acsnet.version import __version__

#: Name of the output per task.
OUTPUTS = dict(zip(TASKS, ("mask", "classes"), strict=True))


class ProbabilityNetwork(nn.Module):
    """Returns the probabilities of a network, or of an ensemble, by name; missing tasks are omitted.

    Args:
        network: a network that returns a ``MultiTaskOutput``.

    Attributes:
        outputs: names of the outputs, in order.
        divisor: heights and widths have to be multiples of it.
        image_size: the only (height, width) that the network takes, or None.

    Example:
        >>> import torch
        >>> import acsnet
        >>> from acsnet.export import ProbabilityNetwork
        >>> network = ProbabilityNetwork(acsnet.create_model("unet", width=4, depth=2).eval())
        >>> probabilities = network(torch.zeros(1, 3, 32, 32))
        >>> {name: tuple(values.shape) for name, values in probabilities.items()}
        {'mask': (1, 1, 32, 32), 'classes': (1, 3)}
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.outputs = tuple(OUTPUTS[task] for task in TASKS if task in tasks_of(network))
        self.divisor = int(getattr(network, "divisor", 1))
        self.image_size = getattr(network, "image_size", None)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map normalized images (B, C, H, W) to ``mask`` (B, 1, H, W) in 0..1 and ``classes`` (B, K), summing to 1."""
        mask, label, _ = self.network(images)
        probabilities = {}
        if mask is not None:
            probabilities["mask"] = mask.float().sigmoid()
        if label is not None:
            probabilities["classes"] = label.float().softmax(dim=1)
        return probabilities


def load_network(checkpoint: Checkpoint) -> ProbabilityNetwork:
    """Load the network of a checkpoint in evaluation mode, float32, on the CPU; errors as in ``acsnet.load_model``."""
    return ProbabilityNetwork(load_model(checkpoint)).eval().requires_grad_(False)


def use_backend(network: nn.Module, backend: str) -> None:
    """Set the backend of every deformable convolution of a network, in place of that of its checkpoint.

    Args:
        network: the network, changed in place.
        backend: ``"torch"`` to export PyTorch's own operators, ``"auto"`` to export one operator.
    """
    for module in network.modules():
        if isinstance(module, DeformConv2d):
            module.backend = backend


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the description of an exported file as JSON values.

    Returns:
        ``format`` (version of this description), ``model`` and its ``members``, ``class_names`` in the order of
        ``classes``, ``input_size`` (height, width), ``crop_margins`` and ``keep_aspect`` (whether images have to be
        cropped to the scanned region and padded to the size before they are passed to the file), ``channels``, ``mean``
        and ``std`` of the normalization ``(pixel / 255 - mean) / std``, ``threshold`` of the mask, ``code_version`` of
        this package and ``checkpoint_sha256``.
    """
    metadata = checkpoint.metadata
    return {
        "format": 1,
        "model": metadata.network_names,
        "members": metadata.members,
        "class_names": metadata.class_names,
        "input_size": metadata.input_size,
        "crop_margins": metadata.crop_margins,
        "keep_aspect": metadata.keep_aspect,
        "channels": metadata.in_channels,
        "mean": metadata.mean,
        "std": metadata.std,
        "threshold": metadata.evaluation.threshold,
        "code_version": __version__,
        "checkpoint_sha256": checkpoint.sha256,
    }
