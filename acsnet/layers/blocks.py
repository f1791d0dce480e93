"""Convolution blocks that several networks share."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from acsnet.layers.lean import DeferredInputConv2d


class ConvNormAct(nn.Sequential):
    """A convolution that preserves the size, followed by GroupNorm and ReLU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        groups: groups of the normalization.
        kernel_size: height and width of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int, kernel_size: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            nn.GroupNorm(groups, out_channels),
            nn.ReLU(inplace=True),
        )


class DeferredInputConvNormAct(nn.Sequential):
    """:class:`ConvNormAct` with a 3x3 kernel whose input is a :class:`~acsnet.layers.Deferred` map.

    On a CPU autograd does not store the input; see :class:`~acsnet.layers.Deferred`.

    Args:
        in_channels: channels of the deferred map.
        out_channels: channels of the output.
        groups: groups of the normalization.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__(
            DeferredInputConv2d(in_channels, out_channels, 3, padding=1),
            nn.GroupNorm(groups, out_channels),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Two :class:`ConvNormAct` blocks with a 3x3 kernel; channels and size stay the same.

    Args:
        channels: channels of the input and of the output.
        groups: groups of the normalizations.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(ConvNormAct(channels, channels, groups), ConvNormAct(channels, channels, groups))


class ConvBatchNormAct(nn.Sequential):
    """A 3x3 convolution with bias that preserves the size, followed by batch normalization and ReLU.

    The block of the U-Nets of the multi-task study on curated BUSI.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ConvBlocks(nn.Sequential):
    """A stage of one or several :class:`ConvBatchNormAct`, the first of which changes the number of channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        count: number of blocks, at least 1.
    """

    def __init__(self, in_channels: int, out_channels: int, count: int = 2) -> None:
        inputs = [in_channels] + [out_channels] * (count - 1)
        super().__init__(*(ConvBatchNormAct(channels, out_channels) for channels in inputs))


Block = Callable[[int, int], nn.Module]


class PooledEncoder(nn.Module):
    """An encoder with one block per level and 2x2 max pooling between levels.

    Args:
        in_channels: channels of the input.
        widths: channels of each level, finest first.
        block: function of the input and output channels that returns a module; the module must preserve the size. A
            sequence has one function per level.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], block: Block | Sequence[Block] = ConvBlocks) -> None:
        super().__init__()
        blocks = [block] * len(widths) if callable(block) else block
        level_inputs = (in_channels, *widths[:-1])
        self.levels = nn.ModuleList(
            build(before, width) for build, before, width in zip(blocks, level_inputs, widths, strict=True)
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Encode (B, in_channels, H, W) into one map (B, widths[i], H/2^i, W/2^i) per level, finest first."""
        maps: list[torch.Tensor] = []
        for level in self.levels:
            maps.append(level(functional.max_pool2d(maps[-1], 2) if maps else images))
        return maps


class NearestUpsampleMerge(nn.Module):
    """A decoder step: repeat each pixel in a square of 2x2, concatenate with the skip connections, apply blocks.

    (B, C_in, H, W) and skips (B, C, 2H, 2W) -> (B, C, 2H, 2W).

    Args:
        in_channels: C_in, channels of the coarser map.
        channels: C, channels of each skip connection and of the result.
        skips: number of skip connections.
        count: number of :class:`ConvBatchNormAct` blocks.
    """

    def __init__(self, in_channels: int, channels: int, skips: int = 1, count: int = 2) -> None:
        super().__init__()
        self.merge = ConvBlocks(skips * channels + in_channels, channels, count)

    def forward(self, x: torch.Tensor, *skips: torch.Tensor) -> torch.Tensor:
        """Merge (B, C_in, H, W) with skips of (B, C, 2H, 2W) each -> (B, C, 2H, 2W)."""
        upsampled = functional.interpolate(x, scale_factor=2, mode="nearest")
        return self.merge(torch.cat((*skips, upsampled), dim=1))
