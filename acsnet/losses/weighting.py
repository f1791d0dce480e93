"""Weightings, which combine a segmentation loss and a classification loss."""

import torch
from torch import Tensor, nn

from acsnet.losses._checks import check_range


class FixedWeighting(nn.Module):
    """Fixed weighting: w * segmentation + (1 - w) * classification.

    Args:
        segmentation_weight: w, 0 to 1. Chung et al. 2024 found 0.7 to be best on BUSI.

    Raises:
        InputError: if the weight is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import FixedWeighting
        >>> FixedWeighting(0.75)(torch.tensor(1.0), torch.tensor(2.0))
        tensor(1.2500)
    """

    def __init__(self, segmentation_weight: float) -> None:
        super().__init__()
        self.segmentation_weight = check_range("segmentation_weight", segmentation_weight, 0, 1)

    def forward(self, segmentation: Tensor, classification: Tensor) -> Tensor:
        """Combine the losses of both tasks, scalars, into one."""
        return self.segmentation_weight * segmentation + (1 - self.segmentation_weight) * classification


class UncertaintyWeighting(nn.Module):
    """Learned weighting: the sum over both tasks of loss / (2 s^2) + log(1 + s^2).

    Kendall et al. 2018 with the regularizer of Liebel and Koerner 2018, which is never negative, as in He et al. 2024
    (ACSNet). The optimizer must also receive the parameters of this module.

    Attributes:
        scales: s for segmentation and classification (2,), initially 1.

    Example:
        >>> import torch
        >>> from acsnet.losses import UncertaintyWeighting
        >>> weighting = UncertaintyWeighting()
        >>> round(weighting(torch.tensor(1.0), torch.tensor(2.0)).item(), 4)
        2.8863
        >>> [name for name, _ in weighting.named_parameters()]
        ['scales']
    """

    # For small losses s^2 converges to about sqrt(loss / 2). The minimum prevents a division by 0 if a loss is 0 or a
    # step reaches s = 0.
    SMALLEST_SQUARE = 1e-6

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.ones(2))

    def forward(self, segmentation: Tensor, classification: Tensor) -> Tensor:
        """Combine the losses of both tasks, scalars, into one."""
        squares = self.scales.square()
        losses = torch.stack([segmentation, classification])
        return (losses / (2 * squares.clamp_min(self.SMALLEST_SQUARE)) + torch.log1p(squares)).sum()
