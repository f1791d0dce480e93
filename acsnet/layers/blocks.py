"""Convolution blocks that several networks share."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from acsnet.layers.lean import DeferredInputConv2d


class ConvNormAct(nn.Sequential):
    """A convolution that keeps the size, GroupNorm, ReLU.

    Args:
        in_channels, out_channels: channels before and after.
        groups: groups of the normalization.
        kernel_size: odd edge length of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int, kernel_size: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.GroupNorm(groups, out_channels),
            nn.ReLU(inplace=True),
        )


class DeferredInputConvNormAct(nn.Sequential):
    """:class:`ConvNormAct` with a 3x3 kernel on a :class:`~acsnet.layers.Deferred` map, which is not kept on a CPU."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__(
            DeferredInputConv2d(in_channels, out_channels, 3, padding=1),
            nn.GroupNorm(groups, out_channels),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Twice :class:`ConvNormAct` with a 3x3 kernel: C -> C, the size kept."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(ConvNormAct(channels, channels, groups), ConvNormAct(channels, channels, groups))


class DoubleConvBatchNorm(nn.Sequential):
    """Twice a 3x3 convolution that keeps the size, batch normalization, ReLU: C_in -> C_out -> C_out.

    The block of the plain U-Net (Ronneberger et al. 2015), padded and with the normalization that has become usual.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            # No bias: the normalization would take it out again.
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
        super().__init__(*layers)


Block = Callable[[int, int], nn.Module]


class PooledEncoder(nn.Module):
    """One block a level, 2x2 max pooling between them.

    Args:
        in_channels: channels of the input.
        widths: channels of each level, finest first.
        block: called with the channels before and after it; keeps the size.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], block: Block = DoubleConvBatchNorm) -> None:
        super().__init__()
        before = (in_channels, *widths)
        self.levels = nn.ModuleList(block(before[i], width) for i, width in enumerate(widths))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> a map (B, widths[i], H/2^i, W/2^i) a level, finest first."""
        maps: list[torch.Tensor] = []
        for level in self.levels:
            maps.append(level(functional.max_pool2d(maps[-1], 2) if maps else images))
        return maps


class UpsampleMerge(nn.Module):
    """A transposed 2x2 convolution doubles the size, then a block merges the result with the skips.

    (B, C_in, H, W) and skips (B, C, 2H, 2W) -> (B, C, 2H, 2W).

    Args:
        in_channels: C_in, of the coarser map.
        channels: C, of each skip and of the result.
        skips: how many there are.
        block: called with the channels before and after it; keeps the size.
    """

    def __init__(self, in_channels: int, channels: int, skips: int = 1, block: Block = DoubleConvBatchNorm) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.merge = block((skips + 1) * channels, channels)

    def forward(self, x: torch.Tensor, *skips: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W), each (B, C, 2H, 2W) -> (B, C, 2H, 2W)."""
        return self.merge(torch.cat((*skips, self.upsample(x)), dim=1))
