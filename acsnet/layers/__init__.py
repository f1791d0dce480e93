"""Building blocks that the networks share, each usable in other code."""

from acsnet.layers.attention import ChannelAttention, DeformableSpatialAttention
from acsnet.layers.blocks import ConvNormAct, DoubleConv, upsample_twice
from acsnet.layers.encoder import Encoder
from acsnet.layers.gate import GateUnit
from acsnet.layers.heads import MultiScaleAttentionHead

__all__ = [
    "ChannelAttention",
    "ConvNormAct",
    "DeformableSpatialAttention",
    "DoubleConv",
    "Encoder",
    "GateUnit",
    "MultiScaleAttentionHead",
    "upsample_twice",
]
