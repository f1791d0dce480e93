"""Operators: deformable convolution as one function with several backends, and as layers."""

import acsnet.ops.operator  # noqa: F401 (registers the operator that deform_conv2d calls)
from acsnet.ops.deform_conv import deform_conv2d, list_backends
from acsnet.ops.modules import DeformConv2d, DeformConv2dPack, ModulatedDeformConv2dPack

__all__ = ["DeformConv2d", "DeformConv2dPack", "ModulatedDeformConv2dPack", "deform_conv2d", "list_backends"]
