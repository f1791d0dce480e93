"""Compilation of a network for its training steps."""

from typing import Any

import torch
from torch import nn
from torch.torch_version import TorchVersion

from acsnet.errors import ConfigError
from acsnet.models._base import MultiTaskOutput

#: Older versions fail in some of the networks.
_OLDEST_TORCH = "2.5"


def can_compile() -> bool:
    """Return whether the installed PyTorch compiles the training steps of every network."""
    return TorchVersion(torch.__version__) >= _OLDEST_TORCH


def check_compile(is_asked: bool) -> None:
    """Check that training steps can be compiled, before what takes long.

    Args:
        is_asked: the value of ``training.compile``.

    Raises:
        ConfigError: if they cannot, and ``training.compile`` is true.

    Example:
        >>> from acsnet.training.compilation import check_compile
        >>> check_compile(False)
    """
    if is_asked and not can_compile():
        raise ConfigError(
            f"training.compile needs PyTorch {_OLDEST_TORCH} or newer, {torch.__version__} is installed: "
            "pip install -U torch, or leave it out"
        )


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
