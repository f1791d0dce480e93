"""The interface of a backend of the deformable convolution, and the call that it computes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

#: Key of :attr:`Backend.priority` for all device types without a separate entry.
ANY_DEVICE = "*"


class DeformConvCall(NamedTuple):
    """The arguments of one deformable convolution, after they have been checked.

    The tensors are those of the caller. Under autocast their dtypes may differ; the result must have :attr:`dtype`.
    This is a named tuple, not a dataclass, because every supported version of ``torch.compile`` can trace it.

    Attributes:
        input: (B, C_in, H, W).
        offset: (B, 2 * offset_groups * kH * kW, H_out, W_out), y before x, in pixels of the input.
        weight: (C_out, C_in / groups, kH, kW).
        bias: (C_out,) or None.
        mask: (B, offset_groups * kH * kW, H_out, W_out) or None for no modulation.
        stride: (vertical, horizontal) step of the kernel.
        padding: (vertical, horizontal) number of zeros on each side.
        dilation: (vertical, horizontal) distance between taps.
        groups: number of channel groups that are convolved separately.
        offset_groups: number of groups of input channels with separate offsets.
        dtype: floating dtype of the result.
    """

    input: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor | None
    mask: Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    offset_groups: int
    dtype: torch.dtype


class Needs(NamedTuple):
    """For each tensor, whether its gradient is needed; False for a tensor that is None."""

    input: bool
    offset: bool
    weight: bool
    bias: bool
    mask: bool


class Gradients(NamedTuple):
    """The needed gradients, in the shapes of the tensors and any floating dtype; the others may be None."""

    input: Tensor | None
    offset: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True)
class Backend:
    """One way to compute a deformable convolution.

    Attributes:
        name: Name that the user passes as ``backend=``.
        run: Function that computes the result, (B, C_out, H_out, W_out) in ``call.dtype``. It is called without
            autograd and autocast.
        gradients: Function of the call, the gradient of the result and the needs that computes the needed gradients.
            It is called without autograd and autocast.
        is_available: Function that returns whether the backend is installed and can run. It may import packages; for
            ``auto`` it is called only if no backend of higher priority is available.
        priority: Device type -> priority among the backends on it; the highest is used. Device types that are not
            listed are not supported; :data:`ANY_DEVICE` is the key for all others.
        install_hint: Instructions for installing the backend.
        deterministic_on: Device types, or :data:`ANY_DEVICE`, on which gradients are the same from run to run, or are
            computed by operators of PyTorch that honor ``torch.use_deterministic_algorithms``.
        dtypes: Supported dtypes of the result; None for all.
        keeps_channels_last: Whether the result of a channels-last input is channels-last; otherwise it is contiguous.
    """

    name: str
    run: Callable[[DeformConvCall], Tensor]
    gradients: Callable[[DeformConvCall, Tensor, Needs], Gradients]
    is_available: Callable[[], bool]
    priority: Mapping[str, int]
    install_hint: str
    deterministic_on: frozenset[str] = frozenset()
    dtypes: frozenset[torch.dtype] | None = None
    keeps_channels_last: bool = True

    def priority_on(self, device_type: str) -> int | None:
        """Return the priority on a device type, or None if the device type is not supported."""
        return self.priority.get(device_type, self.priority.get(ANY_DEVICE))

    def is_deterministic_on(self, device_type: str) -> bool:
        """Return whether ``torch.use_deterministic_algorithms`` allows the backend on a device type."""
        return not self.deterministic_on.isdisjoint((device_type, ANY_DEVICE))

    def computes(self, dtype: torch.dtype) -> bool:
        """Return whether a dtype of the result is supported."""
        return self.dtypes is None or dtype in self.dtypes


#: An offset that is far outside of every image, yet fits into the integers of every compiled operator.
_FAR = 1e6


def promote_to_float32(call: DeformConvCall) -> DeformConvCall:
    """Cast every tensor of ``call`` to float32, or to float64 if the result is float64, and make the offsets finite.

    Compiled operators have no kernels for half precision, and read out of bounds if an offset is NaN or infinite. Such
    offsets are replaced by positions outside of the image, where samples are zero.
    """
    dtype = torch.promote_types(call.dtype, torch.float32)
    return DeformConvCall(
        input=call.input.to(dtype),
        offset=call.offset.to(dtype).nan_to_num(nan=_FAR).clamp_(-_FAR, _FAR),
        weight=call.weight.to(dtype),
        bias=None if call.bias is None else call.bias.to(dtype),
        mask=None if call.mask is None else call.mask.to(dtype),
        stride=call.stride,
        padding=call.padding,
        dilation=call.dilation,
        groups=call.groups,
        offset_groups=call.offset_groups,
        dtype=dtype,
    )
