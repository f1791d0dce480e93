"""An nnU-Net-style plain U-Net with a classifier on its deep features.

Aumente-Maestro, Diez, Remeseiro: "A multi-task framework for breast cancer segmentation and classification in
ultrasound imaging", Computer Methods and Programs in Biomedicine 260, 108540, 2025; after Isensee et al., nnU-Net,
Nature Methods, 2021.

::

    level 0   E0 ---------------------- D0    mask               E: encoder, a pooling between two levels
    level 1      E1 ---------------- D1       mask for training  D: decoder, upsampled level below and skip
    level 2         E2 ---------- D2          mask for training  B: bottleneck below a fifth pooling
    level 3            E3 ---- D3             mask for training
    level 4               E4 D4               inputs of the classifier: E4, B, D4
    level 5                B

Choices of this implementation: the five levels are those of the encoder, and the bottleneck is a sixth stage below a
fifth pooling, as wide as the fifth level (4x4 at the published 128x128, the smallest map of nnU-Net). The decoder then
has five levels, too: the upper four have a mask, and the deepest is an input of the classifier, together with the
deepest encoder level (both at stride 16) and the bottleneck (stride 32), which is upsampled bilinearly to their size.
The conv blocks of the classifier are one 3x3 convolution each. Masks are 1x1 convolutions.
"""

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet.errors import InputError
from acsnet.layers import InstanceNorm2d, PooledEncoder, PooledLinearHead, UpsampleMerge, upsample_twice
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract, check_count
from acsnet.models._registry import register_model

# Channels of the five levels and the bottleneck in units of ``width``: 32 gives 32, 64, 128, 256, 320, 320.
WIDTH_FACTORS = (1, 2, 4, 8, 10, 10)


class ConvInstanceNorm(nn.Sequential):
    """A 3x3 convolution without bias that preserves the size, InstanceNorm with scale and shift, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            InstanceNorm2d(out_channels),
            nn.LeakyReLU(0.01, inplace=True),
        )


class DoubleConvInstanceNorm(nn.Sequential):
    """Two :class:`ConvInstanceNorm`: C_in -> C_out -> C_out at the same size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(ConvInstanceNorm(in_channels, out_channels), ConvInstanceNorm(out_channels, out_channels))


class DeepFeaturesHead(nn.Module):
    """The classifier: one conv block per deep map, concatenation, a conv block, pooling, two linear layers.

    Args:
        channels: C, the channels of each of the three maps.
        merged: channels of the last conv block.
        hidden: channels of the hidden linear layer.
        num_classes: K, the number of classes.
    """

    def __init__(self, channels: int, merged: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = (ConvInstanceNorm(channels, channels) for _ in range(3))
        self.merge = ConvInstanceNorm(3 * channels, merged)
        self.classify = PooledLinearHead(merged, num_classes, hidden=hidden)

    def forward(self, encoder: torch.Tensor, bottleneck: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
        """Map maps (B, C, H, W), (B, C, H/2, W/2) and (B, C, H, W) to class logits (B, K)."""
        maps = (self.encoder(encoder), self.bottleneck(upsample_twice(bottleneck)), self.decoder(decoder))
        return self.classify(self.merge(torch.cat(maps, dim=1)))


@register_model(
    "nnunet",
    publication="Aumente-Maestro et al. 2025, Computer Methods and Programs in Biomedicine",
    adds="five plain levels with instance normalization, deep supervision, a classifier on three deep maps",
    input_size=(128, 128),
)
class NNUNet(MultiTaskModel):
    """An nnU-Net-style network; see the module.

    Args:
        width: channels at full size; all other widths, also those of the classifier, are in proportion.
        deep_supervision: whether levels 1, 2 and 3 have masks, too. In training they are the field ``aux`` of the
            output, finest first.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if the width is below 1.

    Example:
        >>> import torch
        >>> from acsnet.models import NNUNet
        >>> output = NNUNet(width=4)(torch.zeros(1, 3, 64, 96))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 64, 96]), torch.Size([1, 3]))
        >>> [tuple(mask.shape[2:]) for mask in output.aux]
        [(32, 48), (16, 24), (8, 12)]
    """

    def __init__(self, width: int = 32, deep_supervision: bool = True, **contract: Unpack[Contract]) -> None:
        super().__init__(**contract)
        check_count("width", width)
        widths = [width * factor for factor in WIDTH_FACTORS]
        self.encoder = PooledEncoder(self.in_channels, widths[:-1], DoubleConvInstanceNorm)
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), DoubleConvInstanceNorm(widths[4], widths[5]))
        # Classification alone ends at the deepest decoder level.
        self.decoder = nn.ModuleDict(
            {
                str(i): UpsampleMerge(widths[i + 1], widths[i], block=DoubleConvInstanceNorm)
                for i in (range(5) if self.has_mask else (4,))
            }
        )
        if self.has_mask:
            self.seg_head = nn.Conv2d(width, 1, 1)
            self.aux_heads = nn.ModuleList(nn.Conv2d(widths[i], 1, 1) for i in (1, 2, 3) if deep_supervision)
        if self.has_label:
            self.cls_head = DeepFeaturesHead(widths[4], 16 * width, 8 * width, self.num_classes)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images to mask logits (B, 1, H, W), class logits (B, K) and ``aux`` at H/2, H/4 and H/8.

        Raises:
            InputError: if the bottleneck is a single pixel, which instance normalization would set to zero.
        """
        if not torch.compiler.is_compiling() and tuple(images.shape[2:]) == (self.divisor, self.divisor):
            raise InputError("images are 32x32 (height x width): the deepest map of nnunet is one pixel, use 64x64")
        maps = self.encoder(images)  # (B, widths[i], H/2^i, W/2^i)
        x = self.bottleneck(maps[4])  # (B, 10*width, H/32, W/32)
        d4 = self.decoder["4"](x, maps[4])  # (B, 10*width, H/16, W/16)
        label = self.cls_head(maps[4], x, d4) if self.has_label else None  # (B, K)
        if not self.has_mask:
            return MultiTaskOutput(None, label)
        d3 = self.decoder["3"](d4, maps[3])  # (B, 8*width, H/8, W/8)
        d2 = self.decoder["2"](d3, maps[2])  # (B, 4*width, H/4, W/4)
        d1 = self.decoder["1"](d2, maps[1])  # (B, 2*width, H/2, W/2)
        d0 = self.decoder["0"](d1, maps[0])  # (B, width, H, W)
        aux: list[torch.Tensor] = []
        if self.training and len(self.aux_heads):
            aux = [head(x) for head, x in zip(self.aux_heads, (d1, d2, d3), strict=True)]  # (B, 1, H/2^i, W/2^i)
        return MultiTaskOutput(self.seg_head(d0), label, tuple(aux))
