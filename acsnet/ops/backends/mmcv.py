"""Backend ``mmcv``: OpenMMLab's compiled operator, in float32 (float64 for float64 input) also under autocast.

mmcv orders offset and mask channels as torchvision does. Its plain operator does not support a bias and requires a
batch size that is a multiple of a step. Therefore the modulated operator is used for both, with a mask of ones if there
is no mask. The gradients are those of its autograd function, called without autograd.
"""

import functools
import importlib

import torch
from torch import Tensor

from acsnet.ops.backends.base import Backend, DeformConvCall, Gradients, Needs, promote_to_float32


@functools.cache
def _is_available() -> bool:
    try:
        importlib.import_module("mmcv.ops")  # fails if mmcv is missing or was built without its operators
    except Exception:  # a build against another torch fails to load with an OSError, an ImportError or a RuntimeError
        return False
    return True


class _Context:
    """A substitute for the context of autograd, because mmcv's function is called without autograd."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Store tensors for the backward pass."""
        self.saved_tensors = tensors


def _run_modulated(context: _Context, call: DeformConvCall) -> Tensor:
    from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction

    mask = call.mask
    if mask is None:
        batch, offset_channels, height, width = call.offset.shape
        mask = call.offset.new_ones(batch, offset_channels // 2, height, width)
    # Its kernels ignore strides: tensors that are not contiguous give wrong results without an error.
    return ModulatedDeformConv2dFunction.forward(
        context,
        call.input.contiguous(),
        call.offset.contiguous(),
        mask.contiguous(),
        call.weight.contiguous(),
        call.bias,
        call.stride,
        call.padding,
        call.dilation,
        call.groups,
        call.offset_groups,
    )


def _run(call: DeformConvCall) -> Tensor:
    full = promote_to_float32(call)
    if len(full.input) == 0:  # mmcv raises for an empty batch
        return call.input.new_empty((0, len(call.weight), *call.offset.shape[2:]), dtype=call.dtype)
    return _run_modulated(_Context(), full).to(call.dtype)


def _gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction

    full = promote_to_float32(call)
    if len(full.input) == 0:
        return Gradients(*(None if tensor is None else torch.zeros_like(tensor) for tensor in full[:5]))
    context = _Context()
    _run_modulated(context, full)
    results = ModulatedDeformConv2dFunction.backward(context, grad.to(full.dtype).contiguous())
    by_input, by_offset, by_mask, by_weight, by_bias = results[:5]
    return Gradients(by_input, by_offset, by_weight, by_bias, by_mask)


BACKEND = Backend(
    name="mmcv",
    run=_run,
    gradients=_gradients,
    is_available=_is_available,
    priority={"cpu": 0, "cuda": 20},
    install_hint=(
        "pip install 'setuptools<81' wheel ninja psutil, then "
        "MMCV_WITH_OPS=1 pip install --no-build-isolation --no-binary mmcv mmcv==2.2.0 (compiles for over ten minutes; "
        "torch 2.15 requires C++20 but mmcv sets -std=c++17: compile with a CXX that replaces it)"
    ),
    keeps_channels_last=False,
    deterministic_on=frozenset({"cpu"}),  # its CUDA kernels sum the gradient of the input by atomics
)
