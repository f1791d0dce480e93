"""Compilation of a network for its training steps."""

from typing import Any

import torch
from torch import nn

from acsnet.models._base import MultiTaskOutput


def compile_for_training(network: nn.Module, device: torch.device) -> None:
    """Compile the forward pass of a network in training mode, where all batches have the same size.

    In evaluation mode the network runs uncompiled, because a smaller last batch would be compiled again. The names of
    the weights do not change.

    Args:
        network: the network, which is changed in place.
        device: device of the training.
    """
    plain: Any = network.forward_tasks
    compiled = torch.compile(plain, dynamic=False, mode=compile_mode(device))

    def forward_tasks(images: torch.Tensor) -> MultiTaskOutput:
        return compiled(images) if network.training else plain(images)

    attributes: dict[str, Any] = network.__dict__  # replaces the method for this network only
    attributes["forward_tasks"] = forward_tasks


def compile_mode(device: torch.device) -> str:
    """Return the mode of torch.compile; on a GPU it uses CUDA graphs, which save the launch time on the host."""
    return "reduce-overhead" if device.type == "cuda" else "default"
