"""Gates on skip connections: the gate unit of ACSNet (He et al. 2024), and that of the study on curated BUSI."""

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.layers.blocks import ConvBatchNormAct, ConvNormAct, DeferredInputConvNormAct
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


class SkipGate(nn.Module):
    r"""The gate of the gated U-Net: two scalars per image weight a map, or two scalars per channel.

    ::

        x --> 3x3 conv 1 -> sigmoid -> global average = a
        |\--> 3x3 conv 1 -> sigmoid -> global maximum = m
        \---> x * a + x * m --> 3x3 conv C --> out

    (B, C, H, W) -> (B, C, H, W). Source: the diagram of the multi-task study on curated BUSI (EEE402_Project), with the
    idea of :class:`GateUnit`. The code of the study has one pair of gates per channel instead: both first convolutions
    keep the C channels and have batch normalization before the sigmoid, and batch normalization and ReLU
    follow the last convolution. All convolutions have a bias.

    Args:
        channels: C.
        per_channel: whether to build the form of the code.

    Example:
        >>> import torch
        >>> from acsnet.layers import SkipGate
        >>> gate = SkipGate(6)
        >>> gate(torch.rand(2, 6, 8, 8)).shape
        torch.Size([2, 6, 8, 8])
    """

    def __init__(self, channels: int, per_channel: bool = False) -> None:
        super().__init__()
        self.average = self._score(channels, per_channel)
        self.maximum = self._score(channels, per_channel)
        self.merge = (
            ConvBatchNormAct(channels, channels) if per_channel else nn.Conv2d(channels, channels, 3, padding=1)
        )

    @staticmethod
    def _score(channels: int, per_channel: bool) -> nn.Sequential:
        gates = channels if per_channel else 1
        norm = [nn.BatchNorm2d(gates)] if per_channel else []
        return nn.Sequential(nn.Conv2d(channels, gates, 3, padding=1), *norm, nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weight the map: (B, C, H, W) -> (B, C, H, W)."""
        average = self.average(x).mean(dim=(2, 3), keepdim=True)  # (B, 1 or C, 1, 1)
        maximum = self.maximum(x).amax(dim=(2, 3), keepdim=True)  # (B, 1 or C, 1, 1)
        # Equals x * average + x * maximum, with one pass over x instead of three.
        return self.merge(x * (average + maximum))
