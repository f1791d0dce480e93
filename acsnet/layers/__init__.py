"""Building blocks that the networks share, each usable in other code."""

from acsnet.layers.attention import CBAM, ChannelAttention, DeformableSpatialAttention
from acsnet.layers.blocks import (
    ConvBatchNormAct,
    ConvBlocks,
    ConvNormAct,
    DeferredInputConvNormAct,
    DoubleConv,
    NearestUpsampleMerge,
    PooledEncoder,
)
from acsnet.layers.encoder import Encoder, is_efficientnet, pretrained_weights
from acsnet.layers.encoder_weights import PretrainedWeights
from acsnet.layers.gate import GateUnit, SkipGate
from acsnet.layers.heads import (
    GlobalAverage,
    LinearHead,
    MaskWeightedAverage,
    MultiScaleAttentionHead,
    NoClassLayer,
    PooledLinearHead,
    PooledMapsHead,
    class_layer,
)
from acsnet.layers.instance_norm import InstanceNorm2d
from acsnet.layers.lean import Checkpointed, Deferred, DeferredSequential, PerImage, checkpointed
from acsnet.layers.pooled_features import PooledFeatures
from acsnet.layers.prediction_refinement import PredictionRefining, weigh_by_lesion_probability
from acsnet.layers.pyramid import PyramidPooling
from acsnet.layers.upsample import UpsampleConv2d, upsample_twice

__all__ = [
    "CBAM",
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
    "LinearHead",
    "MaskWeightedAverage",
    "MultiScaleAttentionHead",
    "NearestUpsampleMerge",
    "NoClassLayer",
    "PerImage",
    "PooledEncoder",
    "PooledFeatures",
    "PooledLinearHead",
    "PooledMapsHead",
    "PredictionRefining",
    "PretrainedWeights",
    "PyramidPooling",
    "SkipGate",
    "UpsampleConv2d",
    "checkpointed",
    "class_layer",
    "is_efficientnet",
    "pretrained_weights",
    "upsample_twice",
    "weigh_by_lesion_probability",
]
