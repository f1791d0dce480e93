"""Pyramid pooling: the context of an image at several scales."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError


class PyramidPooling(nn.Module):
    """Averages over grids of several sizes, appended to the map: (B, C, H, W) -> (B, C + N * channels, H, W).

    For each of N grids: the average of each cell, a 1x1 convolution, batch normalization, SiLU (swish), and bilinear
    interpolation to the size of the map. Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017.

    Args:
        in_channels: C.
        channels: channels of each grid.
        grids: rows, and columns, of each grid.

    Raises:
        InputError: for a single image in training, whose grid of one cell cannot be normalized over the batch.

    Example:
        >>> pooling = PyramidPooling(8, 4)
        >>> pooling(torch.rand(2, 8, 6, 9)).shape
        torch.Size([2, 24, 6, 9])
    """

    def __init__(self, in_channels: int, channels: int, grids: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.project = nn.ModuleList(
            nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.SiLU(inplace=True))
            for _ in self.grids
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Append the averages: (B, C, H, W) -> (B, C + N * channels, H, W)."""
        if self.training and not is_traced(x) and x.shape[0] < 2:
            raise InputError(
                f"the batch size is {x.shape[0]}: expected at least 2 in training, since pyramid pooling normalizes "
                "one value per image over the batch (in a configuration: training.batch_size)"
            )
        maps = [x]
        for grid, project in zip(self.grids, self.project, strict=True):
            cells = project(functional.adaptive_avg_pool2d(x, grid))  # (B, channels, grid, grid)
            maps.append(functional.interpolate(cells, size=x.shape[2:], mode="bilinear", align_corners=False))
        return torch.cat(maps, dim=1)
