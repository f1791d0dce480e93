"""U-Net++ of the multi-task study on curated BUSI, and two variants that use the class for the mask.

Source: the multi-task study on curated BUSI, 2025, its diagrams and its code (EEE402_Project, Keras); after
Zhou, Siddiquee, Tajbakhsh, Liang: "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018.

::

    level 0   X00 ---- X01 ---- X02 ---- X03 ---- X04      X(i,0): encoder, 2x2 max pooling between two levels
    level 1     X10 ---- X11 ---- X12 ---- X13             X(i,j): merges X(i,0) ... X(i,j-1), all of its level,
    level 2       X20 ---- X21 ---- X22                            and X(i+1,j-1), enlarged
    level 3         X30 ---- X31                           X01 ... X04: a mask each; their sum is the mask
    level 4           X40                                  X30, X40, X31: inputs of the classifier

A block is a 3x3 convolution with bias, batch normalization and ReLU. Enlarging repeats each pixel ("nearest"). As in
the code, the encoder has two blocks at levels 0 to 2 and three at the deeper ones, X04 has one block, and all other
X(i,j) have three.

Where diagram and code differ, the diagram is built by default except for its width, and arguments build the code:

- Mask: the diagram sums the masks of X01 ... X04 (deep supervision), the code has that of X04 only:
  ``deep_supervision=False``. Logits are summed, and the loss is that of the sum; the single masks have none.
- Classifier: the diagram averages all channels of X30, X40 and X31 and concatenates them for two linear layers, here
  with the code's 32 hidden features. The code first reduces each map to one channel, so that three numbers are left:
  ``single_channel_classifier=True``.
- Width: 64 in the diagram, 16 in the code. The published results are those of the code, so that 16 is the default.

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
from acsnet.errors import InputError
from acsnet.layers import (
    ConvBlocks,
    NearestUpsampleMerge,
    PooledEncoder,
    PooledMapsHead,
    PredictionRefining,
    weigh_by_lesion_probability,
)
from acsnet.models._arguments import Count, Repeats, RepeatsPerLevel
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract, check_count, check_counts
from acsnet.models._registry import register_model

_ARGUMENTS = {
    "width": Count,
    "depth": Repeats,
    "deep_supervision": Flag,
    "single_channel_classifier": Flag,
    "down_blocks": RepeatsPerLevel | None,
    "node_blocks": Repeats,
    "last_blocks": Repeats,
}


class NestedDecoder(nn.Module):
    """The nodes X(i,j) with j above 0.

    Args:
        widths: channels of each level, finest first.
        node_blocks: number of blocks per node.
        last_blocks: number of blocks of X(0,depth).
        is_complete: whether all nodes are built, or only X(depth-1,1), which the classifier needs.
    """

    def __init__(self, widths: Sequence[int], node_blocks: int, last_blocks: int, is_complete: bool) -> None:
        super().__init__()
        depth = len(widths) - 1
        self.positions = [(depth - 1, 1)]
        if is_complete:
            self.positions = [(i, j) for j in range(1, depth + 1) for i in range(depth + 1 - j)]
        self.nodes = nn.ModuleDict(
            {
                f"{i}_{j}": NearestUpsampleMerge(
                    widths[i + 1], widths[i], skips=j, count=last_blocks if j == depth else node_blocks
                )
                for i, j in self.positions
            }
        )

    def forward(self, column: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Compute all nodes from X(0,0) ... X(depth,0), each (B, widths[i], H/2^i, W/2^i).

        Returns:
            X(0,1) ... X(0,depth), each (B, widths[0], H, W), and X(depth-1,1).
        """
        rows = [[x] for x in column]
        for i, j in self.positions:
            rows[i].append(self.nodes[f"{i}_{j}"](rows[i + 1][j - 1], *rows[i]))  # (B, widths[i], H/2^i, W/2^i)
        return rows[0][1:], rows[-2][1]


