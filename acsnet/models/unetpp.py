"""U-Net++ with a classifier, and the same network with its mask gated by the classifier.

Zhou, Siddiquee, Tajbakhsh, Liang: "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018.

::

    level 0   X00 ---- X01 ---- X02 ---- X03 ---- X04      X(i,0): encoder, a pooling between two levels
    level 1     X10 ---- X11 ---- X12 ---- X13             X(i,j): merges X(i,0) ... X(i,j-1), all of its level,
    level 2       X20 ---- X21 ---- X22                            and X(i+1,j-1), upsampled
    level 3         X30 ---- X31                           X(depth,0): bottleneck, input of the classifier
    level 4           X40                                  X(0,1) ... X(0,depth): a mask each

Differences from the publication, which has no classifier: batch normalization after each 3x3 convolution; a classifier
on the bottleneck (global average, a linear layer to half the channels, ReLU, a linear layer to the classes); the mask
is that of X(0,depth), not the average of all masks; any width and depth.
"""

from collections.abc import Sequence

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet.errors import InputError
from acsnet.layers import (
    DoubleConvBatchNorm,
    PooledEncoder,
    PooledLinearHead,
    PredictionRefining,
    UpsampleMerge,
    weigh_by_lesion_probability,
)
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract, check_count
from acsnet.models._registry import register_model


class NestedDecoder(nn.Module):
    """All nodes X(i,j) with j above 0.

    Args:
        widths: channels of each level, finest first; the last ones are those of the bottleneck.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.depth = len(widths) - 1
        self.nodes = nn.ModuleDict(
            {
                f"{i}_{j}": UpsampleMerge(widths[i + 1], widths[i], skips=j)
                for j in range(1, self.depth + 1)
                for i in range(self.depth + 1 - j)
            }
        )

    def forward(self, column: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Map X(i,0), each (B, widths[i], H/2^i, W/2^i), to X(0,1) ... X(0,depth), each (B, widths[0], H, W)."""
        rows = [[x] for x in column]
        for j in range(1, self.depth + 1):
            for i in range(self.depth + 1 - j):
                rows[i].append(self.nodes[f"{i}_{j}"](rows[i + 1][j - 1], *rows[i]))  # (B, widths[i], H/2^i, W/2^i)
        return rows[0][1:]


