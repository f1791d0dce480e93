"""Segmentation losses on mask logits (B, 1, H, W) and masks (B, 1, H, W) in {0, 1}, all computed in float32.

Every loss averages over the images of the batch; half-precision logits are brought to float32 first, because sums
over a mask lose too much in bfloat16.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from acsnet.losses._checks import check_mask_logits, check_range


class DiceLoss(nn.Module):
    """Soft Dice loss of the foreground: 1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth), 0 to 1.

    Milletari et al. 2016 (V-Net) with the sums themselves in the denominator, by MONAI; an image at a time, then the
    mean over the batch. An empty mask predicted empty has a loss near 0.

    Args:
        smooth: added above and below, in pixels. At 1, the default, the faint probabilities that are left on an image
            without lesion do not count as a total miss, and a lesion's loss changes by less than one pixel's worth.

    Raises:
        InputError: `smooth` is below 1e-6, and in `forward` where the shapes differ.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        # Importing MONAI takes seconds: only who builds the loss pays for it.
        from monai.losses import DiceLoss as MonaiDiceLoss

        smooth = check_range("smooth", smooth, 1e-6)
        self.dice = MonaiDiceLoss(sigmoid=True, smooth_nr=smooth, smooth_dr=smooth, batch=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare logits (B, 1, H, W) with a mask (B, 1, H, W); gives a scalar."""
        check_mask_logits(logits, mask)
        loss: Tensor = self.dice(logits.float(), mask.float())
        return loss


class DiceForegroundBackgroundLoss(nn.Module):
    """Mean of the soft Dice losses of foreground and background, 0 to 1 (Chung et al. 2024, arXiv 2401.07326).

    The background's probability is 1 - p and its mask 1 - y; otherwise as :class:`DiceLoss`.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.dice = DiceLoss(smooth).dice

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare logits (B, 1, H, W) with a mask (B, 1, H, W); gives a scalar."""
        check_mask_logits(logits, mask)
        logits, mask = logits.float(), mask.float()
        # sigmoid(-z) = 1 - sigmoid(z): MONAI averages over the two channels.
        loss: Tensor = self.dice(torch.cat([logits, -logits], dim=1), torch.cat([mask, 1 - mask], dim=1))
        return loss


class BCELoss(nn.Module):
    """Binary cross entropy of each pixel, averaged over pixels and images; at least 0.

    Args:
        positive_weight: factor on the lesion's pixels; 1 leaves both alike.

    Raises:
        InputError: `positive_weight` is negative, and in `forward` where the shapes differ.
    """

    positive_weight: Tensor

    def __init__(self, positive_weight: float = 1.0) -> None:
        super().__init__()
        weight = torch.tensor(check_range("positive_weight", positive_weight, 0))
        # Not persistent: the weight belongs to the configuration, not to what was learned.
        self.register_buffer("positive_weight", weight, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare logits (B, 1, H, W) with a mask (B, 1, H, W); gives a scalar."""
        check_mask_logits(logits, mask)
        return functional.binary_cross_entropy_with_logits(
            logits.float(), mask.float(), pos_weight=self.positive_weight
        )


class FocalLoss(nn.Module):
    """Focal loss of each pixel, -alpha (1 - p_true)^gamma log(p_true), averaged over pixels and images; at least 0.

    Lin et al. 2017, by MONAI.

    Args:
        gamma: how far easy pixels are turned down; 0 gives the binary cross entropy.
        alpha: factor, 0 to 1, on the lesion's pixels, 1 - alpha on the others; None leaves both at 1.

    Raises:
        InputError: an argument is out of range, and in `forward` where the shapes differ.
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        from monai.losses import FocalLoss as MonaiFocalLoss

        alpha = None if alpha is None else check_range("alpha", alpha, 0, 1)
        self.focal = MonaiFocalLoss(gamma=check_range("gamma", gamma, 0), alpha=alpha)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compare logits (B, 1, H, W) with a mask (B, 1, H, W); gives a scalar."""
        check_mask_logits(logits, mask)
        loss: Tensor = self.focal(logits.float(), mask.float())
        return loss
