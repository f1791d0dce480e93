"""Compilation of a network for its training steps."""

from typing import Any

import torch
from torch import nn

from acsnet.models._base import MultiTaskOutput


def compile_for_training(network: nn.Module, device: torch.device) -> None:
    """Replace the forward pass of a network in training mode, where all batches have the same size, by a compiled one.

    In evaluation mode the network runs uncompiled, because the smaller last batch would be compiled again. The names of
    its weights do not change.
    """
    plain: Any = network.forward_tasks
    compiled = torch.compile(plain, dynamic=False, mode=compile_mode(device))

    def forward_tasks(images: torch.Tensor) -> MultiTaskOutput:
        return compiled(images) if network.training else plain(images)

    attributes: dict[str, Any] = network.__dict__  # the method is replaced for this network only
    attributes["forward_tasks"] = forward_tasks


def compile_mode(device: torch.device) -> str:
    """Return the mode of torch.compile: with CUDA graphs on a GPU, which avoid the time of launches from the host."""
    return "reduce-overhead" if device.type == "cuda" else "default"
