"""MT U-Net++: a nested U-Net with instance normalization and a classifier on three deep maps.

Aumente-Maestro, Diez, Remeseiro: "A multi-task framework for breast cancer segmentation and classification in
ultrasound imaging", Computer Methods and Programs in Biomedicine 260, 108540, 2025; after Zhou et al., "UNet++", DLMIA
2018, in the form of MONAI's ``BasicUNetPlusPlus``.

::

    level 0   X00 ---- X01 ---- X02 ---- X03 ---- X04      X01 ... X04: a mask each
    level 1     X10 ---- X11 ---- X12 ---- X13             X(i,0): the encoder
    level 2       X20 ---- X21 ---- X22                    X(i,j): from X(i,0) ... X(i,j-1) and X(i+1,j-1), upsampled
    level 3         X30 ---- X31
    level 4           X40

The classifier uses X30 and X31, both through one shared block down to level 4, and X40.

The publication's networks differ by task, and so do these: both tasks have widths 24, 48, 96, 192, 384, 24 and
14,927,455 parameters (one input channel, three classes); segmentation alone has MONAI's default widths 32, 32, 64, 128,
256, 32 and 2,410,180 parameters; classification alone has the encoder and the classifier of the former and 13,741,131
parameters. In addition to the publication: any number of input channels and classes, and any widths.
"""

from collections.abc import Sequence

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError
from acsnet.layers import GlobalAverage, InstanceNorm2d, PooledLinearHead
from acsnet.models._arguments import Counts
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract
from acsnet.models._registry import register_model

#: Channels of X00 ... X40, and of X04.
MULTI_TASK_WIDTHS = (24, 48, 96, 192, 384, 24)
SEGMENTATION_WIDTHS = (32, 32, 64, 128, 256, 32)
_DEPTH = 4
_MERGED, _HIDDEN = 512, 256


def _conv_norm(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        InstanceNorm2d(out_channels),
        nn.LeakyReLU(0.1, inplace=True),
    )


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_conv_norm(in_channels, out_channels), _conv_norm(out_channels, out_channels))


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.MaxPool2d(2), _double(in_channels, out_channels))


class NestedNode(nn.Module):
    """X(i,j) above the encoder: a transposed convolution, then two convolutions merge it with the skips.

    X(i+1,j-1) (B, C_in, H, W) and X(i,0) ... X(i,j-1), each (B, C, 2H, 2W) -> (B, C_out, 2H, 2W). The transposed
    convolution halves the channels, except at level 0.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, halves: bool) -> None:
        super().__init__()
        channels = in_channels // 2 if halves else in_channels
        self.upsample = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.merge = _double(skip_channels + channels, out_channels)

    def forward(self, x: torch.Tensor, *skips: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W), each (B, C, 2H, 2W) -> (B, C_out, 2H, 2W)."""
        return self.merge(torch.cat((*skips, self.upsample(x)), dim=1))


