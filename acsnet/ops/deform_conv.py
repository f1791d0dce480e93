"""Deformable convolution: the public function, the checks of its arguments, and the choice of a backend."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import handle_torch_function, has_torch_function

from acsnet._utils.naming import look_up
from acsnet._utils.plugins import load_installed_plugins
from acsnet._utils.registration import register
from acsnet.errors import AcsnetError, InputError
from acsnet.ops.backends import BACKENDS, Backend, DeformConvCall, pytorch

T = TypeVar("T")

logger = logging.getLogger(__name__)

_BACKENDS = {backend.name: backend for backend in BACKENDS}
#: The backend that supports every call, and the only one that torch.compile and torch.export can trace.
_TRACEABLE = "torch"
#: (backend, device type) of each failure: ``auto`` does not try these again.
_FAILED: set[tuple[str, str]] = set()


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
    """Compute a deformable convolution, optionally modulated, with the signature and the results of torchvision.

    Deformable convolution (Dai et al., "Deformable Convolutional Networks", ICCV 2017) moves each tap of the kernel
    by its own offset at each output position and samples the input bilinearly there. With ``mask`` each sample is
    scaled as well (Zhu et al., "Deformable ConvNets v2", CVPR 2019). The input is zero outside of the image; within one
    pixel of the border, samples are interpolated between the border pixel and zero. At integer positions, where the
    derivative is discontinuous, the gradient of an offset is the right-hand derivative.

    Groups and offset groups are inferred from the shapes:
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
        backend: A name from :func:`list_backends`, or ``"auto"`` for the fastest on the device of the input. If a
            backend fails, ``"auto"`` logs a warning and uses the next one from then on. Under
            ``torch.use_deterministic_algorithms`` it uses deterministic backends only. ``torch.compile`` and
            ``torch.export`` record one operator, ``acsnet::deform_conv2d``, which chooses its backend when it runs;
            they trace through the backend ``"torch"``. The export to ONNX and ``torch.func`` always trace through
            plain PyTorch.

    Returns:
        (B, C_out, H_out, W_out) in the dtype of the arguments or, under autocast, in the autocast dtype as for
        ``conv2d``. Under autocast the ``torch`` and ``triton`` backends compute positions in float32 and multiply in
        the autocast dtype; ``torchvision`` and ``mmcv`` compute in float32.

    Raises:
        InputError: A shape, dtype, device, stride, padding or dilation is invalid, or the backend is not installed
            or does not support the device or the dtype.
        UnknownNameError: The backend is unknown; the message has near matches.
        RuntimeError: ``torch.use_deterministic_algorithms(True)`` is set, a tensor requires gradients, and the
            gradients of the named backend are not deterministic on the device.

    Example:
        >>> input = torch.arange(16.0).view(1, 1, 4, 4)
        >>> weight = torch.ones(1, 1, 1, 1)
        >>> offset = torch.zeros(1, 2, 4, 4)
        >>> offset[:, 1] = 0.5  # half a pixel to the right; zero outside of the image
        >>> deform_conv2d(input, offset, weight)[0, 0, 0]
        tensor([0.5000, 1.5000, 2.5000, 1.5000])
    """
    tensors = (input, offset, weight, bias, mask)
    if has_torch_function(tensors):  # for example a proxy of torch.fx
        return handle_torch_function(
            deform_conv2d, tensors, input, offset, weight, bias, stride, padding, dilation, mask, backend
        )
    geometry = (
        to_pair("deform_conv2d: stride", stride, smallest=1),
        to_pair("deform_conv2d: padding", padding, smallest=0),
        to_pair("deform_conv2d: dilation", dilation, smallest=1),
    )
    dtype = _result_dtype(input, offset, weight, bias, mask)
    if backend != "auto":
        _check_backend(backend, input.device.type, dtype)
    if torch.compiler.is_compiling():
        if backend == _TRACEABLE or torch.onnx.is_in_onnx_export():
            return pytorch.trace(make_call(*tensors, *geometry, dtype))
    elif _is_transformed():
        return pytorch.trace(make_call(*tensors, *geometry, dtype))
    elif backend != "auto":
        _check_deterministic(backend, tensors)
    return torch.ops.acsnet.deform_conv2d(*tensors, *geometry, dtype, backend)


def _is_transformed() -> bool:
    """Return whether ``torch.func`` or forward-mode differentiation is active; both need operators of PyTorch."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def list_backends() -> tuple[str, ...]:
    """Return the names of the installed backends, for ``deform_conv2d(..., backend=NAME)``.

    Those of plugins are among them.

    Example:
        >>> "torch" in list_backends()
        True
    """
    load_installed_plugins()
    return tuple(backend.name for backend in _BACKENDS.values() if backend.is_available())


