"""Building blocks that the networks share, each usable in other code."""

from acsnet.layers.attention import ChannelAttention, DeformableSpatialAttention
from acsnet.layers.blocks import (
    ConvBatchNormAct,
    ConvBlocks,
    ConvNormAct,
    DeferredInputConvNormAct,
    DoubleConv,
    NearestUpsampleMerge,
    PooledEncoder,
    UpsampleMerge,
)
from acsnet.layers.encoder import Encoder
from acsnet.layers.gate import GateUnit, SkipGate
from acsnet.layers.heads import GlobalAverage, MultiScaleAttentionHead, PooledLinearHead, PooledMapsHead
from acsnet.layers.instance_norm import InstanceNorm2d
from acsnet.layers.lean import Checkpointed, Deferred, DeferredSequential, PerImage, checkpointed
from acsnet.layers.prediction_refinement import PredictionRefining, weigh_by_lesion_probability
from acsnet.layers.upsample import UpsampleConv2d, upsample_twice

__all__ = [
    "ChannelAttention",
    "Checkpointed",
    "ConvBatchNormAct",
    "ConvBlocks",
    "ConvNormAct",
    "Deferred",
    "DeferredInputConvNormAct",
    "DeferredSequential",
    "DeformableSpatialAttention",
    "DoubleConv",
    "Encoder",
    "GateUnit",
    "GlobalAverage",
    "InstanceNorm2d",
    "MultiScaleAttentionHead",
    "NearestUpsampleMerge",
    "PerImage",
    "PooledEncoder",
    "PooledLinearHead",
    "PooledMapsHead",
    "PredictionRefining",
    "SkipGate",
    "UpsampleConv2d",
    "UpsampleMerge",
    "checkpointed",
    "upsample_twice",
    "weigh_by_lesion_probability",
]
