"""What a backend of the deformable convolution is, and what it is given to compute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

#: Key of :attr:`Backend.priority` that stands for every device type without an entry of its own.
ANY_DEVICE = "*"


class DeformConvCall(NamedTuple):
    """One deformable convolution whose arguments have been checked: every shape below holds.

    The tensors are as the caller gave them. Under autocast they may differ in dtype; the result is due in
    :attr:`dtype`. A named tuple and no dataclass, because ``torch.compile`` traces it on every supported torch.

    Attributes:
        input: (B, C_in, H, W).
        offset: (B, 2 * offset_groups * kH * kW, H_out, W_out), y before x, in pixels of the input.
        weight: (C_out, C_in / groups, kH, kW).
        bias: (C_out,) or None.
        mask: (B, offset_groups * kH * kW, H_out, W_out) or None for no modulation.
        stride: (vertical, horizontal) step, as are ``padding`` and ``dilation``.
        padding: rows and columns of zeros on each side.
        dilation: distance between taps.
        groups: blocks of channels that are convolved apart.
        offset_groups: blocks of input channels with offsets of their own.
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
    """Of which tensors the gradients are needed; never of one that is not there."""

    input: bool
    offset: bool
    weight: bool
    bias: bool
    mask: bool


class Gradients(NamedTuple):
    """The gradients that are needed, in the shapes of the tensors and any floating dtype; others may be None."""

    input: Tensor | None
    offset: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True)
class Backend:
    """One way to compute a deformable convolution.

    Attributes:
        name: What the user passes as ``backend=``.
        run: Computes the result, (B, C_out, H_out, W_out) in ``call.dtype``, without autograd and autocast.
        gradients: Computes the gradients that are needed from that of the result, without autograd and autocast.
        is_available: Whether it can run here. May import; ``auto`` asks only the candidates it comes to.
        priority: Device type to rank among the backends there, highest first. A device type that is missing is not
            supported; :data:`ANY_DEVICE` stands for all others.
        install_hint: What a user does who wants it and does not have it.
        deterministic_on: Device types, or :data:`ANY_DEVICE`, on which gradients are the same from run to run, or which
            it leaves to operators of PyTorch that honor ``torch.use_deterministic_algorithms`` by themselves.
        dtypes: Dtypes of the result that it computes; None for all.
        keeps_channels_last: Whether the result of a channels-last input is channels-last; else it is contiguous.
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
        """Rank on a device type, or None where the backend does not run."""
        return self.priority.get(device_type, self.priority.get(ANY_DEVICE))

    def is_deterministic_on(self, device_type: str) -> bool:
        """Whether ``torch.use_deterministic_algorithms`` leaves the backend in use on a device type."""
        return not self.deterministic_on.isdisjoint((device_type, ANY_DEVICE))

    def computes(self, dtype: torch.dtype) -> bool:
        """Whether the result can have a dtype."""
        return self.dtypes is None or dtype in self.dtypes


#: A position so far outside that it fits into the integers of every compiled operator.
_FAR = 1e6


def promote_to_float32(call: DeformConvCall) -> DeformConvCall:
    """Cast every tensor of ``call`` to float32, or to float64 where that is asked for, and make the offsets finite.

    For compiled operators, which have no kernels for the half-precision types, and read whatever memory an offset that
    is no number points to: what is not finite lies outside, where samples are zero.
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
