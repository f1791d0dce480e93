"""The gate unit of ACSNet (He et al. 2024)."""

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.layers.blocks import ConvNormAct, DeferredInputConvNormAct
from acsnet.layers.lean import Deferred


class GateUnit(nn.Module):
    r"""A gate that weights an encoder map by two scalars per image before the decoder uses it.

    ::

        x --> 3x3 conv C/8 -> GroupNorm -> ReLU -> 3x3 conv -> sigmoid --> map 1: global average = a
        |                                                             \-> map 2: global maximum = m
        \-----------------------------> x * a + x * m --> 3x3 conv C -> GroupNorm -> ReLU --> out

    (B, C, H, W) -> (B, C, H, W). Source: He, Yang, Su, Wang 2024, Computers in Biology and Medicine.

    Args:
        channels: C, a multiple of 16.

    Raises:
        InputError: if ``channels`` is not a multiple of 16.

    Example:
        >>> gate = GateUnit(16)
        >>> gate(torch.rand(2, 16, 8, 8)).shape
        torch.Size([2, 16, 8, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 16 or channels % 16:
            raise InputError(f"a gate unit takes a multiple of 16 channels, got {channels}")
        self.score = nn.Sequential(
            ConvNormAct(channels, channels // 8, groups=channels // 16),
            nn.Conv2d(channels // 8, 2, 3, padding=1),
            nn.Sigmoid(),
        )
        self.merge = DeferredInputConvNormAct(channels, channels, groups=channels // 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weight the map: (B, C, H, W) -> (B, C, H, W)."""
        scores = self.score(x)  # (B, 2, H, W)
        average = scores[:, :1].mean(dim=(2, 3), keepdim=True)  # (B, 1, 1, 1)
        maximum = scores[:, 1:].amax(dim=(2, 3), keepdim=True)  # (B, 1, 1, 1)
        # Equals x * average + x * maximum, with one pass over x instead of three.
        return self.merge(Deferred(torch.mul, (x, average + maximum)))
