"""ACSNet: gate units, deformable spatial attention and a multi-scale channel-attention classifier.

He, Yang, Su, Wang: "Multi-task learning for segmentation and classification of breast tumors from ultrasound images",
Computers in Biology and Medicine, 2024.

Beyond the publication: any timm encoder with a pyramid of feature maps (1x1 convolutions map its channels to the
published widths if they differ), any number of classes and input channels, and either task alone.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet.errors import InputError
from acsnet.layers import (
    Checkpointed,
    Deferred,
    DeferredInputConvNormAct,
    DeferredSequential,
    DeformableSpatialAttention,
    DoubleConv,
    Encoder,
    GateUnit,
    MultiScaleAttentionHead,
    PerImage,
    UpsampleConv2d,
    upsample_twice,
)
from acsnet.models._arguments import Counts, EncoderName, ImageSize
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract
from acsnet.models._registry import register_model

PUBLISHED_WIDTHS = (64, 64, 128, 256, 512)


class UpsampleConcat(nn.Module):
    """A 1x1 convolution to the channels of the skip, ReLU, upsampling, and concatenation with the skip.

    (B, C_in, H, W) and a skip (B, C, 2H, 2W) -> (B, 2C, 2H, 2W).
    """

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, skip_channels, 1), nn.ReLU(inplace=True))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Merge maps (B, C_in, H, W) and a skip (B, C, 2H, 2W) into (B, 2C, 2H, 2W)."""
        return torch.cat((upsample_twice(self.reduce(x)), skip), dim=1)


class DeferredUpsampleConcat(UpsampleConcat):
    """:class:`UpsampleConcat` with a deferred result, the largest map of the network; its consumer computes it."""

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> Deferred:  # type: ignore[override]
        """Defer the merge of maps (B, C_in, H, W) and a skip (B, C, 2H, 2W) into (B, 2C, 2H, 2W)."""
        return Deferred(super().forward, (x, skip))


@register_model(
    "acsnet",
    publication="He et al. 2024, Computers in Biology and Medicine",
    adds="gate units, deformable spatial attention, multi-scale channel-attention classifier",
    arguments={"encoder": EncoderName, "widths": Counts, "image_size": ImageSize | None},
    settings=("backend",),
    pretrained=True,
)
class ACSNet(MultiTaskModel):
    """ACSNet; see the module.

    Args:
        encoder: name of a timm network with a pyramid of feature maps; see :class:`acsnet.layers.Encoder`.
        encoder_weights: ``"imagenet"`` or a file of pretrained weights; None for random ones.
        widths: channels of the five gated maps, finest first, each a multiple of 16; smaller widths make a smaller
            network.
        backend: backend of the deformable convolutions; see :func:`acsnet.ops.deform_conv2d`.
        image_size: (height, width) of the images, only for an encoder that is built for one size; see
            :class:`acsnet.layers.Encoder`.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if ``widths`` is not a sequence of five multiples of 16, or the encoder has other strides.
        UnknownNameError: for an unknown encoder, with near matches.

    Example:
        >>> import torch
        >>> from acsnet.models import ACSNet
        >>> model = ACSNet(encoder="mobilenetv3_small_050", widths=[16, 16, 16, 16, 16], num_classes=2).eval()
        >>> output = model(torch.zeros(1, 3, 64, 96))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 64, 96]), torch.Size([1, 2]))
    """

    supports_mask_pooling = True

    def __init__(
        self,
        encoder: str = "resnet18",
        encoder_weights: str | Path | None = None,
        widths: Sequence[int] = PUBLISHED_WIDTHS,
        backend: str = "auto",
        image_size: Sequence[int] | None = None,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(**contract)
        if not _are_widths(widths):
            raise InputError(f"widths is {widths!r}: expected five multiples of 16, finest first")
        w0, w1, w2, w3, w4 = widths
        self.encoder = Encoder(encoder, self.in_channels, encoder_weights, image_size=image_size)
        self.image_size = self.encoder.image_size
        # Classification alone ends at the first decoder level, which needs the two coarsest maps only.
        self.levels = range(5) if self.has_mask else range(3, 5)
        self.adapters = nn.ModuleDict({str(i): _adapter(self.encoder.channels[i], widths[i]) for i in self.levels})
        self.gates = nn.ModuleDict({str(i): GateUnit(widths[i]) for i in self.levels})
        self.join3 = UpsampleConcat(w4, w3)
        self.decode3 = nn.Sequential(DoubleConv(2 * w3, w3 // 16), DeformableSpatialAttention(2 * w3, backend))
        if self.has_mask:
            self.join2 = UpsampleConcat(2 * w3, w2)
            self.decode2 = nn.Sequential(DoubleConv(2 * w2, w2 // 16), DeformableSpatialAttention(2 * w2, backend))
            self.join1 = UpsampleConcat(2 * w2, w1)
            self.decode1 = DoubleConv(2 * w1, w1 // 16)
            self.join0 = DeferredUpsampleConcat(2 * w1, w0)
            self.decode0 = DeferredSequential(
                nn.Conv2d(2 * w0, 2 * w0, 1),
                nn.ReLU(inplace=True),
                DeferredInputConvNormAct(2 * w0, 2 * w0, w0 // 16),
            )
            norm = nn.GroupNorm(w0 // 16, 2 * w0)
            self.seg_head = PerImage(
                UpsampleConv2d(2 * w0, 2 * w0), Checkpointed(norm, nn.ReLU(inplace=True), nn.Conv2d(2 * w0, 1, 1))
            )
        if self.has_label:
            self.cls_head = MultiScaleAttentionHead(w3, w4, 2 * w3, self.num_classes, self.class_pool(16, 16, 16))

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        features = self.encoder(images)  # (B, C_i, H/2^(i+1), W/2^(i+1))
        maps = {i: self.adapters[str(i)](features[i]) for i in self.levels}
        gated = {i: self.gates[str(i)](maps[i]) for i in self.levels}
        d3 = self.decode3(self.join3(gated[4], gated[3]))  # (B, 2*w3, H/16, W/16)
        if not self.has_mask:
            return MultiTaskOutput(None, self.cls_head(maps[3], maps[4], d3))
        d2 = self.decode2(self.join2(d3, gated[2]))  # (B, 2*w2, H/8, W/8)
        d1 = self.decode1(self.join1(d2, gated[1]))  # (B, 2*w1, H/4, W/4)
        d0 = self.decode0(self.join0(d1, gated[0]))  # (B, 2*w0, H/2, W/2)
        mask = self.seg_head(d0)  # (B, 1, H, W)
        label = self.cls_head(maps[3], maps[4], d3, mask) if self.has_label else None  # (B, K)
        return MultiTaskOutput(mask, label)


def _are_widths(widths: object) -> bool:
    if not isinstance(widths, Sequence) or len(widths) != 5:
        return False
    return all(isinstance(width, int) and width >= 16 and width % 16 == 0 for width in widths)


def _adapter(in_channels: int, out_channels: int) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.ReLU(inplace=True))
