"""EfficientNet-CBAM: an ImageNet encoder, pyramid pooling, and a decoder of residual blocks with attention.

The multi-task study on a curated BUSI, whose code is the public repository EEE402_Project (Keras). CBAM: Woo et al.,
"CBAM: Convolutional Block Attention Module", ECCV 2018; see :class:`acsnet.layers.CBAM`.

::

    stride 2    E0 -- skip -------------------------- D3 -- x2, 3x3 convolution    mask
    stride 4      E1 -- skip -------------------- D2
    stride 8        E2 -- skip -------------- D1         skip: 1x1 convolution, normalization, swish, CBAM
    stride 16         E3 -- skip -------- D0             D(i): x2, concatenation with the skip, two residual blocks
    stride 32           E4 -- P -- B                     P: pyramid pooling (1, 2, 3, 6), B: two residual blocks

The classifier averages B, D0, D1 and D2 over all positions and concatenates the averages; linear layers of 512, 256 and
128 with swish follow, with a dropout of 0.3 after the first and of 0.2 after the second, and a linear layer to the
classes. Swish is SiLU. A residual block is 3x3 convolution, batch normalization, swish, dropout 0.1, 3x3 convolution,
batch normalization, the sum with its input (through a 1x1 convolution with normalization if the channels differ), CBAM,
swish. As in the code, convolutions have a bias, and the maps E0 to E3 of an EfficientNet are the expanded ones, E4 is
the output of its last 1x1 convolution (see :class:`acsnet.layers.Encoder`); other encoders pass the maps of their
stages.

Paper and code disagree in these points. The table of the study says EfficientNet-B4 and the code says B7: the default
is B4, B7 is ``encoder="tf_efficientnet_b7.aa_in1k"``. CBAM is that of Woo et al.; the channel attention in the code
lacks the maximum. Pyramid pooling averages over grids of 1, 2, 3 and 6 cells per side, as in its publication (Zhao et
al., CVPR 2017); the code averages over windows of 1, 2, 3 and 6 pixels, which do not cover the map and do not fit into
small ones. The last layer of the mask is the convolution; in the code batch normalization follows, and augmentation is
part of the network.

Neither paper nor code fixes the tag of the ImageNet weights: these are the ones that Keras has (``aa_in1k``).

Beyond the publication: any timm encoder with a pyramid of feature maps, any number of classes and input channels, any
width, and either task alone.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import Unpack

from acsnet.layers import CBAM, Encoder, GlobalAverage, PyramidPooling, class_layer, is_efficientnet
from acsnet.models._arguments import Count, EncoderName, ImageSize
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract, check_count
from acsnet.models._registry import register_model

_DROPOUT = 0.1
# Channels relative to the width.
_BOTTLENECK = 16
_STAGES = (8, 4, 2, 1)
_CLASSIFIED_STAGES = 3
_GRIDS = (1, 2, 3, 6)
_HIDDEN = (512, 256, 128)


class ResidualAttentionBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, then CBAM: (B, C_in, H, W) -> (B, C_out, H, W).

    Args:
        in_channels: C_in.
        out_channels: C_out.
        reduction: see :class:`~acsnet.layers.CBAM`.
    """

    def __init__(self, in_channels: int, out_channels: int, reduction: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.SiLU(inplace=True),
            nn.Dropout(_DROPOUT),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.attention = CBAM(out_channels, reduction)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C_in, H, W) -> (B, C_out, H, W)."""
        return functional.silu(self.attention(self.convolve(x) + self.shortcut(x)))


class AttentionUpsampleMerge(nn.Module):
    """A decoder stage: upsample, concatenate with the attended skip, apply two residual blocks.

    (B, C_in, H, W) and a skip (B, C_skip, 2H, 2W) -> (B, C, 2H, 2W).

    Args:
        in_channels: C_in.
        skip_channels: C_skip.
        channels: C.
        reduction: see :class:`~acsnet.layers.CBAM`.
    """

    def __init__(self, in_channels: int, skip_channels: int, channels: int, reduction: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(
            nn.Conv2d(skip_channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.SiLU(inplace=True),
            CBAM(channels, reduction),
        )
        self.merge = _two_blocks(channels + in_channels, channels, reduction)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Merge (B, C_in, H, W) with a skip (B, C_skip, 2H, 2W) -> (B, C, 2H, 2W)."""
        return self.merge(torch.cat((self.skip(skip), _upsample(x)), dim=1))


