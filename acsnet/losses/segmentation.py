"""Segmentation losses of mask logits (B, 1, H, W) and masks (B, 1, H, W) in {0, 1}, computed in float32.

By default, losses average over the images of the batch. Half-precision logits are converted to float32 first, because
sums over a mask lose too much precision in bfloat16.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from acsnet._utils.extras import explain_missing
from acsnet.losses._checks import check_mask_logits, check_range


class DiceLoss(nn.Module):
    """Soft Dice loss of the foreground: 1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth), 0 to 1.

    Milletari et al. 2016 (V-Net), the same values as MONAI's. It is computed per image, then averaged over the batch.
    An empty prediction of an empty mask has a loss near 0.

    Args:
        smooth: number of pixels that is added to numerator and denominator, at least 1e-6. With the default, low
            probabilities on an image without a lesion do not cause the maximum loss, and the loss of a lesion changes
            by less than that of one pixel.
        squared: square the probabilities and the mask in the denominator, as in V-Net and in Aumente-Maestro et al.
            2025.
        joint: compute one Dice of the pixels of the whole batch instead of a mean over images.

    Raises:
        InputError: if `smooth` is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import DiceLoss
        >>> mask = torch.zeros(1, 1, 8, 8)
        >>> mask[:, :, 2:6, 2:6] = 1
        >>> DiceLoss()(torch.zeros(1, 1, 8, 8), mask)
        tensor(0.6531)
        >>> DiceLoss(squared=True)(torch.zeros(1, 1, 8, 8), mask)
        tensor(0.4848)
    """

    def __init__(self, smooth: float = 1.0, squared: bool = False, joint: bool = False) -> None:
        super().__init__()
        self.smooth = check_range("smooth", smooth, 1e-6)
        self.squared, self.joint = squared, joint

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, 1, H, W) and a mask (B, 1, H, W).

        Raises:
            InputError: if the shapes are not valid or differ.
        """
        check_mask_logits(logits, mask)
        return _soft_dice(logits.float(), mask.float(), self.smooth, self.squared, self.joint)


class DiceForegroundBackgroundLoss(nn.Module):
    """Soft Dice loss of foreground and background, 0 to 1 (Chung et al. 2024, arXiv 2401.07326).

    The background has the probability 1 - p and the mask 1 - y.

    Args:
        smooth: see :class:`DiceLoss`.
        joint: compute one Dice of both and of the whole batch, as the code of the publication does; otherwise, as its
            text says, the loss is the mean of the two, and of the images.

    Raises:
        InputError: if `smooth` is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import DiceForegroundBackgroundLoss
        >>> mask = torch.zeros(1, 1, 8, 8)
        >>> mask[:, :, 2:6, 2:6] = 1
        >>> DiceForegroundBackgroundLoss()(torch.zeros(1, 1, 8, 8), mask)
        tensor(0.5241)
        >>> DiceForegroundBackgroundLoss(joint=True)(torch.zeros(1, 1, 8, 8), mask)
        tensor(0.4961)
    """

    def __init__(self, smooth: float = 1.0, joint: bool = False) -> None:
        super().__init__()
        self.smooth = check_range("smooth", smooth, 1e-6)
        self.joint = joint

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, 1, H, W) and a mask (B, 1, H, W).

        Raises:
            InputError: if the shapes are not valid or differ.
        """
        check_mask_logits(logits, mask)
        logits, mask = logits.float(), mask.float()
        # sigmoid(-z) = 1 - sigmoid(z). The two are channels, or one below the other for one Dice of both.
        dim = 2 if self.joint else 1
        logits, mask = torch.cat([logits, -logits], dim=dim), torch.cat([mask, 1 - mask], dim=dim)
        return _soft_dice(logits, mask, self.smooth, squared=False, joint=self.joint)


def _soft_dice(logits: Tensor, mask: Tensor, smooth: float, squared: bool, joint: bool) -> Tensor:
    """Compute the mean of the soft Dice losses of the images and channels of (B, C, H, W), or of the channels.

    These lines replace MONAI's class, with the same values to the last bit unless squared: its import takes longer than
    everything else that a training does before its first step.
    """
    dims = (0, 2, 3) if joint else (2, 3)
    probability = logits.sigmoid()
    shared = (probability * mask).sum(dims)
    predicted, true = (values.square() if squared else values for values in (probability, mask))
    excess, missed = predicted.sum(dims) - shared, true.sum(dims) - shared
    return (1 - (2 * shared + smooth) / (2 * shared + excess + missed + smooth)).mean()


class BCELoss(nn.Module):
    """Binary cross entropy per pixel, averaged over pixels and images; at least 0.

    Args:
        positive_weight: factor of the loss of lesion pixels, at least 0.

    Raises:
        InputError: if `positive_weight` is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import BCELoss
        >>> BCELoss()(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
        tensor(0.6931)
    """

    positive_weight: Tensor

    def __init__(self, positive_weight: float = 1.0) -> None:
        super().__init__()
        weight = torch.tensor(check_range("positive_weight", positive_weight, 0))
        # Not persistent: the weight comes from the configuration and is not learned.
        self.register_buffer("positive_weight", weight, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, 1, H, W) and a mask (B, 1, H, W).

        Raises:
            InputError: if the shapes are not valid or differ.
        """
        check_mask_logits(logits, mask)
        return functional.binary_cross_entropy_with_logits(
            logits.float(), mask.float(), pos_weight=self.positive_weight
        )


class FocalLoss(nn.Module):
    """Focal loss per pixel, -alpha (1 - p_true)^gamma log(p_true), averaged over pixels and images; at least 0.

    Lin et al. 2017, implemented by MONAI.

    Args:
        gamma: focusing parameter of at least 0, which reduces the loss of easy pixels; 0 is the binary cross entropy.
        alpha: factor of the loss of lesion pixels, 0 to 1; other pixels have the factor 1 - alpha. None for factors of
            1.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import FocalLoss
        >>> FocalLoss(gamma=2.0)(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
        tensor(0.1733)
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        with explain_missing("the focal loss"):
            from monai.losses import FocalLoss as MonaiFocalLoss

        alpha = None if alpha is None else check_range("alpha", alpha, 0, 1)
        self.focal = MonaiFocalLoss(gamma=check_range("gamma", gamma, 0), alpha=alpha)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, 1, H, W) and a mask (B, 1, H, W).

        Raises:
            InputError: if the shapes are not valid or differ.
        """
        check_mask_logits(logits, mask)
        loss: Tensor = self.focal(logits.float(), mask.float())
        return loss
