"""Backend ``mmcv``: OpenMMLab's compiled operator, in float32 (float64 for float64 input) also under autocast.

mmcv orders offset and mask channels as torchvision does. Its plain operator takes no bias and wants the batch to be a
multiple of a step, therefore the modulated one runs for both, with a mask of ones where there is none.
"""

import functools
import importlib

import torch
from torch import Tensor
from torch.nn import functional

from acsnet.ops.backends.base import Backend, DeformConvCall, promote_to_float32


@functools.cache
def _is_available() -> bool:
    try:
        importlib.import_module("mmcv.ops")  # fails where mmcv is missing and where it was built without its operators
    except Exception:  # a build against another torch fails to load with an OSError, an ImportError or a RuntimeError
        return False
    return True


def _empty_batch(call: DeformConvCall) -> Tensor:
    """Give the result for a batch of none, which mmcv refuses, still joined to every tensor that wants a gradient."""
    output = functional.conv2d(
        call.input, call.weight, call.bias, call.stride, call.padding, call.dilation, call.groups
    )
    output = output + call.offset.sum()
    return output if call.mask is None else output + call.mask.sum()


def _run_modulated(call: DeformConvCall) -> Tensor:
    from mmcv.ops import modulated_deform_conv2d

    mask = call.mask
    if mask is None:
        batch, offset_channels, height, width = call.offset.shape
        mask = call.offset.new_ones(batch, offset_channels // 2, height, width)
    # Its kernels index raw memory: other strides than the contiguous ones give wrong results without an error.
    return modulated_deform_conv2d(
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
    with torch.autocast(call.input.device.type, enabled=False):
        full = promote_to_float32(call)
        output = _empty_batch(full) if full.input.shape[0] == 0 else _run_modulated(full)
    return output.to(call.dtype)


BACKEND = Backend(
    name="mmcv",
    run=_run,
    is_available=_is_available,
    priority={"cpu": 0, "cuda": 20},
    install_hint=(
        "pip install 'setuptools<81' wheel ninja psutil, then "
        "MMCV_WITH_OPS=1 pip install --no-build-isolation --no-binary mmcv mmcv==2.2.0 (compiles for over ten minutes; "
        "torch 2.15 wants C++20 and mmcv asks for -std=c++17: compile with a CXX that replaces it)"
    ),
    deterministic_on=frozenset({"cpu"}),  # its CUDA kernels add up the gradient of the input by atomics
)