def register_backend(backend: Backend) -> None:
    """Add a backend; ``"auto"`` uses it where its priority is the highest.

    Raises:
        InputError: The name is already registered, or is ``"auto"``; or the argument is not a
            :class:`~acsnet.ops.backends.Backend`.

    Example:
        >>> import dataclasses
        >>> from acsnet.ops import list_backends, register_backend
        >>> from acsnet.ops.backends import pytorch
        >>> register_backend(dataclasses.replace(pytorch.BACKEND, name="mine", priority={"cpu": -1}))
        >>> "mine" in list_backends()
        True
    """
    if not isinstance(backend, Backend):
        raise InputError(f"register_backend takes an acsnet.ops.backends.Backend, got {type(backend).__name__}")
    register("backend", backend.name, backend, _BACKENDS, taken=("auto",), builder=backend.run)


def to_pair(what: str, value: int | Sequence[int], smallest: int) -> tuple[int, int]:
    """Return two whole numbers, (vertical, horizontal), from one or two.

    Raises:
        InputError: ``value`` is not one or two whole numbers of at least ``smallest``; ``what`` begins the message.
    """
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(isinstance(number, int) and number >= smallest for number in pair):
        raise InputError(f"{what} must be one or two whole numbers of at least {smallest}, got {value!r}")
    return pair[0], pair[1]


def find_backend(name: str) -> Backend:
    """Return the backend with a name, whether it is installed or not.

    Raises:
        UnknownNameError: There is no such backend; the message lists the nearest spellings and the known names.
    """
    if name not in _BACKENDS:
        load_installed_plugins()
    known_names = f"deform_conv2d takes 'auto', {', '.join(repr(known) for known in _BACKENDS)}."
    return look_up("deformable convolution backend", name, _BACKENDS, known_names)


@torch.compiler.assume_constant_result
def _check_backend(name: str, device_type: str, dtype: torch.dtype) -> None:
    """Check that a backend can compute a call. A constant to the compiler, which cannot trace the import of packages.

    Raises:
        UnknownNameError: The backend is unknown; the message has near matches.
        InputError: The backend is not installed, or does not support the device or the dtype.
    """
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
    if not backend.computes(dtype):
        raise InputError(f"deform_conv2d: backend {name!r} does not compute {_name_of(dtype)}; use backend='auto'.")


def _fastest(device_type: str, dtype: torch.dtype, is_deterministic: bool) -> str:
    """Return the name of the supported backend with the highest priority that has not failed on a device type."""
    ranks = [
        (rank, backend)
        for backend in _BACKENDS.values()
        if (rank := backend.priority_on(device_type)) is not None
        and (backend.name, device_type) not in _FAILED
        and backend.computes(dtype)
        and (backend.is_deterministic_on(device_type) or not is_deterministic)
    ]
    ranks.sort(key=lambda entry: entry[0], reverse=True)
    return next(backend.name for _, backend in ranks if backend.is_available())


