"""Backend ``torchvision``: its compiled operator, in float32 (float64 for float64 input) also under autocast.

On the CPU it builds its columns on one core and keeps none for the backward pass; see ``pytorch.py`` for a faster way.
"""

import importlib.util

import torch
from torch import Tensor

from acsnet.ops.backends.base import Backend, DeformConvCall, promote_to_float32


def _is_available() -> bool:
    return importlib.util.find_spec("torchvision") is not None


def _run(call: DeformConvCall) -> Tensor:
    from torchvision.ops import deform_conv2d  # half a second to import, and seldom needed on the CPU

    with torch.autocast(call.input.device.type, enabled=False):
        full = promote_to_float32(call)
        output = deform_conv2d(
            full.input, full.offset, full.weight, full.bias, full.stride, full.padding, full.dilation, full.mask
        )
    return output.to(call.dtype)


BACKEND = Backend(
    name="torchvision",
    run=_run,
    is_available=_is_available,
    priority={"cpu": 10, "cuda": 30},
    install_hint="pip install torchvision",
    deterministic_on=frozenset({"cpu"}),  # its CUDA kernels add up the gradient of the input by atomics
)
