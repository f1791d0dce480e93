"""U-Net with a classifier, and the same network with gate units on its skips.

Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
Gate unit: He, Yang, Su, Wang, Computers in Biology and Medicine, 2024; see :class:`acsnet.layers.GateUnit`.

::

    level 0   E0 -------------------- D0    mask          E: encoder, a pooling between two levels
    level 1      E1 -------------- D1                     D: decoder, upsampled level below and skip
    level 2         E2 -------- D2                        -: identity (unet) or gate unit (gated_unet)
    level 3            E3 -- D3
    level 4               B                 classifier    B: bottleneck, at level ``depth``

Differences from the publication of 2015, which has no classifier: padded convolutions, so that the mask has the size of
the input and nothing is cropped; batch normalization after each 3x3 convolution; no dropout; one mask logit instead of
two class maps; a classifier on the bottleneck (global average, a linear layer to half the channels, ReLU, a linear
layer to the classes); any width and depth.
"""

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet.layers import DoubleConvBatchNorm, GateUnit, PooledEncoder, PooledLinearHead, UpsampleMerge
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract, check_count
from acsnet.models._registry import register_model


@register_model(
    "unet",
    publication="Ronneberger et al. 2015, MICCAI",
    adds="the plain U-Net, and a classifier on its bottleneck",
)
class UNet(MultiTaskModel):
    """U-Net with a classifier; see the module.

    Args:
        width: channels at full size; each pooling doubles them.
        depth: number of poolings, 1 to 5.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Attributes:
        divisor: 2^depth.

    Raises:
        InputError: if the width or the depth is out of range.

    Example:
        >>> import torch
        >>> from acsnet.models import UNet
        >>> model = UNet(width=8, depth=3, in_channels=1).eval()
        >>> output = model(torch.zeros(1, 1, 40, 48))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 40, 48]), torch.Size([1, 3]))
    """

    # The width must be a multiple of this number.
    width_step = 1

    def __init__(self, width: int = 64, depth: int = 4, **contract: Unpack[Contract]) -> None:
        super().__init__(**contract)
        check_count("width", width, multiple_of=self.width_step)
        check_count("depth", depth, most=5)
        self.divisor = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = PooledEncoder(self.in_channels, widths[:-1])
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), DoubleConvBatchNorm(widths[-2], widths[-1]))
        if self.has_mask:
            self.skips = nn.ModuleList(self.build_skip(channels) for channels in widths[:-1])
            self.decoder = nn.ModuleList(UpsampleMerge(widths[i + 1], widths[i]) for i in range(depth))
            self.seg_head = nn.Conv2d(width, 1, 1)
        if self.has_label:
            self.cls_head = PooledLinearHead(widths[-1], self.num_classes, hidden=widths[-1] // 2)

    def build_skip(self, channels: int) -> nn.Module:
        """Return the module between an encoder map with this number of channels and the decoder."""
        return nn.Identity()

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        maps = self.encoder(images)  # (B, width*2^i, H/2^i, W/2^i)
        x = self.bottleneck(maps[-1])  # (B, width*2^depth, H/2^depth, W/2^depth)
        label = self.cls_head(x) if self.has_label else None  # (B, K)
        if not self.has_mask:
            return MultiTaskOutput(None, label)
        for i in reversed(range(len(maps))):
            x = self.decoder[i](x, self.skips[i](maps[i]))  # (B, width*2^i, H/2^i, W/2^i)
        return MultiTaskOutput(self.seg_head(x), label)


@register_model(
    "gated_unet",
    publication="Ronneberger et al. 2015, MICCAI; gate unit of He et al. 2024",
    adds="a gate unit in place of each plain skip connection",
)
class GatedUNet(UNet):
    """U-Net with a gate unit on each skip.

    Arguments and errors are those of :class:`UNet`; the gate units need a width that is a multiple of 16.

    Example:
        >>> import torch
        >>> from acsnet.models import GatedUNet
        >>> GatedUNet(width=16, depth=2).eval()(torch.zeros(1, 3, 32, 32)).mask.shape
        torch.Size([1, 1, 32, 32])
    """

    width_step = 16

    def build_skip(self, channels: int) -> nn.Module:
        """Return a gate unit."""
        return GateUnit(channels)