class SharedDownHead(nn.Module):
    """The classifier: two maps of level 3 through one shared block, joined with the deepest map.

    Two convolutions, global average pooling and two linear layers follow.

    Args:
        channels: C, of the maps of level 3.
        deep_channels: D, of the deepest map.
        num_classes: K.
        pool: pooling of the merged map; by default its global average.
    """

    def __init__(self, channels: int, deep_channels: int, num_classes: int, pool: GlobalAverage | None = None) -> None:
        super().__init__()
        self.down = _down(channels, deep_channels)
        self.merge = _double(3 * deep_channels, _MERGED)
        self.classify = PooledLinearHead(_MERGED, num_classes, hidden=_HIDDEN, pool=pool)

    def forward(
        self, encoder: torch.Tensor, nested: torch.Tensor, deepest: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, C, H/8, W/8), (B, C, H/8, W/8), (B, D, H/16, W/16) -> class logits (B, K); mask logits for ``pool``."""
        maps = (self.down(encoder), self.down(nested), deepest)  # each (B, D, H/16, W/16)
        return self.classify(self.merge(torch.cat(maps, dim=1)), mask=mask)


@register_model(
    "mt_unetpp",
    publication="Aumente-Maestro et al. 2025, Computer Methods and Programs in Biomedicine",
    adds="nested dense skips with instance normalization, deep supervision, a classifier on three deep maps",
    input_size=(128, 128),
    arguments={"widths": Counts | None},
)
class MTUNetPlusPlus(MultiTaskModel):
    """The network; see the module.

    Args:
        widths: channels of X00 ... X40 and of X04; None for the publication's, which depend on the tasks.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if the widths are not six positive whole numbers.

    Example:
        >>> import torch
        >>> from acsnet.models import MTUNetPlusPlus
        >>> model = MTUNetPlusPlus(widths=(4, 4, 4, 4, 4, 4), in_channels=1).train()
        >>> output = model(torch.rand(2, 1, 32, 32))
        >>> output.mask.shape, output.label.shape, len(output.aux)
        (torch.Size([2, 1, 32, 32]), torch.Size([2, 3]), 3)
    """

    divisor = 2**_DEPTH
    supports_mask_pooling = True

    def __init__(self, widths: Sequence[int] | None = None, **contract: Unpack[Contract]) -> None:
        super().__init__(**contract)
        if widths is None:
            widths = MULTI_TASK_WIDTHS if self.has_label else SEGMENTATION_WIDTHS
        if len(widths) != _DEPTH + 2 or not all(isinstance(width, int) and width > 0 for width in widths):
            raise InputError(f"widths is {widths!r}: expected six positive whole numbers")
        *column, last = widths
        self.encoder = nn.ModuleList([_double(self.in_channels, column[0]), *map(_down, column, column[1:])])
        # Classification alone needs one node above the encoder.
        nodes = [(3, 1)]
        if self.has_mask:
            nodes = [(i, j) for j in range(1, _DEPTH + 1) for i in range(_DEPTH + 1 - j)]
            self.seg_head = nn.Conv2d(last, 1, 1)
            self.aux_heads = nn.ModuleList(nn.Conv2d(column[0], 1, 1) for _ in range(_DEPTH - 1))
        self.nodes = nn.ModuleDict({f"{i}_{j}": _node(column, last, i, j) for i, j in nodes})
        if self.has_label:
            self.cls_head = SharedDownHead(column[3], column[4], self.num_classes, self.class_pool(self.divisor))

    def encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> X00 ... X40, each (B, widths[i], H/2^i, W/2^i)."""
        maps = [images]
        for level in self.encoder:
            maps.append(level(maps[-1]))
        return maps[1:]

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K), three ``aux`` masks (B, 1, H, W).

        Raises:
            InputError: for 16x16 images, whose deepest map is one pixel, which instance normalization would erase.
        """
        if not is_traced(images) and tuple(images.shape[2:]) == (self.divisor, self.divisor):
            raise InputError(
                "images are 16x16 (height x width), where the deepest map of mt_unetpp is one pixel: use 32x32"
            )
        rows = [[x] for x in self.encode(images)]
        for name, node in self.nodes.items():
            i, j = map(int, name.split("_"))
            rows[i].append(node(rows[i + 1][j - 1], *rows[i]))  # (B, widths[i], H/2^i, W/2^i)
        if not self.has_mask:
            return MultiTaskOutput(None, self.cls_head(rows[3][0], rows[3][1], rows[4][0]))
        _, *coarser, finest = rows[0]  # X01 ... X03, X04, each at (H, W)
        aux: list[torch.Tensor] = []
        if self.training:
            aux = [head(x) for head, x in zip(self.aux_heads, coarser, strict=True)]
        mask = self.seg_head(finest)
        label = self.cls_head(rows[3][0], rows[3][1], rows[4][0], mask) if self.has_label else None
        return MultiTaskOutput(mask, label, tuple(reversed(aux)))


def _node(column: Sequence[int], last: int, i: int, j: int) -> NestedNode:
    out_channels = last if (i, j) == (0, _DEPTH) else column[i]
    return NestedNode(column[i + 1], j * column[i], out_channels, halves=i > 0)
