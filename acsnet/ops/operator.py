"""The deformable convolution as an operator of PyTorch, ``acsnet::deform_conv2d``, and a second one for its gradients.

Compilers, exporters and CUDA graphs record one node for all backends. Users call ``acsnet.ops.deform_conv2d``; this
module registers the operators that it calls. They can be differentiated once: a second derivative raises an error.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from acsnet.ops.backends import Needs
from acsnet.ops.deform_conv import layout_of_result, make_call, run_backend

_ARGUMENTS = (
    "Tensor input, Tensor offset, Tensor weight, Tensor? bias, Tensor? mask, "
    "int[] stride, int[] padding, int[] dilation, ScalarType dtype, str backend"
)
_LIBRARY = torch.library.Library("acsnet", "DEF")
for _schema in (
    f"deform_conv2d({_ARGUMENTS}) -> Tensor",
    f"deform_conv2d_backward(Tensor grad, {_ARGUMENTS}, bool[] needs) -> Tensor[]",
):
    # The strides of the results depend on those of the arguments, so a compiler must not change the latter.
    _LIBRARY.define(_schema, tags=(torch.Tag.needs_fixed_stride_order,))


@contextmanager
def _without_autocast(device_type: str) -> Iterator[None]:
    """Turn autocast off: the dtype to compute in has been chosen before."""
    if device_type == "meta" or not torch.is_autocast_enabled(device_type):
        yield
    else:
        with torch.autocast(device_type, enabled=False):
            yield


def _compute(*arguments: Any) -> Tensor:
    *call_arguments, name = arguments
    call = make_call(*call_arguments)
    with _without_autocast(call.input.device.type):
        output = run_backend(name, call, lambda backend: backend.run(call))
        return output.contiguous(memory_format=layout_of_result(name, call.input))


def _fake(*arguments: Any) -> Tensor:
    *call_arguments, name = arguments
    call = make_call(*call_arguments)
    shape = (call.input.shape[0], call.weight.shape[0], *call.offset.shape[2:])
    layout = layout_of_result(name, call.input)
    return torch.empty(shape, dtype=call.dtype, device=call.input.device, memory_format=layout)


def _compute_gradients(grad: Tensor, *arguments: Any) -> list[Tensor]:
    *call_arguments, name, flags = arguments
    call, needs = make_call(*call_arguments), Needs(*flags)
    with _without_autocast(call.input.device.type):
        gradients = run_backend(name, call, lambda backend: backend.gradients(call, grad, needs))
        return [
            gradient.to(tensor.dtype).contiguous(memory_format=_layout_of(tensor))
            for gradient, tensor, need in zip(gradients, call[:5], needs, strict=True)
            if need and gradient is not None and tensor is not None
        ]


def _fake_gradients(grad: Tensor, *arguments: Any) -> list[Tensor]:
    tensors, flags = arguments[:5], arguments[-1]
    return [
        torch.empty_like(tensor, memory_format=_layout_of(tensor))
        for tensor, need in zip(tensors, flags, strict=True)
        if need
    ]


def _layout_of(tensor: Tensor) -> torch.memory_format:
    is_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def _setup_context(ctx: Any, inputs: Sequence[Any], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    tensors, needs = ctx.saved_tensors, ctx.needs_input_grad[:5]
    gradients = iter(torch.ops.acsnet.deform_conv2d_backward(grad, *tensors, *ctx.options, needs))
    return *(next(gradients) if need else None for need in needs), *(None,) * len(ctx.options)


def _raise_for_second_derivative(ctx: Any, *grads: Any) -> NoReturn:
    raise RuntimeError(
        "deform_conv2d can be differentiated once, but a derivative of its gradients was requested: leave out "
        "create_graph=True, or detach the gradients"
    )


def _count_operations(input: Sequence[int], offset: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Count multiplications and additions with the weight, as for a plain convolution."""
    return 2 * weight[0] * weight[1] * weight[2] * weight[3] * offset[0] * offset[2] * offset[3]


def _count_operations_of_gradients(grad: Any, *shapes: Any, **_: Any) -> int:
    """Count the operations of the gradients of samples and weight."""
    return 2 * _count_operations(*shapes)


_LIBRARY.impl("deform_conv2d", _compute, "CompositeExplicitAutograd")
_LIBRARY.impl("deform_conv2d_backward", _compute_gradients, "CompositeExplicitAutograd")
torch.library.register_fake("acsnet::deform_conv2d", _fake, lib=_LIBRARY)
torch.library.register_fake("acsnet::deform_conv2d_backward", _fake_gradients, lib=_LIBRARY)
torch.library.register_autograd("acsnet::deform_conv2d", _differentiate, setup_context=_setup_context, lib=_LIBRARY)
torch.library.register_autograd("acsnet::deform_conv2d_backward", _raise_for_second_derivative, lib=_LIBRARY)
register_flop_formula(torch.ops.acsnet.deform_conv2d)(_count_operations)
register_flop_formula(torch.ops.acsnet.deform_conv2d_backward)(_count_operations_of_gradients)
