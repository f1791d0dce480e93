"""Operators: deformable convolution as one function with several backends, and as layers."""

import acsnet.ops.operator  # noqa: F401 (registers the operator that deform_conv2d calls)
from acsnet.ops.deform_conv import deform_conv2d, list_backends, register_backend
from acsnet.ops.modules import DeformConv2d, ModulatedDeformConv2d

__all__ = ["DeformConv2d", "ModulatedDeformConv2d", "deform_conv2d", "list_backends", "register_backend"]