class DenseHead(nn.Module):
    """The classifier: the averages of several maps, concatenated, and four linear layers.

    Args:
        channels: C, sum of the channels of all maps.
        num_classes: K.
        pool: pooling of the maps; by default their global averages.
    """

    def __init__(self, channels: int, num_classes: int, pool: GlobalAverage | None = None) -> None:
        super().__init__()
        first, second, third = _HIDDEN
        self.pool = pool or GlobalAverage()
        self.classify = nn.Sequential(
            nn.Linear(self.pool.averages * channels, first),
            nn.SiLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(first, second),
            nn.SiLU(inplace=True),
            nn.Dropout(0.2),
            nn.Linear(second, third),
            nn.SiLU(inplace=True),
            class_layer(third, num_classes),
        )

    def forward(self, *maps: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Classify maps, each (B, C_i, H_i, W_i) -> class logits (B, K); mask logits for ``pool``."""
        return self.classify(self.pool(*maps, mask=mask))


@register_model(
    "efficientnet_cbam",
    publication="multi-task study on curated BUSI, 2025 (code: EEE402_Project)",
    adds="pyramid pooling, residual blocks with CBAM, a classifier on four maps of bottleneck and decoder",
    arguments={"encoder": EncoderName, "width": Count, "reduction": Count, "image_size": ImageSize | None},
    pretrained=True,
)
class EfficientNetCBAM(MultiTaskModel):
    """EfficientNet-CBAM; see the module.

    Args:
        encoder: name of a timm network with a pyramid of feature maps; see :class:`acsnet.layers.Encoder`.
        encoder_weights: ``"imagenet"`` or a file of pretrained weights; None for random ones.
        width: channels of the last decoder stage; the stages before have 2, 4 and 8 times, the bottleneck 16 times as
            many.
        reduction: factor from the channels to the hidden features of each channel attention.
        image_size: (height, width) of the images, only for an encoder that is built for one size; see
            :class:`acsnet.layers.Encoder`.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if the encoder has other feature levels, or the width or the reduction is below 1.
        UnknownNameError: for an unknown encoder, with near matches.

    Example:
        >>> import torch
        >>> from acsnet.models import EfficientNetCBAM
        >>> model = EfficientNetCBAM("mobilenetv3_small_050", width=4).eval()
        >>> output = model(torch.zeros(1, 3, 64, 96))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 64, 96]), torch.Size([1, 3]))
    """

    supports_mask_pooling = True

    def __init__(
        self,
        encoder: str = "tf_efficientnet_b4.aa_in1k",
        encoder_weights: str | Path | None = None,
        width: int = 32,
        reduction: int = 16,
        image_size: Sequence[int] | None = None,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(**contract)
        check_count("width", width)
        check_count("reduction", reduction)
        maps = "expanded" if is_efficientnet(encoder) else "stages"
        self.encoder = Encoder(encoder, self.in_channels, encoder_weights, maps=maps, image_size=image_size)
        self.image_size = self.encoder.image_size
        *skips, deepest = self.encoder.channels
        bottleneck = _BOTTLENECK * width
        widths = [bottleneck, *(factor * width for factor in _STAGES)]
        # Each grid has a quarter of the channels of the bottleneck.
        context = bottleneck // len(_GRIDS)
        self.context = PyramidPooling(deepest, context, _GRIDS)
        self.bottleneck = _two_blocks(deepest + len(_GRIDS) * context, bottleneck, reduction)
        # Classification alone does not need the last stage.
        self.stages = len(_STAGES) if self.has_mask else _CLASSIFIED_STAGES
        self.decoder = nn.ModuleList(
            AttentionUpsampleMerge(widths[i], skips[-1 - i], widths[i + 1], reduction) for i in range(self.stages)
        )
        if self.has_mask:
            self.seg_head = nn.Conv2d(widths[-1], 1, 3, padding=1)
        if self.has_label:
            channels = widths[: _CLASSIFIED_STAGES + 1]
            pool = self.class_pool(*(self.divisor // 2**stage for stage in range(len(channels))))
            self.cls_head = DenseHead(sum(channels), self.num_classes, pool)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K).

        Raises:
            InputError: for a single image in training, which pyramid pooling cannot normalize.
        """
        *skips, deepest = self.encoder(images)  # (B, C_i, H/2^(i+1), W/2^(i+1))
        maps = [self.bottleneck(self.context(deepest))]  # (B, 16*width, H/32, W/32)
        for stage, skip in zip(self.decoder, reversed(skips), strict=False):
            maps.append(stage(maps[-1], skip))  # (B, 2^(3-i)*width, H/2^(4-i), W/2^(4-i))
        mask = self.seg_head(_upsample(maps[-1])) if self.has_mask else None  # (B, 1, H, W)
        label = self.cls_head(*maps[: _CLASSIFIED_STAGES + 1], mask=mask) if self.has_label else None  # (B, K)
        return MultiTaskOutput(mask, label)


def _two_blocks(in_channels: int, channels: int, reduction: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualAttentionBlock(in_channels, channels, reduction), ResidualAttentionBlock(channels, channels, reduction)
    )


def _upsample(x: torch.Tensor) -> torch.Tensor:
    # Keras and its bilinear upsampling do not align corners.
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
