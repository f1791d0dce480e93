"""A network made ready to be run and no longer trained."""

import torch
from torch import nn


def prepare_for_inference(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Set a network to evaluation, channels last and, for a 16-bit type, its convolutions' and linear weights to it.

    With a 16-bit type the network is to be run under ``torch.autocast`` of that type. Autocast would convert the
    weights anew for each batch; the weights and averages of normalisations, which it computes in float32, stay as they
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
