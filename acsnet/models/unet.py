"""The plain U-Net with a classifier, and the same network with gate units on its skips.

Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
Gate unit: He, Yang, Su, Wang, Computers in Biology and Medicine, 2024; see :class:`acsnet.layers.GateUnit`.

Departures from the publication of 2015, which has no classifier: padded convolutions, so that the mask has the input's
size and nothing is cropped; batch normalization after each 3x3 convolution, and no dropout; one mask logit instead of
two class maps; a classifier on the bottleneck (global average, a linear layer to half the channels, ReLU, a linear
layer to the classes); any width and depth.
"""

from collections.abc import Sequence

import torch
from torch import nn

from acsnet.layers import DoubleConvBatchNorm, GateUnit, PooledEncoder, PooledLinearHead, UpsampleMerge
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._checks import check_depth, check_no_pretrained, check_width
from acsnet.models._registry import TASKS, register_model


@register_model(
    "unet",
    publication="Ronneberger et al. 2015, MICCAI",
    adds="the plain U-Net, and a classifier on its bottleneck",
)
class UNet(MultiTaskModel):
    """The network; see the module.

    Args:
        num_classes: K.
        in_channels: channels of the input.
        encoder_weights: None; the network has no pre-trained weights.
        tasks: which tasks are built.
        width: channels at full size, doubled by each pooling.
        depth: number of poolings, 1 to 5.

    Attributes:
        divisor: 2^depth.

    Raises:
        InputError: for a width or depth out of range, or pre-trained weights.
    """

    # The width has to be a multiple of it.
    width_step = 1

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        encoder_weights: str | None = None,
        tasks: Sequence[str] = TASKS,
        width: int = 64,
        depth: int = 4,
    ) -> None:
        super().__init__(num_classes, in_channels, tasks)
        check_no_pretrained(encoder_weights)
        check_width(width, self.width_step)
        check_depth(depth)
        self.divisor = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = PooledEncoder(in_channels, widths[:-1])
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), DoubleConvBatchNorm(widths[-2], widths[-1]))
        if "segmentation" in self.tasks:
            self.skips = nn.ModuleList(self.build_skip(channels) for channels in widths[:-1])
            self.decoder = nn.ModuleList(UpsampleMerge(widths[i + 1], widths[i]) for i in range(depth))
            self.seg_head = nn.Conv2d(width, 1, 1)
        if "classification" in self.tasks:
            self.cls_head = PooledLinearHead(widths[-1], num_classes, hidden=widths[-1] // 2)

    def build_skip(self, channels: int) -> nn.Module:
        """Give what an encoder map of so many channels passes through on its way to the decoder."""
        return nn.Identity()

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K)."""
        maps = self.encoder(images)  # (B, width*2^i, H/2^i, W/2^i)
        x = self.bottleneck(maps[-1])  # (B, width*2^depth, H/2^depth, W/2^depth)
        label = self.cls_head(x) if "classification" in self.tasks else None
        if "segmentation" not in self.tasks:
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
    """U-Net with a gate unit on each skip; arguments and errors as :class:`UNet`, but the width a multiple of 16."""

    width_step = 16

    def build_skip(self, channels: int) -> nn.Module:
        """Give a gate unit."""
        return GateUnit(channels)
