"""Classification heads."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.layers.attention import ChannelAttention
from acsnet.layers.upsample import upsample_twice

# Weight of a position without any lesion; that of a certain lesion is 1 more.
BACKGROUND_WEIGHT = 1e-3


class GlobalAverage(nn.Module):
    """Global average pooling of one or several maps, concatenated: each (B, C_i, H_i, W_i) -> (B, sum of all C_i).

    Every classifier of the zoo pools its maps with this module or its subclass only, so that other code, such as
    :func:`acsnet.inference.class_activation`, can find these maps in every network: they are the positional arguments.

    Attributes:
        averages: number of averages of each channel.
    """

    averages = 1

    def forward(self, *maps: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Pool the maps: each (B, C_i, H_i, W_i) -> (B, sum of all C_i); the mask is for the subclass."""
        # The average of a concatenation is the concatenation of the averages.
        return torch.cat([x.mean(dim=(2, 3)) for x in maps], dim=1)


class MaskWeightedAverage(GlobalAverage):
    """Global averages of several maps, followed by their averages weighted by the predicted mask.

    The weight of a position is its mean lesion probability plus ``BACKGROUND_WEIGHT``, 0.001. A lesion that covers a
    hundredth of the image thus has 91 % of the weight. As all probabilities approach 0, the weighted average
    approaches the global one, without a threshold between them.

    The weighted average is the masked average pooling of Zhang et al. (2020, "SG-One: Similarity Guidance Network for
    One-Shot Semantic Segmentation", IEEE Trans. Cybernetics 50(9), 3855-3865), with probabilities in place of a given
    mask. The global average stays, since signs of malignancy also lie outside the outline, such as the shadow behind a
    lesion, and a normal image has no lesion.

    By default the class loss has no gradient into the mask: otherwise it would move the mask to wherever the class is
    easiest to tell, against the segmentation loss.

    Args:
        strides: size of the mask divided by the size of each map.
        mask_gradient: whether the gradient passes into the mask.

    Example:
        >>> import torch
        >>> from acsnet.layers import MaskWeightedAverage
        >>> features = torch.tensor([[[[1.0, 2.0, 6.0]]]])
        >>> mask = torch.tensor([[[[-99.0, -99.0, 99.0]]]])
        >>> pool = MaskWeightedAverage(strides=[1])
        >>> [[round(value, 2) for value in image] for image in pool(features, mask=mask).tolist()]
        [[3.0, 5.99]]
        >>> pool(features, mask=torch.full((1, 1, 1, 3), -99.0)).tolist()
        [[3.0, 3.0]]
    """

    averages = 2

    def __init__(self, strides: Sequence[int], mask_gradient: bool = False) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.mask_gradient = mask_gradient

    def forward(self, *maps: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Pool the maps, each (B, C_i, H/strides[i], W/strides[i]), by mask logits (B, 1, H, W) -> (B, 2 * sum of C_i).

        Raises:
            InputError: if the mask is missing.
        """
        if mask is None:
            raise InputError("MaskWeightedAverage needs the mask: pass its logits (B, 1, H, W) as mask=...")
        probability = (mask if self.mask_gradient else mask.detach()).sigmoid()
        weighted = [
            _weighted_average(x, BACKGROUND_WEIGHT + functional.avg_pool2d(probability, stride))
            for x, stride in zip(maps, self.strides, strict=True)
        ]
        return torch.cat([super().forward(*maps), *weighted], dim=1)


def _weighted_average(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Average (B, C, H, W) with weights (B, 1, H, W) -> (B, C)."""
    shares = weights / weights.sum(dim=(2, 3), keepdim=True)
    return (x * shares).sum(dim=(2, 3)).to(x.dtype)


class NoClassLayer(nn.Identity):
    """Stands in place of the last linear layer of a classifier without classes: its features (B, D) are the output.

    Args:
        in_features: D.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.in_features = in_features


def class_layer(features: int, num_classes: int) -> nn.Module:
    """Return the last layer of a classifier: a linear layer, or for 0 classes one that returns the features unchanged.

    Every classifier of the zoo ends with it, so that :meth:`acsnet.MultiTaskModel.reset_classifier` can replace it.

    Example:
        >>> class_layer(32, 3), class_layer(32, 0)
        (Linear(in_features=32, out_features=3, bias=True), NoClassLayer())
    """
    return nn.Linear(features, num_classes) if num_classes else NoClassLayer(features)


class MultiScaleAttentionHead(nn.Module):
    """The classifier of ACSNet: channel attention on three maps of two scales, global average, two linear layers.

    Source: He et al. 2024 (multi-scale channel-attention classifier).

    Args:
        fine_channels: C1, channels of the encoder map at stride 16.
        coarse_channels: C2, channels of the encoder map at stride 32.
        decoder_channels: C3, channels of the decoder map at stride 16.
        num_classes: K.
        pool: pooling of the three maps, of size H x W each; by default their global averages.
    """

    def __init__(
        self,
        fine_channels: int,
        coarse_channels: int,
        decoder_channels: int,
        num_classes: int,
        pool: GlobalAverage | None = None,
    ) -> None:
        super().__init__()
        self.fine = ChannelAttention(fine_channels)
        self.coarse = ChannelAttention(coarse_channels)
        self.decoder = ChannelAttention(decoder_channels)
        self.pool = pool or GlobalAverage()
        total = fine_channels + coarse_channels + decoder_channels
        self.classify = nn.Sequential(
            nn.Linear(self.pool.averages * total, total // 2),
            nn.ReLU(inplace=True),
            class_layer(total // 2, num_classes),
        )

    def forward(
        self, fine: torch.Tensor, coarse: torch.Tensor, decoder: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Classify (B, C1, H, W), (B, C2, H/2, W/2), (B, C3, H, W) -> class logits (B, K); mask logits for ``pool``."""
        maps = (self.fine(fine), upsample_twice(self.coarse(coarse)), self.decoder(decoder))
        return self.classify(self.pool(*maps, mask=mask))


class LinearHead(nn.Module):
    """The last layer of a classification network: dropout, a linear layer.

    Args:
        features: D, length of the vector of an image.
        num_classes: K.
        dropout: probability of dropping a value in training, at least 0 and below 1.

    Raises:
        InputError: if ``dropout`` is out of range.
    """

    def __init__(self, features: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.classify = nn.Sequential(_dropout(dropout), class_layer(features, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify (B, D) -> class logits (B, K)."""
        return self.classify(x)


class PooledLinearHead(nn.Module):
    """The common classifier: global average pooling, dropout, an optional hidden layer, a linear layer.

    Args:
        channels: C, channels of the map.
        num_classes: K.
        dropout: probability of dropping a pooled channel in training, at least 0 and below 1.
        hidden: features of the hidden linear layer with ReLU; None for no hidden layer.
        pool: pooling of the map; by default its global average.

    Raises:
        InputError: if ``dropout`` is out of range.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        dropout: float = 0.0,
        hidden: int | None = None,
        pool: GlobalAverage | None = None,
    ) -> None:
        super().__init__()
        self.pool = pool or GlobalAverage()
        features = self.pool.averages * channels
        # Present even if dropout is 0, so that the names of the weights do not depend on it.
        layers: list[nn.Module] = [_dropout(dropout)]
        if hidden is not None:
            layers += [nn.Linear(features, hidden), nn.ReLU(inplace=True)]
        self.classify = nn.Sequential(*layers, class_layer(features if hidden is None else hidden, num_classes))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Classify (B, C, H, W) -> class logits (B, K); mask logits for ``pool``."""
        return self.classify(self.pool(x, mask=mask))


class PooledMapsHead(nn.Module):
    """A classifier on several maps: global averages, concatenated, a hidden linear layer with ReLU, a linear layer.

    Source: the multi-task study on curated BUSI (code: EEE402_Project). Its diagram averages all channels of each map;
    its code first reduces each map to one channel by a 3x3 convolution and ReLU, so that one number per map is left.

    Args:
        channels: channels of each map.
        num_classes: K.
        hidden: features of the hidden linear layer.
        single_channel: whether each map is first reduced to one channel.
        pool: pooling of the maps; by default their global averages.

    Example:
        >>> import torch
        >>> from acsnet.layers import PooledMapsHead
        >>> head = PooledMapsHead((8, 16), num_classes=3)
        >>> head(torch.zeros(2, 8, 6, 6), torch.zeros(2, 16, 3, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        hidden: int = 32,
        single_channel: bool = False,
        pool: GlobalAverage | None = None,
    ) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 1, 3, padding=1), nn.ReLU(inplace=True)) if single_channel else nn.Identity()
            for width in channels
        )
        self.pool = pool or GlobalAverage()
        pooled = self.pool.averages * (len(channels) if single_channel else sum(channels))
        self.classify = nn.Sequential(
            nn.Linear(pooled, hidden), nn.ReLU(inplace=True), class_layer(hidden, num_classes)
        )

    def forward(self, *maps: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Classify maps of (B, channels[i], H_i, W_i) -> class logits (B, K); mask logits for ``pool``."""
        reduced = [reduce(x) for reduce, x in zip(self.reduce, maps, strict=True)]
        return self.classify(self.pool(*reduced, mask=mask))


def _dropout(rate: float) -> nn.Dropout:
    if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise InputError(f"dropout is {rate!r}: it has to be a number of at least 0 and below 1")
    return nn.Dropout(rate)
