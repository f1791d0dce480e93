"""Deformable convolution: the public function, the checks of its arguments, and the choice of a backend."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from acsnet.errors import InputError
from acsnet.ops.backends import BACKENDS, Backend, DeformConvCall
from acsnet.registry import look_up

_BACKENDS = {backend.name: backend for backend in BACKENDS}
#: The backend that torch.compile and torch.export can see through, on every device.
_TRACEABLE = "torch"


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    mask: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Convolve at learned positions, optionally modulated: torchvision's signature and results, several backends.

    Deformable convolution (Dai et al., "Deformable Convolutional Networks", ICCV 2017) moves each tap of the kernel
    by its own offset at each output position and samples the input bilinearly there. With ``mask`` each sample is
    scaled as well (Zhu et al., "Deformable ConvNets v2", CVPR 2019). Outside of the image lies zero; a position
    between the last pixel and one pixel beyond it blends into it. At integer positions, where the derivative jumps,
    the gradient of an offset is the one towards the higher coordinate.

    With groups and offset groups inferred from the shapes:
    ``groups = C_in / weight.shape[1]`` and ``offset_groups = offset.shape[1] / (2 * kH * kW)``.

    Args:
        input: (B, C_in, H, W). The batch may be empty.
        offset: (B, 2 * offset_groups * kH * kW, H_out, W_out) in pixels of the input. Channel ``2 * (g * kH * kW +
            tap)`` is the vertical offset of a tap (row-major) in group ``g``, the channel after it the horizontal
            one.
        weight: (C_out, C_in / groups, kH, kW).
        bias: (C_out,) or None.
        stride: Step of the kernel, one number or (vertical, horizontal).
        padding: Zeros around the input, one number or (vertical, horizontal).
        dilation: Distance between taps, one number or (vertical, horizontal).
        mask: Modulation (B, offset_groups * kH * kW, H_out, W_out), channel ``g * kH * kW + tap``; None for none.
        backend: A name of :func:`list_backends`, or ``"auto"`` for the fastest on the input's device. While
            ``torch.compile`` or ``torch.export`` traces, ``"auto"`` is ``"torch"``.

    Returns:
        (B, C_out, H_out, W_out) in the dtype of the arguments or, under autocast, in the autocast dtype as for
        ``conv2d``. Under autocast the ``torch`` backend finds positions in float32 and gathers and multiplies in the
        autocast dtype; ``torchvision`` and ``mmcv`` compute in float32.

    Raises:
        InputError: A shape, dtype, device, stride, padding or dilation does not fit, or the backend is not installed
            or does not run on the device.
        UnknownNameError: There is no backend of that name.
    """
    call = DeformConvCall(
        input=input,
        offset=offset,
        weight=weight,
        bias=bias,
        mask=mask,
        stride=to_pair("deform_conv2d: stride", stride, smallest=1),
        padding=to_pair("deform_conv2d: padding", padding, smallest=0),
        dilation=to_pair("deform_conv2d: dilation", dilation, smallest=1),
        groups=1,
        offset_groups=1,
        dtype=_result_dtype(input, offset, weight, bias, mask),
    )
    call = _check_shapes(call)
    name = _choose(backend, input.device.type, torch.compiler.is_compiling())
    return _BACKENDS[name].run(call)


def list_backends() -> tuple[str, ...]:
    """Names of the backends that are installed here, for ``deform_conv2d(..., backend=NAME)``."""
    return tuple(backend.name for backend in BACKENDS if backend.is_available())


def to_pair(what: str, value: int | Sequence[int], smallest: int) -> tuple[int, int]:
    """Two whole numbers, (vertical, horizontal), from one or two.

    Raises:
        InputError: Neither one nor two, or not whole, or below ``smallest``; the text begins with ``what``.
    """
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(isinstance(number, int) and number >= smallest for number in pair):
        raise InputError(f"{what} must be one or two whole numbers of at least {smallest}, got {value!r}")
    return pair[0], pair[1]


def find_backend(name: str) -> Backend:
    """Return the backend of a name, installed or not.

    Raises:
        UnknownNameError: There is none, with near matches and the known names.
    """
    listing = f"deform_conv2d takes 'auto', {', '.join(repr(known) for known in _BACKENDS)}."
    return look_up("deformable convolution backend", name, _BACKENDS, listing)


@torch.compiler.assume_constant_result
def _choose(name: str, device_type: str, is_tracing: bool) -> str:
    """Name of the backend to run. A constant to the compiler, which cannot trace the search for installed packages."""
    if name == "auto":
        if is_tracing:
            return _TRACEABLE
        ranks = [(rank, backend) for backend in BACKENDS if (rank := backend.priority_on(device_type)) is not None]
        ranks.sort(key=lambda entry: entry[0], reverse=True)
        return next(backend.name for _, backend in ranks if backend.is_available())
    backend = find_backend(name)
    if not backend.is_available():
        raise InputError(
            f"deform_conv2d: backend {name!r} is not installed. To install it: {backend.install_hint}. "
            f"Installed: {', '.join(list_backends())}."
        )
    if backend.priority_on(device_type) is None:
        raise InputError(
            f"deform_conv2d: backend {name!r} runs on {', '.join(backend.priority)}, the input is on {device_type}; "
            "use backend='auto'."
        )
    return name


