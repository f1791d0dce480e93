"""A network made ready to be run and no longer trained, and images made ready for it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acsnet.checkpoints.metadata import CheckpointMetadata
from acsnet.data.images import resize_image, to_channels, to_network_input


def prepare_for_inference(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Set a network to evaluation, channels last and, for a 16-bit type, its convolutions' and linear weights to it.

    With a 16-bit type the network is to be run under ``torch.autocast`` of that type. Autocast would convert the
    weights anew for each batch; the weights and averages of normalizations, which it computes in float32, stay as they
    are.

    Returns:
        The same network, changed.
    """
    model = model.eval().to(memory_format=torch.channels_last)
    if dtype.itemsize < 4:
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data = parameter.data.to(dtype)
    return model


def matching_autocast(model: nn.Module) -> AbstractContextManager[object]:
    """Give the context that a network of :func:`prepare_for_inference` runs in: autocast of its weights' 16-bit type.

    For a network without 16-bit weights it changes nothing.
    """
    for parameter in model.parameters():
        if parameter.dtype in (torch.bfloat16, torch.float16):
            return torch.autocast(parameter.device.type, dtype=parameter.dtype)
    return nullcontext()


def prepare_images(
    images: Sequence[npt.NDArray[np.uint8]],
    metadata: CheckpointMetadata,
    device: torch.device | str,
    size: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Bring images to what a network was trained on: its size, its channels, its normalization.

    Args:
        images: RGB, each (H, W, 3) uint8 of any size.
        card: of the network.
        device: where the result is to be.
        size: (height, width) other than the card's.

    Returns:
        (B, C, H, W) float32 at that size, channels last in memory.
    """
    channels = int(metadata.arguments.get("in_channels", 3))
    resized = [to_channels(resize_image(image, size or metadata.input_size), channels) for image in images]
    return to_network_input(torch.from_numpy(np.stack(resized)).to(device), metadata.mean, metadata.std)
