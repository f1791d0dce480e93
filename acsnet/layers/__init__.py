"""Building blocks that the networks share, each usable in other code."""

from acsnet.layers.attention import ChannelAttention, DeformableSpatialAttention
from acsnet.layers.blocks import (
    ConvNormAct,
    DoubleConv,
    DoubleConvBatchNorm,
    PooledEncoder,
    Recomputed,
    UpsampleMerge,
    recompute,
)
from acsnet.layers.encoder import Encoder
from acsnet.layers.gate import GateUnit
from acsnet.layers.heads import GlobalAverage, MultiScaleAttentionHead, PooledLinearHead
from acsnet.layers.instance_norm import InstanceNorm2d
from acsnet.layers.prediction_refinement import PredictionRefining, weigh_by_lesion_probability
from acsnet.layers.upsample import UpsampleConv2d, one_at_a_time, upsample_twice

__all__ = [
    "ChannelAttention",
    "ConvNormAct",
    "DeformableSpatialAttention",
    "DoubleConv",
    "DoubleConvBatchNorm",
    "Encoder",
    "GateUnit",
    "GlobalAverage",
    "InstanceNorm2d",
    "MultiScaleAttentionHead",
    "PooledEncoder",
    "PooledLinearHead",
    "PredictionRefining",
    "Recomputed",
    "UpsampleConv2d",
    "UpsampleMerge",
    "one_at_a_time",
    "recompute",
    "upsample_twice",
    "weigh_by_lesion_probability",
]