@register_model(
    "unetpp",
    publication="multi-task study on curated BUSI, 2025 (code: EEE402_Project)",
    adds="nested dense skips, a sum of four masks, a classifier on three maps",
    arguments=_ARGUMENTS,
)
class UNetPlusPlus(MultiTaskModel):
    """U-Net++ with a classifier; see the module.

    The form of the study's code is ``UNetPlusPlus(in_channels=1, deep_supervision=False,
    single_channel_classifier=True)``.

    Args:
        width: channels at full size; each pooling doubles them. The diagram has 64, the code 16.
        depth: number of poolings, 1 to 5.
        deep_supervision: whether the mask is the sum of the mask logits of X(0,1) ... X(0,depth), as in the diagram, or
            those of X(0,depth) alone, as in the code.
        single_channel_classifier: whether each map is reduced to one channel before its global average, as in the code.
        down_blocks: number of blocks of X(0,0) ... X(depth,0); by default two at levels 0 to 2 and three below.
        node_blocks: number of blocks of each X(i,j) with j above 0, except for X(0,depth).
        last_blocks: number of blocks of X(0,depth).
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Attributes:
        divisor: 2^depth.

    Raises:
        InputError: if the width, the depth or a number of blocks is out of range.

    Example:
        >>> import torch
        >>> from acsnet.models import UNetPlusPlus
        >>> model = UNetPlusPlus(width=4, depth=3, in_channels=1).eval()
        >>> output = model(torch.zeros(2, 1, 32, 48))
        >>> output.mask.shape, output.label.shape, output.aux
        (torch.Size([2, 1, 32, 48]), torch.Size([2, 3]), ())
    """

    supports_mask_pooling = True

    def __init__(
        self,
        width: int = 16,
        depth: int = 4,
        deep_supervision: bool = True,
        single_channel_classifier: bool = False,
        down_blocks: Sequence[int] | None = None,
        node_blocks: int = 3,
        last_blocks: int = 1,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(**contract)
        check_count("width", width)
        check_count("depth", depth, most=5)
        check_count("node_blocks", node_blocks)
        check_count("last_blocks", last_blocks)
        if down_blocks is None:
            down_blocks = [2 if level < 3 else 3 for level in range(depth + 1)]
        check_counts("down_blocks", down_blocks, depth + 1)
        self.divisor = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = PooledEncoder(self.in_channels, widths, [partial(ConvBlocks, count=n) for n in down_blocks])
        self.decoder = NestedDecoder(widths, node_blocks, last_blocks, is_complete=self.has_mask)
        if self.has_mask:
            columns = range(1, depth + 1) if deep_supervision else [depth]
            self.seg_head = nn.ModuleDict({str(j): nn.Conv2d(width, 1, 3, padding=1) for j in columns})
        if self.has_label:
            self.cls_head = PooledMapsHead(
                (widths[-2], widths[-1], widths[-2]),
                self.num_classes,
                single_channel=single_channel_classifier,
                pool=self.class_pool(self.divisor // 2, self.divisor, self.divisor // 2),
            )

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        column = self.encoder(images)  # X(i,0): (B, width*2^i, H/2^i, W/2^i)
        finest, first = self.decoder(column)  # X(0,j): (B, width, H, W); (B, width*2^(depth-1), H/2^(depth-1), ...)
        mask = label = None
        if self.has_mask:
            mask = torch.stack([head(finest[int(j) - 1]) for j, head in self.seg_head.items()]).sum(dim=0)
        if self.has_label:
            label = self.cls_head(column[-2], column[-1], first, mask=mask)  # (B, K)
        return MultiTaskOutput(mask, label)


@register_model(
    "unetpp_refined",
    publication="multi-task study on curated BUSI, 2025 (code: EEE402_Project)",
    adds="an empty mask for an image that is classified as normal, after prediction",
    arguments=_ARGUMENTS,
    needs_normal_class=True,
)
class RefinedUNetPlusPlus(UNetPlusPlus):
    """The trained U-Net++ whose mask is empty if the most probable class is normal.

    The rule applies after prediction, in evaluation mode: the mask of an image that is classified as normal gets the
    logit :data:`acsnet.layers.prediction_refinement.BLACK`, all other masks do not change. Training is that of
    :class:`UNetPlusPlus`, whose weights fit. With a single task the network is :class:`UNetPlusPlus`.

    Args:
        width: see :class:`UNetPlusPlus`.
        depth: see :class:`UNetPlusPlus`.
        deep_supervision: see :class:`UNetPlusPlus`.
        single_channel_classifier: see :class:`UNetPlusPlus`.
        down_blocks: see :class:`UNetPlusPlus`.
        node_blocks: see :class:`UNetPlusPlus`.
        last_blocks: see :class:`UNetPlusPlus`.
        normal_index: index of the class "normal".
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if an argument of :class:`UNetPlusPlus` is out of range, or if ``normal_index`` is not the index of
            one of at least two classes.

    Example:
        >>> import torch
        >>> from acsnet.models import RefinedUNetPlusPlus
        >>> model = RefinedUNetPlusPlus(width=4, depth=2, num_classes=2, normal_index=1).eval()
        >>> output = model(torch.zeros(1, 3, 32, 32))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 32, 32]), torch.Size([1, 2]))
    """

    def __init__(
        self,
        width: int = 16,
        depth: int = 4,
        deep_supervision: bool = True,
        single_channel_classifier: bool = False,
        down_blocks: Sequence[int] | None = None,
        node_blocks: int = 3,
        last_blocks: int = 1,
        normal_index: int = 2,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(
            width,
            depth,
            deep_supervision,
            single_channel_classifier,
            down_blocks,
            node_blocks,
            last_blocks,
            **contract,
        )
        if self.has_mask and self.has_label:
            self.refine = PredictionRefining(normal_index, normal_for_empty_mask=False)
            _check_normal(normal_index, self.num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer of the classifier; see :class:`~acsnet.models.MultiTaskModel`.

        Raises:
            InputError: also if the class "normal" is not one of ``num_classes``.
        """
        if self.has_mask and self.has_label:
            _check_normal(self.refine.normal_index, num_classes)
        super().reset_classifier(num_classes)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        output = super().forward_tasks(images)
        if self.training or output.mask is None or output.label is None:
            return output
        mask, _ = self.refine(output.mask, output.label)
        return MultiTaskOutput(mask, output.label)


@register_model(
    "unetpp_lesion_weighted",
    publication="this project",
    adds="in training, a mask multiplied by the probability of a lesion from the classifier",
    arguments=_ARGUMENTS,
    needs_normal_class=True,
)
class LesionWeightedUNetPlusPlus(RefinedUNetPlusPlus):
    """The refined U-Net++ whose mask is multiplied by the probability of a lesion in training.

    In training, each mask probability is multiplied by 1 - P(normal), so that the segmentation loss also trains the
    classifier. At inference the network equals :class:`RefinedUNetPlusPlus`, whose arguments and errors it has. No
    publication describes it.

    Example:
        >>> import torch
        >>> from acsnet.models import LesionWeightedUNetPlusPlus
        >>> model = LesionWeightedUNetPlusPlus(width=4, depth=2)
        >>> output = model(torch.zeros(2, 3, 32, 32))
        >>> output.mask.shape, output.label.shape
        (torch.Size([2, 1, 32, 32]), torch.Size([2, 3]))
    """

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        output = super().forward_tasks(images)
        if not self.training or output.mask is None or output.label is None:
            return output
        return MultiTaskOutput(
            weigh_by_lesion_probability(output.mask, output.label, self.refine.normal_index), output.label
        )


def _check_normal(normal_index: int, num_classes: int) -> None:
    if normal_index >= num_classes or num_classes < 2:
        raise InputError(
            f'the network needs the class "normal" and at least one other, got num_classes={num_classes} and '
            f"normal_index={normal_index}: set normal_index to the index of the normal class"
        )
