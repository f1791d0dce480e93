"""Classification heads."""

from collections.abc import Sequence

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.layers.attention import ChannelAttention
from acsnet.layers.upsample import upsample_twice


class GlobalAverage(nn.Module):
    """Global average pooling of one or several maps, concatenated: each (B, C_i, H_i, W_i) -> (B, sum of all C_i).

    Every classifier of the zoo pools its maps with this module only, so that other code, such as
    :func:`acsnet.inference.class_activation`, can find these maps in every network.
    """

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Pool the maps: each (B, C_i, H_i, W_i) -> (B, sum of all C_i)."""
        # The average of a concatenation is the concatenation of the averages.
        return torch.cat([x.mean(dim=(2, 3)) for x in maps], dim=1)


class MultiScaleAttentionHead(nn.Module):
    """The classifier of ACSNet: channel attention on three maps of two scales, global average, two linear layers.

    Source: He et al. 2024 (multi-scale channel-attention classifier).

    Args:
        fine_channels: C1, channels of the encoder map at stride 16.
        coarse_channels: C2, channels of the encoder map at stride 32.
        decoder_channels: C3, channels of the decoder map at stride 16.
        num_classes: K.
    """

    def __init__(self, fine_channels: int, coarse_channels: int, decoder_channels: int, num_classes: int) -> None:
        super().__init__()
        self.fine = ChannelAttention(fine_channels)
        self.coarse = ChannelAttention(coarse_channels)
        self.decoder = ChannelAttention(decoder_channels)
        self.pool = GlobalAverage()
        total = fine_channels + coarse_channels + decoder_channels
        self.classify = nn.Sequential(
            nn.Linear(total, total // 2), nn.ReLU(inplace=True), nn.Linear(total // 2, num_classes)
        )

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
        """Classify (B, C1, H, W), (B, C2, H/2, W/2) and (B, C3, H, W) -> class logits (B, K)."""
        return self.classify(self.pool(self.fine(fine), upsample_twice(self.coarse(coarse)), self.decoder(decoder)))


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
        self.classify = nn.Sequential(_dropout(dropout), nn.Linear(features, num_classes))

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

    Raises:
        InputError: if ``dropout`` is out of range.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.0, hidden: int | None = None) -> None:
        super().__init__()
        self.pool = GlobalAverage()
        # Present even if dropout is 0, so that the names of the weights do not depend on it.
        layers: list[nn.Module] = [_dropout(dropout)]
        if hidden is not None:
            layers += [nn.Linear(channels, hidden), nn.ReLU(inplace=True)]
        self.classify = nn.Sequential(*layers, nn.Linear(channels if hidden is None else hidden, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify (B, C, H, W) -> class logits (B, K)."""
        return self.classify(self.pool(x))


class PooledMapsHead(nn.Module):
    """A classifier on several maps: global averages, concatenated, a hidden linear layer with ReLU, a linear layer.

    Source: the multi-task study on curated BUSI (code: EEE402_Project). Its diagram averages all channels of each map;
    its code first reduces each map to one channel by a 3x3 convolution and ReLU, so that one number per map is left.

    Args:
        channels: channels of each map.
        num_classes: K.
        hidden: features of the hidden linear layer.
        single_channel: whether each map is first reduced to one channel.

    Example:
        >>> import torch
        >>> from acsnet.layers import PooledMapsHead
        >>> head = PooledMapsHead((8, 16), num_classes=3)
        >>> head(torch.zeros(2, 8, 6, 6), torch.zeros(2, 16, 3, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, hidden: int = 32, single_channel: bool = False
    ) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 1, 3, padding=1), nn.ReLU(inplace=True)) if single_channel else nn.Identity()
            for width in channels
        )
        self.pool = GlobalAverage()
        pooled = len(channels) if single_channel else sum(channels)
        self.classify = nn.Sequential(nn.Linear(pooled, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, num_classes))

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Classify maps of (B, channels[i], H_i, W_i) -> class logits (B, K)."""
        return self.classify(self.pool(*(reduce(x) for reduce, x in zip(self.reduce, maps, strict=True))))


def _dropout(rate: float) -> nn.Dropout:
    if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise InputError(f"dropout is {rate!r}: it has to be a number of at least 0 and below 1")
    return nn.Dropout(rate)