def _result_dtype(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> torch.dtype:
    """Dtype of the result; raises where devices or dtypes do not go together."""
    named = {"input": input, "offset": offset, "weight": weight, "bias": bias, "mask": mask}
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    if any(tensor.device != input.device for tensor in tensors.values()):
        received = ", ".join(f"{name} on {tensor.device}" for name, tensor in tensors.items())
        raise InputError(f"deform_conv2d: all tensors must be on one device, got {received}")
    if not all(tensor.is_floating_point() for tensor in tensors.values()):
        raise InputError(f"deform_conv2d: all tensors must be floating point, got {_dtypes_of(tensors)}")
    device_type = input.device.type
    # The meta device has no autocast and must not be asked; autocast leaves float64 alone, here as everywhere.
    has_autocast = device_type != "meta" and torch.is_autocast_enabled(device_type)
    if has_autocast and all(tensor.dtype != torch.float64 for tensor in tensors.values()):
        return torch.get_autocast_dtype(device_type)
    if any(tensor.dtype != input.dtype for tensor in tensors.values()):
        raise InputError(
            f"deform_conv2d: all tensors must have one dtype outside of autocast, got {_dtypes_of(tensors)}"
        )
    return input.dtype


def _dtypes_of(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {str(tensor.dtype).removeprefix('torch.')}" for name, tensor in tensors.items())


def _check_shapes(call: DeformConvCall) -> DeformConvCall:
    """Fill in groups and offset groups; raises where a shape does not fit."""
    for name, tensor in (("input", call.input), ("offset", call.offset), ("weight", call.weight)):
        if tensor.dim() != 4:
            raise InputError(f"deform_conv2d: {name} must have 4 dimensions, got shape {tuple(tensor.shape)}")
    groups = _count_groups(call.input, call.weight)
    offset_groups = _count_offset_groups(call.input, call.offset, call.weight)
    height, width = _output_size(call)
    taps = call.weight.shape[2] * call.weight.shape[3]
    batch = call.input.shape[0]
    expected_offset = (batch, 2 * offset_groups * taps, height, width)
    _expect("offset", call.offset, expected_offset, "(B, 2 * offset_groups * kH * kW, H_out, W_out)")
    if call.mask is not None:
        expected_mask = (batch, offset_groups * taps, height, width)
        _expect("mask", call.mask, expected_mask, "(B, offset_groups * kH * kW, H_out, W_out)")
    if call.bias is not None:
        _expect("bias", call.bias, (call.weight.shape[0],), "(C_out,)")
    # Not by _replace, which torch 2.4 cannot compile.
    tensors = (call.input, call.offset, call.weight, call.bias, call.mask)
    return DeformConvCall(*tensors, call.stride, call.padding, call.dilation, groups, offset_groups, call.dtype)


def _count_groups(input: Tensor, weight: Tensor) -> int:
    """Groups of the convolution, from the channels of input and weight."""
    channels, (out_channels, channels_per_group) = input.shape[1], weight.shape[:2]
    if min(channels, *weight.shape) < 1:
        raise InputError(
            "deform_conv2d: channels and kernel must not be empty, "
            f"got input {tuple(input.shape)} and weight {tuple(weight.shape)}"
        )
    if channels % channels_per_group:
        raise InputError(
            f"deform_conv2d: input has {channels} channels, expected a multiple of the {channels_per_group} "
            f"that weight {tuple(weight.shape)} takes a group"
        )
    groups = channels // channels_per_group
    if out_channels % groups:
        raise InputError(
            f"deform_conv2d: weight {tuple(weight.shape)} has {out_channels} output channels, "
            f"expected a multiple of its {groups} groups (input channels {channels} / {channels_per_group})"
        )
    return groups


def _count_offset_groups(input: Tensor, offset: Tensor, weight: Tensor) -> int:
    """Offset groups, from the channels of offset and the taps of weight."""
    taps = weight.shape[2] * weight.shape[3]
    offset_channels, channels = offset.shape[1], input.shape[1]
    if offset_channels == 0 or offset_channels % (2 * taps):
        raise InputError(
            f"deform_conv2d: offset has {offset_channels} channels, expected a multiple of {2 * taps} "
            f"(2 * kH * kW of weight {tuple(weight.shape)})"
        )
    offset_groups = offset_channels // (2 * taps)
    if channels % offset_groups:
        raise InputError(
            f"deform_conv2d: offset has {offset_groups} offset groups ({offset_channels} channels / {2 * taps}), "
            f"which do not divide the {channels} input channels"
        )
    return offset_groups


def _output_size(call: DeformConvCall) -> tuple[int, int]:
    """Height and width of the result."""
    height, width = (
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, padding, dilation in zip(
            call.input.shape[2:], call.weight.shape[2:], call.stride, call.padding, call.dilation, strict=True
        )
    )
    if height < 1 or width < 1:
        raise InputError(
            f"deform_conv2d: input {tuple(call.input.shape)} with padding {call.padding} is smaller than the kernel "
            f"{tuple(call.weight.shape[2:])} with dilation {call.dilation}: the output would be {height} x {width}"
        )
    return height, width


def _expect(name: str, tensor: Tensor, shape: tuple[int, ...], meaning: str) -> None:
    if tuple(tensor.shape) != shape:
        raise InputError(f"deform_conv2d: {name} must have shape {shape} = {meaning}, got {tuple(tensor.shape)}")
