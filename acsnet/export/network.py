"""What is exported: a network that gives probabilities by name, and what its users have to know."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from acsnet._utils.download import file_sha256
from acsnet.checkpoints.metadata import CheckpointMetadata
from acsnet.models import TASKS, load_model
from acsnet.ops import DeformConv2d
from acsnet.version import __version__

#: The output of each task.
OUTPUTS = dict(zip(TASKS, ("mask", "classes"), strict=True))


class ProbabilityNetwork(nn.Module):
    """Gives the probabilities of a network, or of an ensemble, by name; tasks that it lacks are left out.

    Args:
        network: maps images to a ``MultiTaskOutput``.

    Attributes:
        outputs: their names, in order.
        divisor: heights and widths have to be multiples of it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        first = next(iter(getattr(network, "members", [network])))
        self.outputs = tuple(OUTPUTS[task] for task in TASKS if task in getattr(first, "tasks", TASKS))
        self.divisor = int(getattr(network, "divisor", 1))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, C, H, W) normalized -> ``mask`` (B, 1, H, W) in 0..1 and ``classes`` (B, K), which sum to 1."""
        mask, label, _ = self.network(images)
        found = {}
        if mask is not None:
            found["mask"] = mask.float().sigmoid()
        if label is not None:
            found["classes"] = label.float().softmax(dim=1)
        return found


def load_network(checkpoint: Path) -> ProbabilityNetwork:
    """Rebuild a checkpoint's network in evaluation mode, float32, on the CPU; errors as of ``acsnet.load_model``."""
    return ProbabilityNetwork(load_model(checkpoint)).eval().requires_grad_(False)


def use_plain_operators(network: ProbabilityNetwork) -> ProbabilityNetwork:
    """Have every deformable convolution run on PyTorch's own operators, whatever its checkpoint names.

    Returns:
        The same network, changed.
    """
    for module in network.modules():
        if isinstance(module, DeformConv2d):
            module.backend = "torch"
    return network


def describe(checkpoint: Path, metadata: CheckpointMetadata) -> dict[str, Any]:
    """What an exported file says of itself, as JSON values.

    Returns:
        ``format`` of this description, ``model`` and its ``members``, ``class_names`` in the order of ``classes``,
        ``input_size`` (height, width), ``channels``, ``mean`` and ``std`` of the normalization ``(pixel / 255 - mean) /
        std``, ``threshold`` of the mask, ``code_version`` of this package and ``checkpoint_sha256``.
    """
    return {
        "format": 1,
        "model": metadata.model,
        "members": metadata.members,
        "class_names": metadata.class_names,
        "input_size": metadata.input_size,
        "channels": int(metadata.arguments.get("in_channels", 3)),
        "mean": metadata.mean,
        "std": metadata.std,
        "threshold": metadata.evaluation.threshold,
        "code_version": __version__,
        "checkpoint_sha256": file_sha256(checkpoint),
    }
