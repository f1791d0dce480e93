r"""MT nnU-Net: a plain U-Net with instance normalization and a classifier on three deep maps.

Aumente-Maestro, Diez, Remeseiro: "A multi-task framework for breast cancer segmentation and classification in
ultrasound imaging", Computer Methods and Programs in Biomedicine 260, 108540, 2025.

::

    level 0    32 ------------------------------ 32 16 -> mask
    level 1      64 --------------------------- 32      -> mask (transposed x2)
    level 2       128 ----------------------- 64        -> mask (transposed x4)
    level 3          256 ------------------ 128         -> mask (transposed x8)
    level 4             320 ------------- 256
    bottleneck              320 --upsample
                      |          |         |
                    conv 320     |      conv 320
                      \----- concatenate ---/ -> conv 512 -> average -> 256 -> K

Sizes halve by max pooling. Every decoder level starts with a transposed 2x2 convolution that keeps the channels. The
classifier uses the deepest encoder level, the bottleneck enlarged by the decoder's first transposed convolution (the
same weights), and the deepest decoder level.

15,819,799 parameters with one input channel and three classes, as published. In addition to the publication: any
number of input channels and classes, a width, and either task alone.
"""

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError
from acsnet.layers import GlobalAverage, InstanceNorm2d, PooledEncoder, PooledLinearHead
from acsnet.models._arguments import Count
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract
from acsnet.models._registry import register_model

#: Channels of the five levels and of the bottleneck, as multiples of ``width``: 32 gives 32, 64, 128, 256, 320, 320.
ENCODER_FACTORS = (1, 2, 4, 8, 10, 10)
#: Channels of the decoder levels 1 to 4, as multiples of ``width``; level 0 has ``width`` and ends with half of it.
DECODER_FACTORS = (1, 2, 4, 8)


class ConvNorm(nn.Sequential):
    """A 3x3 convolution without bias, InstanceNorm without affine, LeakyReLU: C_in -> C_out, the size kept."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            InstanceNorm2d(out_channels, affine=False),
            nn.LeakyReLU(0.01, inplace=True),
        )


def _double(in_channels: int, channels: int, out_channels: int | None = None) -> nn.Sequential:
    return nn.Sequential(ConvNorm(in_channels, channels), ConvNorm(channels, out_channels or channels))


class DecoderLevel(nn.Module):
    """A transposed convolution doubles the size, then two convolutions merge the result with the skip.

    (B, C_in, H, W) and a skip (B, C_skip, 2H, 2W) -> (B, C_out, 2H, 2W).
    """

    def __init__(self, in_channels: int, skip_channels: int, channels: int, out_channels: int | None = None) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(in_channels, in_channels, 2, stride=2)
        self.merge = _double(skip_channels + in_channels, channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W), (B, C_skip, 2H, 2W) -> (B, C_out, 2H, 2W)."""
        return self.merge(torch.cat((skip, self.upsample(x)), dim=1))


