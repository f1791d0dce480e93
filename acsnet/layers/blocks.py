"""Convolution blocks that several networks share."""

import torch
from torch import nn
from torch.nn import functional


class ConvNormAct(nn.Sequential):
    """A convolution that keeps the size, GroupNorm, ReLU.

    Args:
        in_channels, out_channels: channels before and after.
        groups: groups of the normalisation.
        kernel_size: odd edge length of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int, kernel_size: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.GroupNorm(groups, out_channels),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Twice :class:`ConvNormAct` with a 3x3 kernel: C -> C, the size kept."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(ConvNormAct(channels, channels, groups), ConvNormAct(channels, channels, groups))


def upsample_twice(x: torch.Tensor) -> torch.Tensor:
    """Double the size, bilinear with aligned corners: (B, C, H, W) -> (B, C, 2H, 2W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
