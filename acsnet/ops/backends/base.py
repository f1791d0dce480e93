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


@dataclass(frozen=True)
class Backend:
    """One way to compute a deformable convolution.

    Attributes:
        name: What the user passes as ``backend=``.
        run: Computes the result, (B, C_out, H_out, W_out) in ``call.dtype``.
        is_available: Whether it can run here. May import; ``auto`` asks only the candidates it comes to.
        priority: Device type to rank among the backends there, highest first. A device type that is missing is not
            supported; :data:`ANY_DEVICE` stands for all others.
        install_hint: What a user does who wants it and does not have it.
        deterministic_on: Device types, or :data:`ANY_DEVICE`, on which gradients are the same from run to run, or which
            it leaves to operators of PyTorch that honor ``torch.use_deterministic_algorithms`` by themselves.
        dtypes: Dtypes of the result that it computes; None for all.
    """

    name: str
    run: Callable[[DeformConvCall], Tensor]
    is_available: Callable[[], bool]
    priority: Mapping[str, int]
    install_hint: str
    deterministic_on: frozenset[str] = frozenset()
    dtypes: frozenset[torch.dtype] | None = None

    def priority_on(self, device_type: str) -> int | None:
        """Rank on a device type, or None where the backend does not run."""
        return self.priority.get(device_type, self.priority.get(ANY_DEVICE))

    def is_deterministic_on(self, device_type: str) -> bool:
        """Whether ``torch.use_deterministic_algorithms`` leaves the backend in use on a device type."""
        return not self.deterministic_on.isdisjoint((device_type, ANY_DEVICE))

    def computes(self, dtype: torch.dtype) -> bool:
        """Whether the result can have a dtype."""
        return self.dtypes is None or dtype in self.dtypes


def promote_to_float32(call: DeformConvCall) -> DeformConvCall:
    """Cast every tensor of ``call`` to float32, or to float64 where that is asked for.

    For compiled operators without kernels for the half-precision types. Call it and the operator with autocast off,
    and cast the result back to the dtype of the original call.
    """
    dtype = torch.promote_types(call.dtype, torch.float32)
    return DeformConvCall(
        input=call.input.to(dtype),
        offset=call.offset.to(dtype),
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