def run_backend(name: str, call: DeformConvCall, compute: Callable[[Backend], T]) -> T:
    """Compute with the named backend or, for ``"auto"``, with the fastest one.

    If the fastest fails, as compiled backends may, the next one is used for this and all later calls.
    """
    if name != "auto":
        return compute(_BACKENDS[name])
    device_type = call.input.device.type
    while True:
        name = _fastest(device_type, call.dtype, torch.are_deterministic_algorithms_enabled())
        try:
            return compute(_BACKENDS[name])
        except (AcsnetError, MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:
            if name == _TRACEABLE:
                raise
            _FAILED.add((name, device_type))
            logger.warning(
                "deform_conv2d: backend %r fails on %s and is not used again: %s: %s",
                name,
                device_type,
                type(error).__name__,
                error,
            )


def layout_of_result(name: str, input: Tensor) -> torch.memory_format:
    """Return the memory format of the result: channels-last for a channels-last input, if the backend supports it."""
    preserves = name == "auto" or _BACKENDS[name].keeps_channels_last
    is_last = preserves and input.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def _check_deterministic(name: str, tensors: Sequence[Tensor | None]) -> None:
    """Raise or warn under ``torch.use_deterministic_algorithms``, as PyTorch does for its own operators."""
    if not torch.are_deterministic_algorithms_enabled() or not torch.is_grad_enabled():
        return
    present = [tensor for tensor in tensors if tensor is not None]
    device_type = present[0].device.type
    if _BACKENDS[name].is_deterministic_on(device_type) or not any(tensor.requires_grad for tensor in present):
        return
    message = (
        f"deform_conv2d: the gradients of backend {name!r} are not deterministic on {device_type}, "
        "but torch.use_deterministic_algorithms is set; use backend='auto' or 'torch'."
    )
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(message)
    warnings.warn(message, stacklevel=3)


def _result_dtype(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None
) -> torch.dtype:
    """Return the dtype of the result; raise if devices or dtypes do not match."""
    named = {"input": input, "offset": offset, "weight": weight, "bias": bias, "mask": mask}
    tensors = {name: tensor for name, tensor in named.items() if tensor is not None}
    if any(tensor.device != input.device for tensor in tensors.values()):
        received = ", ".join(f"{name} on {tensor.device}" for name, tensor in tensors.items())
        raise InputError(f"deform_conv2d: all tensors must be on one device, got {received}")
    if not all(tensor.is_floating_point() for tensor in tensors.values()):
        raise InputError(f"deform_conv2d: all tensors must be floating point, got {_dtypes_of(tensors)}")
    device_type = input.device.type
    # The meta device has no autocast, and querying it raises. Autocast never changes float64.
    has_autocast = device_type != "meta" and torch.is_autocast_enabled(device_type)
    if has_autocast and all(tensor.dtype != torch.float64 for tensor in tensors.values()):
        return torch.get_autocast_dtype(device_type)
    if any(tensor.dtype != input.dtype for tensor in tensors.values()):
        raise InputError(
            f"deform_conv2d: all tensors must have one dtype outside of autocast, got {_dtypes_of(tensors)}"
        )
    return input.dtype


def _dtypes_of(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {_name_of(tensor.dtype)}" for name, tensor in tensors.items())


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def make_call(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    dtype: torch.dtype,
) -> DeformConvCall:
    """Check the shapes, and infer groups and offset groups from them.

    Raises:
        InputError: A shape is invalid.
    """
    for name, tensor in (("input", input), ("offset", offset), ("weight", weight)):
        if tensor.dim() != 4:
            raise InputError(f"deform_conv2d: {name} must have 4 dimensions, got shape {tuple(tensor.shape)}")
    groups = _count_groups(input, weight)
    offset_groups = _count_offset_groups(input, offset, weight)
    pairs = ((stride[0], stride[1]), (padding[0], padding[1]), (dilation[0], dilation[1]))
    call = DeformConvCall(input, offset, weight, bias, mask, *pairs, groups, offset_groups, dtype)
    height, width = _output_size(call)
    taps = weight.shape[2] * weight.shape[3]
    batch = input.shape[0]
    expected_offset = (batch, 2 * offset_groups * taps, height, width)
    _expect("offset", offset, expected_offset, "(B, 2 * offset_groups * kH * kW, H_out, W_out)")
    if mask is not None:
        _expect(
            "mask", mask, (batch, offset_groups * taps, height, width), "(B, offset_groups * kH * kW, H_out, W_out)"
        )
    if bias is not None:
        _expect("bias", bias, (weight.shape[0],), "(C_out,)")
    return call


def _count_groups(input: Tensor, weight: Tensor) -> int:
    """Return the groups of the convolution, from the channels of input and weight."""
    channels, (out_channels, channels_per_group) = input.shape[1], weight.shape[:2]
    if min(channels, *weight.shape) < 1:
        raise InputError(
            "deform_conv2d: channels and kernel must not be empty, "
            f"got input {tuple(input.shape)} and weight {tuple(weight.shape)}"
        )
    if channels % channels_per_group:
        raise InputError(
            f"deform_conv2d: input has {channels} channels, expected a multiple of the {channels_per_group} "
            f"that weight {tuple(weight.shape)} takes per group"
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
    """Return height and width of the result."""
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
