"""Compiling a network for its training steps."""

from typing import Any

import torch
from torch import nn

from acsnet.models._base import MultiTaskOutput


def compile_for_training(network: nn.Module, device: torch.device) -> None:
    """Have a network compiled while it is in training mode, whose batches all have one size; changes the network.

    In evaluation mode, where the last batch is smaller and would be compiled anew, it runs as it is. The names of its
    weights stay.
    """
    plain: Any = network.forward_tasks
    compiled = torch.compile(plain, dynamic=False, mode=compile_mode(device))

    def forward_tasks(images: torch.Tensor) -> MultiTaskOutput:
        return compiled(images) if network.training else plain(images)

    attributes: dict[str, Any] = network.__dict__  # a method is replaced for this network alone
    attributes["forward_tasks"] = forward_tasks


def compile_mode(device: torch.device) -> str:
    """Mode of torch.compile: with CUDA graphs on a GPU, so that launches from the host do not take the time."""
    return "reduce-overhead" if device.type == "cuda" else "default"
