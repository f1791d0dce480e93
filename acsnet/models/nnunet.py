"""An nnU-Net-style plain U-Net with a classifier on its deep features.

Aumente-Maestro, Diez, Remeseiro: "A multi-task framework for breast cancer segmentation and classification in
ultrasound imaging", Computer Methods and Programs in Biomedicine 260, 108540, 2025; after Isensee et al., nnU-Net,
Nature Methods, 2021.

How it is read where the publication leaves it open: the five levels are those of the encoder, and the bottleneck is a
sixth stage with the fifth's width below a fifth pooling (4x4 at the published 128x128, nnU-Net's smallest map). So the
decoder has five levels too, of which the four upper ones have a mask and the deepest, without one, is what the
classifier takes beside the deepest encoder level (both at stride 16) and the bottleneck (stride 32). That one is
brought to their size bilinearly; the conv blocks of the classifier are one 3x3 convolution each; masks are 1x1
convolutions.
"""

from collections.abc import Sequence

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.layers import InstanceNorm2d, PooledEncoder, PooledLinearHead, UpsampleMerge, upsample_twice
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._checks import check_no_pretrained, check_width
from acsnet.models._registry import TASKS, register_model

# Channels of the five levels and the bottleneck for each of ``width``: 32 gives 32, 64, 128, 256, 320, 320.
WIDTH_FACTORS = (1, 2, 4, 8, 10, 10)


class ConvInstanceNorm(nn.Sequential):
    """A 3x3 convolution without bias that keeps the size, InstanceNorm with scale and shift, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            InstanceNorm2d(out_channels),
            nn.LeakyReLU(0.01, inplace=True),
        )


class DoubleConvInstanceNorm(nn.Sequential):
    """Twice :class:`ConvInstanceNorm`: C_in -> C_out -> C_out, the size kept."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(ConvInstanceNorm(in_channels, out_channels), ConvInstanceNorm(out_channels, out_channels))


class DeepFeaturesHead(nn.Module):
    """The classifier: three deep maps, a conv block each, concatenated, a conv block, pooled, two linear layers.

    Args:
        channels: C, of the three maps alike.
        merged: channels of the last conv block.
        hidden: channels of the hidden linear layer.
        num_classes: K.
    """

    def __init__(self, channels: int, merged: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = (ConvInstanceNorm(channels, channels) for _ in range(3))
        self.merge = ConvInstanceNorm(3 * channels, merged)
        self.classify = PooledLinearHead(merged, num_classes, hidden=hidden)

    def forward(self, encoder: torch.Tensor, bottleneck: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), (B, C, H/2, W/2), (B, C, H, W) -> class logits (B, K)."""
        maps = (self.encoder(encoder), self.bottleneck(upsample_twice(bottleneck)), self.decoder(decoder))
        return self.classify(self.merge(torch.cat(maps, dim=1)))


@register_model(
    "nnunet",
    publication="Aumente-Maestro et al. 2025, Computer Methods and Programs in Biomedicine",
    adds="five plain levels with instance normalization, deep supervision, a classifier on three deep maps",
    input_size=(128, 128),
)
class NNUNet(MultiTaskModel):
    """The network; see the module.

    Args:
        num_classes: K.
        in_channels: channels of the input.
        encoder_weights: None; the network has no pre-trained weights.
        tasks: which tasks are built.
        width: channels at full size; all others, the classifier's too, follow in proportion.
        deep_supervision: whether levels 1, 2 and 3 have masks too: while training they are the output's ``aux``,
            finest first.

    Raises:
        InputError: for a width below 1, or pre-trained weights.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        encoder_weights: str | None = None,
        tasks: Sequence[str] = TASKS,
        width: int = 32,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels, tasks)
        check_no_pretrained(encoder_weights)
        check_width(width)
        widths = [width * factor for factor in WIDTH_FACTORS]
        segments = "segmentation" in self.tasks
        self.encoder = PooledEncoder(in_channels, widths[:-1], DoubleConvInstanceNorm)
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), DoubleConvInstanceNorm(widths[4], widths[5]))
        # Classification alone looks no further than the deepest decoder level.
        self.decoder = nn.ModuleDict(
            {
                str(i): UpsampleMerge(widths[i + 1], widths[i], block=DoubleConvInstanceNorm)
                for i in (range(5) if segments else (4,))
            }
        )
        if segments:
            self.seg_head = nn.Conv2d(width, 1, 1)
            self.aux_heads = nn.ModuleList(nn.Conv2d(widths[i], 1, 1) for i in (1, 2, 3) if deep_supervision)
        if "classification" in self.tasks:
            self.cls_head = DeepFeaturesHead(widths[4], 16 * width, 8 * width, num_classes)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K), ``aux`` at H/2, H/4 and H/8.

        Raises:
            InputError: for images whose bottleneck would be a single pixel, which instance normalization would erase.
        """
        if not torch.compiler.is_compiling() and tuple(images.shape[2:]) == (self.divisor, self.divisor):
            raise InputError("images are 32x32 (height x width), where nnunet's deepest map is one pixel: take 64x64")
        maps = self.encoder(images)  # (B, widths[i], H/2^i, W/2^i)
        x = self.bottleneck(maps[4])  # (B, 10*width, H/32, W/32)
        d4 = self.decoder["4"](x, maps[4])  # (B, 10*width, H/16, W/16)
        label = self.cls_head(maps[4], x, d4) if "classification" in self.tasks else None
        if "segmentation" not in self.tasks:
            return MultiTaskOutput(None, label)
        d3 = self.decoder["3"](d4, maps[3])  # (B, 8*width, H/8, W/8)
        d2 = self.decoder["2"](d3, maps[2])  # (B, 4*width, H/4, W/4)
        d1 = self.decoder["1"](d2, maps[1])  # (B, 2*width, H/2, W/2)
        d0 = self.decoder["0"](d1, maps[0])  # (B, width, H, W)
        aux: list[torch.Tensor] = []
        if self.training and len(self.aux_heads):
            aux = [head(x) for head, x in zip(self.aux_heads, (d1, d2, d3), strict=True)]  # (B, 1, H/2^i, W/2^i)
        return MultiTaskOutput(self.seg_head(d0), label, tuple(aux))