class ThreeMapsHead(nn.Module):
    """The classifier: three maps at stride 16, concatenated, a convolution, global average, two linear layers.

    Args:
        encoder_channels, decoder_channels: channels of the deepest encoder and decoder level.
        channels: channels of each map once they are alike.
        merged, hidden: channels after the convolution and of the hidden linear layer.
        num_classes: K.
        pool: pooling of the merged map; by default its global average.
    """

    def __init__(
        self,
        encoder_channels: int,
        decoder_channels: int,
        channels: int,
        merged: int,
        hidden: int,
        num_classes: int,
        pool: GlobalAverage | None = None,
    ) -> None:
        super().__init__()
        self.encoder = ConvNorm(encoder_channels, channels)
        self.decoder = ConvNorm(decoder_channels, channels)
        self.merge = ConvNorm(3 * channels, merged)
        self.classify = PooledLinearHead(merged, num_classes, hidden=hidden, pool=pool)

    def forward(
        self, encoder: torch.Tensor, bottleneck: torch.Tensor, decoder: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Each (B, C_i, H/16, W/16) -> class logits (B, K); mask logits for ``pool``."""
        maps = (self.encoder(encoder), bottleneck, self.decoder(decoder))
        return self.classify(self.merge(torch.cat(maps, dim=1)), mask=mask)  # (B, K)


class EnlargedMask(nn.Sequential):
    """A mask at full size from a coarser level: a transposed convolution of stride 2^level, then a 1x1 convolution.

    (B, C, H, W) -> (B, 1, H * 2^level, W * 2^level).
    """

    def __init__(self, channels: int, level: int) -> None:
        scale = 2**level
        super().__init__(nn.ConvTranspose2d(channels, channels, scale, stride=scale), nn.Conv2d(channels, 1, 1))


@register_model(
    "mt_nnunet",
    publication="Aumente-Maestro et al. 2025, Computer Methods and Programs in Biomedicine",
    adds="five plain levels with instance normalization, deep supervision, a classifier on three deep maps",
    input_size=(128, 128),
    arguments={"width": Count},
)
class MTNNUNet(MultiTaskModel):
    """The network; see the module.

    Args:
        width: channels at full size, a multiple of 2; all others follow in proportion.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if the width is not a positive multiple of 2.

    Example:
        >>> import torch
        >>> from acsnet.models import MTNNUNet
        >>> model = MTNNUNet(width=4, in_channels=1).train()
        >>> output = model(torch.rand(2, 1, 64, 64))
        >>> output.mask.shape, output.label.shape, len(output.aux)
        (torch.Size([2, 1, 64, 64]), torch.Size([2, 3]), 3)
    """

    supports_mask_pooling = True

    def __init__(self, width: int = 32, **contract: Unpack[Contract]) -> None:
        super().__init__(**contract)
        if not isinstance(width, int) or width < 2 or width % 2:
            raise InputError(f"width is {width!r}: expected a positive multiple of 2")
        *encoder, bottleneck = (width * factor for factor in ENCODER_FACTORS)
        decoder = [width * factor for factor in DECODER_FACTORS]
        self.encoder = PooledEncoder(self.in_channels, encoder, _double)
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), _double(encoder[4], bottleneck))
        self.decode4 = DecoderLevel(bottleneck, encoder[4], decoder[3])
        if self.has_mask:
            self.decode3 = DecoderLevel(decoder[3], encoder[3], decoder[2])
            self.decode2 = DecoderLevel(decoder[2], encoder[2], decoder[1])
            self.decode1 = DecoderLevel(decoder[1], encoder[1], decoder[0])
            self.decode0 = DecoderLevel(decoder[0], encoder[0], width, width // 2)
            self.seg_head = nn.Conv2d(width // 2, 1, 1)
            self.aux_heads = nn.ModuleList(EnlargedMask(decoder[level - 1], level) for level in (1, 2, 3))
        if self.has_label:
            self.cls_head = ThreeMapsHead(
                encoder[4], decoder[3], bottleneck, 16 * width, 8 * width, self.num_classes, self.class_pool(16)
            )

    def encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> six maps, of the levels and the bottleneck, (B, C_i, H/2^i, W/2^i)."""
        maps = self.encoder(images)
        return [*maps, self.bottleneck(maps[-1])]

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K), three ``aux`` masks (B, 1, H, W).

        Raises:
            InputError: for 32x32 images, whose bottleneck is one pixel, which instance normalization would erase.
        """
        if not is_traced(images) and tuple(images.shape[2:]) == (self.divisor, self.divisor):
            raise InputError(
                "images are 32x32 (height x width), where the deepest map of mt_nnunet is one pixel: use 64x64"
            )
        *maps, x = self.encode(images)
        d4 = self.decode4(x, maps[4])  # (B, 8*width, H/16, W/16)
        if not self.has_mask:
            return MultiTaskOutput(None, self.cls_head(maps[4], self.decode4.upsample(x), d4))
        d3 = self.decode3(d4, maps[3])  # (B, 4*width, H/8, W/8)
        d2 = self.decode2(d3, maps[2])  # (B, 2*width, H/4, W/4)
        d1 = self.decode1(d2, maps[1])  # (B, width, H/2, W/2)
        d0 = self.decode0(d1, maps[0])  # (B, width/2, H, W)
        aux: tuple[torch.Tensor, ...] = ()
        if self.training:
            aux = tuple(head(x) for head, x in zip(self.aux_heads, (d1, d2, d3), strict=True))  # (B, 1, H, W)
        mask = self.seg_head(d0)
        label = self.cls_head(maps[4], self.decode4.upsample(x), d4, mask) if self.has_label else None
        return MultiTaskOutput(mask, label, aux)
