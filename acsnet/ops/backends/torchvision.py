"""Backend ``torchvision``: its compiled operator, in float32 (float64 for float64 input) also under autocast.

On the CPU it builds its columns on one core, and again in the backward pass; ``pytorch.py`` is faster.
"""

import importlib.util

import torch
from torch import Tensor

from acsnet.ops.backends.base import Backend, DeformConvCall, Gradients, Needs, promote_to_float32


def _is_available() -> bool:
    return importlib.util.find_spec("torchvision") is not None


def _run(call: DeformConvCall) -> Tensor:
    from torchvision.ops import deform_conv2d  # takes half a second to import, and is rarely needed on the CPU

    full = promote_to_float32(call)
    output = deform_conv2d(
        full.input, full.offset, full.weight, full.bias, full.stride, full.padding, full.dilation, full.mask
    )
    return output.to(call.dtype)


def _gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    import torchvision  # noqa: F401 (the import registers its operators)

    full = promote_to_float32(call)
    new = full.weight.new_zeros
    # The operator that its autograd calls. It computes all gradients, also those that are not needed.
    by_input, by_weight, by_offset, by_mask, by_bias = torch.ops.torchvision._deform_conv2d_backward(
        grad.to(full.dtype).contiguous(),
        full.input,
        full.weight,
        full.offset,
        new((len(full.input), 1)) if full.mask is None else full.mask,
        new(len(full.weight)) if full.bias is None else full.bias,
        *full.stride,
        *full.padding,
        *full.dilation,
        full.groups,
        full.offset_groups,
        full.mask is not None,
    )
    return Gradients(by_input, by_offset, by_weight, by_bias, by_mask)


BACKEND = Backend(
    name="torchvision",
    run=_run,
    gradients=_gradients,
    is_available=_is_available,
    priority={"cpu": 10, "cuda": 30},
    install_hint="pip install torchvision",
    keeps_channels_last=False,
    deterministic_on=frozenset({"cpu"}),  # its CUDA kernels sum the gradient of the input by atomics
)
