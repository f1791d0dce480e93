"""U-Net++ with a classifier, and the same network with a mask that heeds the classifier.

Zhou, Siddiquee, Tajbakhsh, Liang: "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018.

::

    level 0   X00 ---- X01 ---- X02 ---- X03 ---- X04      X(i,0): the encoder, a pooling a level
    level 1     X10 ---- X11 ---- X12 ---- X13             X(i,j): from X(i,0) ... X(i,j-1), all of its level,
    level 2       X20 ---- X21 ---- X22                            and X(i+1,j-1), upsampled
    level 3         X30 ---- X31                           X(depth,0): the bottleneck, with the classifier
    level 4           X40                                  X(0,1) ... X(0,depth): a mask each

Departures from the publication, which has no classifier: batch normalization after each 3x3 convolution; a classifier
on the bottleneck (global average, a linear layer to half the channels, ReLU, a linear layer to the classes); the mask
is that of X(0,depth) rather than the average over all; any width and depth.
"""

from collections.abc import Sequence

import torch
from torch import nn

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
from acsnet.models._checks import check_depth, check_no_pretrained, check_width
from acsnet.models._registry import TASKS, register_model


class NestedDecoder(nn.Module):
    """All nodes X(i,j) with j above 0.

    Args:
        widths: channels of each level, finest first, the bottleneck's last.
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
        """X(i,0), each (B, widths[i], H/2^i, W/2^i) -> X(0,1) ... X(0,depth), each (B, widths[0], H, W)."""
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
    """The network; see the module.

    Args:
        num_classes: K.
        in_channels: channels of the input.
        encoder_weights: None; the network has no pre-trained weights.
        tasks: which tasks are built.
        width: channels at full size, doubled by each pooling.
        depth: number of poolings, 1 to 5.
        deep_supervision: whether X(0,1) ... X(0,depth-1) have masks too: while training they are the output's ``aux``,
            that of X(0,depth-1) first, and without them the network cannot be pruned.

    Attributes:
        divisor: 2^depth.

    Raises:
        InputError: for a width or depth out of range, or pre-trained weights.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        encoder_weights: str | None = None,
        tasks: Sequence[str] = TASKS,
        width: int = 32,
        depth: int = 4,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels, tasks)
        check_no_pretrained(encoder_weights)
        check_width(width)
        check_depth(depth)
        self.divisor = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = PooledEncoder(in_channels, widths[:-1])
        self.bottleneck = nn.Sequential(nn.MaxPool2d(2), DoubleConvBatchNorm(widths[-2], widths[-1]))
        if "segmentation" in self.tasks:
            self.decoder = NestedDecoder(widths)
            self.seg_head = nn.Conv2d(width, 1, 1)
            self.aux_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(depth - 1) if deep_supervision)
        if "classification" in self.tasks:
            self.cls_head = PooledLinearHead(widths[-1], num_classes, hidden=widths[-1] // 2)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K), ``aux`` of (B, 1, H, W) each."""
        column = self.encoder(images)  # (B, width*2^i, H/2^i, W/2^i)
        column.append(self.bottleneck(column[-1]))  # (B, width*2^depth, H/2^depth, W/2^depth)
        label = self.cls_head(column[-1]) if "classification" in self.tasks else None
        if "segmentation" not in self.tasks:
            return MultiTaskOutput(None, label)
        *coarser, finest = self.decoder(column)  # (B, width, H, W)
        aux: list[torch.Tensor] = []
        if self.training and len(self.aux_heads):
            aux = [head(x) for head, x in zip(self.aux_heads, coarser, strict=True)]
        return MultiTaskOutput(self.seg_head(finest), label, tuple(reversed(aux)))

    def pruned(self, depth: int) -> "UNetPlusPlus":
        """Give the shallower network whose mask is that of X(0,depth) and which has no more nodes than that needs.

        It shares its weights with this one, takes multiples of 2^depth and segments only: the classifier sits on a
        bottleneck that it does not have.

        Raises:
            InputError: for a depth below 1 or above this network's, without the segmentation task, or for a shallower
                depth without deep supervision.
        """
        if "segmentation" not in self.tasks:
            raise InputError(f"a network of tasks {self.tasks} has no mask to prune: build it with segmentation")
        check_depth(depth, self.decoder.depth)
        heads = [*self.aux_heads, self.seg_head]
        levels_less = self.decoder.depth - depth
        if levels_less >= len(heads):
            raise InputError(f"without deep_supervision there is no mask at depth {depth}: build the network with it")
        column = [*self.encoder.levels, self.bottleneck[1]]
        width = self.seg_head.in_channels
        with torch.device("meta"):  # every parameter is replaced by one of this network
            network = UNetPlusPlus(self.num_classes, self.in_channels, None, ("segmentation",), width, depth, False)
        network.encoder.levels = nn.ModuleList(column[:depth])
        network.bottleneck[1] = column[depth]
        network.decoder.nodes = nn.ModuleDict({key: self.decoder.nodes[key] for key in network.decoder.nodes})
        network.seg_head = heads[-1 - levels_less]
        return network.train(self.training)


@register_model(
    "unetpp_refined",
    publication="Zhou et al. 2018, DLMIA; last block of the multi-task study on curated BUSI",
    adds="a mask multiplied by what the classifier says",
)
class RefinedUNetPlusPlus(UNetPlusPlus):
    """U-Net++ whose last block multiplies the mask with what the classifier says.

    While training, each mask probability is multiplied by 1 - P(normal), so that the segmentation loss teaches the
    classifier too; ``aux`` is left as it is. At inference, the mask of an image classified as normal is black all over
    (logit :data:`acsnet.layers.prediction_refinement.BLACK`), and every other mask stays as it is.

    Args:
        num_classes, in_channels, encoder_weights, width, depth, deep_supervision: as of :class:`UNetPlusPlus`.
        tasks: which tasks are built; with one alone there is nothing to join, and the network is plain U-Net++.
        normal_index: which class is "normal".

    Raises:
        InputError: as :class:`UNetPlusPlus`, and for an index that is no class beside others.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        encoder_weights: str | None = None,
        tasks: Sequence[str] = TASKS,
        width: int = 32,
        depth: int = 4,
        deep_supervision: bool = True,
        normal_index: int = 2,
    ) -> None:
        super().__init__(num_classes, in_channels, encoder_weights, tasks, width, depth, deep_supervision)
        if set(self.tasks) == set(TASKS):
            self.refine = PredictionRefining(normal_index, normal_for_empty_mask=False)
            _check_normal(normal_index, num_classes)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W) -> mask logits (B, 1, H, W), class logits (B, K), ``aux`` of (B, 1, H, W) each."""
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
            f'unetpp_refined needs a "normal" class beside others, got num_classes={num_classes} and '
            f"normal_index={normal_index}: name the index of the normal class by normal_index"
        )
