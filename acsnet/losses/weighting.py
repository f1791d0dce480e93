"""How a segmentation loss and a classification loss become one number."""

import torch
from torch import Tensor, nn

from acsnet.losses._checks import check_range


class FixedWeighting(nn.Module):
    """share * segmentation + (1 - share) * classification.

    Args:
        segmentation_weight: 0 to 1. Chung et al. 2024 found 0.7 best on BUSI.

    Raises:
        InputError: the share is out of range.
    """

    def __init__(self, segmentation_weight: float) -> None:
        super().__init__()
        self.segmentation_weight = check_range("segmentation_weight", segmentation_weight, 0, 1)

    def forward(self, segmentation: Tensor, classification: Tensor) -> Tensor:
        """Balance two scalars into one."""
        return self.segmentation_weight * segmentation + (1 - self.segmentation_weight) * classification


class UncertaintyWeighting(nn.Module):
    """Learned weighting: the sum over both tasks of loss / (2 s^2) + log(1 + s^2).

    Kendall et al. 2018 with the always positive regularizer of Liebel and Koerner 2018, as in He et al. 2024
    (ACSNet). `scales` (2,) holds s for segmentation and classification, 1 at the start: give `parameters()` of the
    loss to the optimizer beside the network's.
    """

    # s^2 settles near sqrt(loss / 2) for small losses; the floor only keeps the quotient finite where a loss is 0 or a
    # step lands on s = 0.
    SMALLEST_SQUARE = 1e-6

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(2))

    def forward(self, segmentation: Tensor, classification: Tensor) -> Tensor:
        """Balance two scalars into one."""
        squares = self.scales.square()
        losses = torch.stack([segmentation, classification])
        return (losses / (2 * squares.clamp_min(self.SMALLEST_SQUARE)) + torch.log1p(squares)).sum()
