"""Building blocks that the networks share, each usable in other code."""

from acsnet.layers.attention import ChannelAttention, DeformableSpatialAttention
from acsnet.layers.blocks import (
    ConvNormAct,
    DeferredInputConvNormAct,
    DoubleConv,
    DoubleConvBatchNorm,
    PooledEncoder,
    UpsampleMerge,
)
from acsnet.layers.encoder import Encoder
from acsnet.layers.gate import GateUnit
from acsnet.layers.heads import GlobalAverage, MultiScaleAttentionHead, PooledLinearHead
from acsnet.layers.instance_norm import InstanceNorm2d
from acsnet.layers.lean import Checkpointed, Deferred, DeferredSequential, PerImage, checkpointed
from acsnet.layers.prediction_refinement import PredictionRefining, weigh_by_lesion_probability
from acsnet.layers.upsample import UpsampleConv2d, upsample_twice

__all__ = [
    "ChannelAttention",
    "Checkpointed",
    "ConvNormAct",
    "Deferred",
    "DeferredInputConvNormAct",
    "DeferredSequential",
    "DeformableSpatialAttention",
    "DoubleConv",
    "DoubleConvBatchNorm",
    "Encoder",
    "GateUnit",
    "GlobalAverage",
    "InstanceNorm2d",
    "MultiScaleAttentionHead",
    "PerImage",
    "PooledEncoder",
    "PooledLinearHead",
    "PredictionRefining",
    "UpsampleConv2d",
    "UpsampleMerge",
    "checkpointed",
    "upsample_twice",
    "weigh_by_lesion_probability",
]