@register_model(
    "unetpp",
    publication="Zhou et al. 2018, DLMIA; with a classifier, Aumente-Maestro et al. 2025",
    adds="nested dense skips, deep supervision, pruning",
    input_size=(128, 128),
)
class UNetPlusPlus(MultiTaskModel):
    """U-Net++ with a classifier; see the module.

    Args:
        width: channels at full size; each pooling doubles them.
        depth: number of poolings, 1 to 5.
        deep_supervision: whether X(0,1) ... X(0,depth-1) have masks, too. In training they are the field ``aux`` of
            the output, X(0,depth-1) first. Without them the network cannot be pruned.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Attributes:
        divisor: 2^depth.

    Raises:
        InputError: if the width or the depth is out of range.

    Example:
        >>> import torch
        >>> from acsnet.models import UNetPlusPlus
        >>> model = UNetPlusPlus(width=4, depth=3)
        >>> output = model(torch.zeros(2, 3, 32, 48))
        >>> output.mask.shape, output.label.shape, len(output.aux)
        (torch.Size([2, 1, 32, 48]), torch.Size([2, 3]), 2)
    """

    def __init__(
        self, width: int = 32, depth: int = 4, deep_supervision: bool = True, **contract: Unpack[Contract]
    ) -> None:
        super().__init__(**contract)
        check_count("width", width)
        check_count("depth", depth, most=5)
        self.divisor = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = PooledEncoder(self.in_channels, widths[:-1])
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), DoubleConvBatchNorm(widths[-2], widths[-1]))
        if self.has_mask:
            self.decoder = NestedDecoder(widths)
            self.seg_head = nn.Conv2d(width, 1, 1)
            self.aux_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(depth - 1) if deep_supervision)
        if self.has_label:
            self.cls_head = PooledLinearHead(widths[-1], self.num_classes, hidden=widths[-1] // 2)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images to mask logits (B, 1, H, W), class logits (B, K) and ``aux``, each (B, 1, H, W)."""
        column = self.encoder(images)  # (B, width*2^i, H/2^i, W/2^i)
        column.append(self.bottleneck(column[-1]))  # (B, width*2^depth, H/2^depth, W/2^depth)
        label = self.cls_head(column[-1]) if self.has_label else None  # (B, K)
        if not self.has_mask:
            return MultiTaskOutput(None, label)
        *coarser, finest = self.decoder(column)  # (B, width, H, W)
        aux: list[torch.Tensor] = []
        if self.training and len(self.aux_heads):
            aux = [head(x) for head, x in zip(self.aux_heads, coarser, strict=True)]
        return MultiTaskOutput(self.seg_head(finest), label, tuple(reversed(aux)))

    def pruned(self, depth: int) -> "UNetPlusPlus":
        """Return the smaller network that computes only the mask of X(0,depth).

        It shares its weights with this network and its ``divisor`` is 2^depth. It has no classifier, since that needs
        the bottleneck, which the smaller network does not have.

        Raises:
            InputError: if the depth is below 1 or above that of this network, if there is no segmentation task, or if
                the depth is smaller and the network was built without deep supervision.

        Example:
            >>> from acsnet.models import UNetPlusPlus
            >>> model = UNetPlusPlus(width=4, depth=3)
            >>> model.divisor, model.pruned(1).divisor
            (8, 2)
        """
        if not self.has_mask:
            raise InputError(
                f"a network with the tasks {self.tasks} has no mask to prune: build it with the task segmentation"
            )
        check_count("depth", depth, most=self.decoder.depth)
        heads = [*self.aux_heads, self.seg_head]
        removed_levels = self.decoder.depth - depth
        if removed_levels >= len(heads):
            raise InputError(
                f"there is no mask at depth {depth} without deep supervision: build the network with "
                "deep_supervision=True"
            )
        column = [*self.encoder.levels, self.bottleneck[1]]
        width = self.seg_head.in_channels
        with torch.device("meta"):  # all parameters are replaced by those of this network
            contract = Contract(num_classes=self.num_classes, in_channels=self.in_channels, tasks=("segmentation",))
            network = UNetPlusPlus(width, depth, deep_supervision=False, **contract)
        network.encoder.levels = nn.ModuleList(column[:depth])
        network.bottleneck[1] = column[depth]
        network.decoder.nodes = nn.ModuleDict({key: self.decoder.nodes[key] for key in network.decoder.nodes})
        network.seg_head = heads[-1 - removed_levels]
        return network.train(self.training)


@register_model(
    "unetpp_refined",
    publication="Zhou et al. 2018, DLMIA; last block of the multi-task study on curated BUSI",
    adds="a mask multiplied by the probability of a lesion from the classifier",
    needs_normal_class=True,
)
class RefinedUNetPlusPlus(UNetPlusPlus):
    """U-Net++ whose last block multiplies the mask by the classifier's probability of a lesion.

    In training, each mask probability is multiplied by 1 - P(normal), so that the segmentation loss also trains the
    classifier; ``aux`` does not change. At inference, the mask of an image that is classified as normal is empty (logit
    :data:`acsnet.layers.prediction_refinement.BLACK`); all other masks do not change. With a single task the network is
    :class:`UNetPlusPlus`.

    Args:
        width: see :class:`UNetPlusPlus`.
        depth: see :class:`UNetPlusPlus`.
        deep_supervision: see :class:`UNetPlusPlus`.
        normal_index: index of the class "normal".
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`.

    Raises:
        InputError: if the width or the depth is out of range, or if ``normal_index`` is not the index of one of at
            least two classes.

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
        width: int = 32,
        depth: int = 4,
        deep_supervision: bool = True,
        normal_index: int = 2,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(width, depth, deep_supervision, **contract)
        if self.has_mask and self.has_label:
            self.refine = PredictionRefining(normal_index, normal_for_empty_mask=False)
            _check_normal(normal_index, self.num_classes)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images to mask logits (B, 1, H, W), class logits (B, K) and ``aux``, each (B, 1, H, W)."""
        mask, label, aux = super().forward_tasks(images)
        if mask is None or label is None:
            return MultiTaskOutput(mask, label, aux)
        if self.training:
            mask = weigh_by_lesion_probability(mask, label, self.refine.normal_index)
        else:
            mask, _ = self.refine(mask, label)
        return MultiTaskOutput(mask, label, aux)


def _check_normal(normal_index: int, num_classes: int) -> None:
    if normal_index >= num_classes or num_classes < 2:
        raise InputError(
            f'unetpp_refined needs the class "normal" and at least one other, got num_classes={num_classes} and '
            f"normal_index={normal_index}: set normal_index to the index of the normal class"
        )
