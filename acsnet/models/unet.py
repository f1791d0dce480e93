"""U-Net with a classifier and the same network with gates on its skips, from the multi-task study on curated BUSI.

Source: the multi-task study on curated BUSI, 2025, its diagrams and its code (EEE402_Project, Keras); after
Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015. Gate: see
:class:`acsnet.layers.SkipGate`.

::

    level 0   E0 -------------------- D0    mask     E: encoder, 2x2 max pooling between two levels
    level 1      E1 -------------- D1                D: decoder, merges the skip and the level below, enlarged
    level 2         E2 -------- D2                   -: identity (unet) or gate (gated_unet)
    level 3            E3 -- D3
    level 4               E4                         E3, E4, D3: inputs of the classifier

A block is a 3x3 convolution with bias, batch normalization and ReLU. Enlarging repeats each pixel ("nearest"); the
skip comes first in the concatenation. Five levels of 32, 64, 128, 256 and 512 channels.

Where diagram and code differ, the diagram is built by default, and arguments build the code:

- Blocks per level, in the order of the computation: 1 2 3 3 3 | 3 3 2 1 in the diagram. The code has
  2 2 2 3 3 | 3 3 3 1 for the U-Net and 1 2 3 4 3 | 2 2 2 1 for the gated U-Net: ``down_blocks`` and ``up_blocks``.
- Classifier: the diagram averages all channels of E3, E4 and D3 and concatenates them for two linear layers, here with
  the code's 32 hidden features. The code first reduces each map to one channel, so that three numbers are left:
  ``single_channel_classifier=True``.
- Gate: two scalars per image in the diagram, two per channel in the code: ``per_channel=True``.

Departure from the code: its last layers are a convolution to one channel, batch normalization, ReLU and a sigmoid, so
that no probability is below 0.5. This is a slip; here a 3x3 convolution returns the mask logit. Initial weights and the
constants of batch normalization are PyTorch's, not those of Keras.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet.config.bounds import Flag
from acsnet.layers import ConvBlocks, NearestUpsampleMerge, PooledEncoder, PooledMapsHead, SkipGate
from acsnet.models._arguments import Count, Repeats, RepeatsPerLevel
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract, check_count, check_counts
from acsnet.models._registry import register_model

_ARGUMENTS = {
    "width": Count,
    "depth": Repeats,
    "down_blocks": RepeatsPerLevel | None,
    "up_blocks": RepeatsPerLevel | None,
    "single_channel_classifier": Flag,
}


@register_model(
    "unet",
    publication="multi-task study on curated BUSI, 2025 (code: EEE402_Project)",
    adds="the plain U-Net, a classifier on three maps",
    arguments=_ARGUMENTS,
)
class UNet(MultiTaskModel):
    """U-Net with a classifier; see the module.

    The form of the study's code is ``UNet(in_channels=1, down_blocks=(2, 2, 2, 3, 3), up_blocks=(3, 3, 3, 1),
    single_channel_classifier=True)``.

    Args:
        width: channels at full size; each pooling doubles them.
        depth: number of poolings, 1 to 5.
        down_blocks: number of blocks of E0 ... E(depth); by default 1, 2, then 3.
        up_blocks: number of blocks of D(depth-1) ... D0; by default those of the encoder at the same level.
        single_channel_classifier: whether each map is reduced to one channel before its global average, as in the code.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Attributes:
        divisor: 2^depth.

    Raises:
        InputError: if the width, the depth or a number of blocks is out of range.

    Example:
        >>> import torch
        >>> from acsnet.models import UNet
        >>> model = UNet(width=8, depth=3, in_channels=1).eval()
        >>> output = model(torch.zeros(1, 1, 40, 48))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 40, 48]), torch.Size([1, 3]))
    """

    supports_mask_pooling = True

    def __init__(
        self,
        width: int = 32,
        depth: int = 4,
        down_blocks: Sequence[int] | None = None,
        up_blocks: Sequence[int] | None = None,
        single_channel_classifier: bool = False,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(**contract)
        check_count("width", width)
        check_count("depth", depth, most=5)
        published = [min(level + 1, 3) for level in range(depth + 1)]
        down_blocks = published if down_blocks is None else down_blocks
        up_blocks = published[-2::-1] if up_blocks is None else up_blocks
        check_counts("down_blocks", down_blocks, depth + 1)
        check_counts("up_blocks", up_blocks, depth)
        self.divisor = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = PooledEncoder(self.in_channels, widths, [partial(ConvBlocks, count=n) for n in down_blocks])
        # Classification alone ends at the deepest decoder level.
        levels = range(depth - 1, -1, -1) if self.has_mask else [depth - 1]
        self.skips = nn.ModuleDict({str(i): nn.Identity() for i in levels})
        self.decoder = nn.ModuleDict(
            {
                str(i): NearestUpsampleMerge(widths[i + 1], widths[i], count=count)
                for i, count in zip(levels, up_blocks, strict=False)
            }
        )
        if self.has_mask:
            self.seg_head = nn.Conv2d(width, 1, 3, padding=1)
        if self.has_label:
            self.cls_head = PooledMapsHead(
                (widths[-2], widths[-1], widths[-2]),
                self.num_classes,
                single_channel=single_channel_classifier,
                pool=self.class_pool(self.divisor // 2, self.divisor, self.divisor // 2),
            )

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        maps = self.encoder(images)  # (B, width*2^i, H/2^i, W/2^i)
        decoded = [maps[-1]]
        for key, level in self.decoder.items():
            decoded.append(level(decoded[-1], self.skips[key](maps[int(key)])))  # (B, width*2^i, H/2^i, W/2^i)
        mask = label = None
        if self.has_mask:
            mask = self.seg_head(decoded[-1])
        if self.has_label:
            label = self.cls_head(maps[-2], maps[-1], decoded[1], mask=mask)
        return MultiTaskOutput(mask, label)


@register_model(
    "gated_unet",
    publication="multi-task study on curated BUSI, 2025 (code: EEE402_Project)",
    adds="a gate on each skip connection",
    arguments={**_ARGUMENTS, "per_channel": Flag},
)
class GatedUNet(UNet):
    """U-Net with a gate on each skip; see the module.

    The form of the study's code is ``GatedUNet(in_channels=1, down_blocks=(1, 2, 3, 4, 3), up_blocks=(2, 2, 2, 1),
    single_channel_classifier=True, per_channel=True)``.

    Args:
        width: see :class:`UNet`.
        depth: see :class:`UNet`.
        down_blocks: see :class:`UNet`.
        up_blocks: see :class:`UNet`.
        single_channel_classifier: see :class:`UNet`.
        per_channel: whether a gate has two scalars per channel, as in the code, or two per image, as in the diagram.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if the width, the depth or a number of blocks is out of range.

    Example:
        >>> import torch
        >>> from acsnet.models import GatedUNet
        >>> GatedUNet(width=4, depth=2).eval()(torch.zeros(1, 3, 32, 32)).mask.shape
        torch.Size([1, 1, 32, 32])
    """

    def __init__(
        self,
        width: int = 32,
        depth: int = 4,
        down_blocks: Sequence[int] | None = None,
        up_blocks: Sequence[int] | None = None,
        single_channel_classifier: bool = False,
        per_channel: bool = False,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(width, depth, down_blocks, up_blocks, single_channel_classifier, **contract)
        self.skips = nn.ModuleDict({i: SkipGate(width * 2 ** int(i), per_channel) for i in self.skips})
