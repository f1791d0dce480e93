"""Deformable convolutions as layers that predict their own offsets and modulation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acsnet.errors import InputError
from acsnet.ops.deform_conv import deform_conv2d, find_backend, to_pair


class DeformConv2d(nn.Module):
    """Deformable convolution, version 1 (Dai et al., "Deformable Convolutional Networks", ICCV 2017).

    ``offset``, an ordinary convolution with the same kernel size, stride, padding and dilation, predicts an offset for
    every tap. Its weight and bias are initialized to zero, so that the layer starts as an ordinary convolution; the
    main weight and bias are initialized as in ``nn.Conv2d``. State dict, the same for every backend: ``weight``,
    ``bias`` (if enabled), ``offset.weight``, ``offset.bias``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one number or (height, width).
        stride: Step of the kernel, one number or (vertical, horizontal).
        padding: Zeros around the input, one number or (vertical, horizontal).
        dilation: Distance between taps, one number or (vertical, horizontal).
        groups: Number of channel groups that are convolved separately; divides both channel counts.
        offset_groups: Number of groups of input channels with separate offsets; divides ``in_channels``.
        bias: Whether to learn a bias.
        backend: As in :func:`acsnet.ops.deform_conv2d`.

    Raises:
        InputError: ``groups`` or ``offset_groups`` does not divide the channels, or a size is not a whole number or
            too small.
        UnknownNameError: There is no backend of that name.

    Example:
        >>> layer = DeformConv2d(4, 8, 3, padding=1)
        >>> x = torch.rand(2, 4, 6, 6)
        >>> layer(x).shape
        torch.Size([2, 8, 6, 6])
        >>> plain = torch.nn.functional.conv2d(x, layer.weight, padding=1)
        >>> torch.allclose(layer(x), plain, atol=1e-5)  # the offsets start at zero
        True
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        offset_groups: int = 1,
        bias: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _check_divides(name, "groups", groups, "in_channels", in_channels)
        _check_divides(name, "groups", groups, "out_channels", out_channels)
        _check_divides(name, "offset_groups", offset_groups, "in_channels", in_channels)
        if backend != "auto":
            find_backend(backend)  # raises for an unknown name; a missing package raises when the layer runs
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = to_pair(f"{name}: kernel_size", kernel_size, smallest=1)
        self.stride = to_pair(f"{name}: stride", stride, smallest=1)
        self.padding = to_pair(f"{name}: padding", padding, smallest=0)
        self.dilation = to_pair(f"{name}: dilation", dilation, smallest=1)
        self.groups = groups
        self.offset_groups = offset_groups
        self.backend = backend
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if bias else None)
        self.offset = self._predictor(maps_per_tap=2)
        self.reset_parameters()

    def _predictor(self, maps_per_tap: int) -> nn.Conv2d:
        """Return the convolution that predicts maps for every tap and offset group at every output position."""
        maps = maps_per_tap * self.kernel_size[0] * self.kernel_size[1] * self.offset_groups
        predictor = nn.Conv2d(self.in_channels, maps, self.kernel_size, self.stride, self.padding, self.dilation)
        _init_to_zero(predictor)
        return predictor

    def reset_parameters(self) -> None:
        """Initialize the main weight and bias as in ``nn.Conv2d``, and the predicting convolutions to zero."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)
        for predictor in self.children():
            if isinstance(predictor, nn.Conv2d):
                _init_to_zero(predictor)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with predicted offsets.

        Args:
            input: (B, in_channels, H, W).

        Returns:
            (B, out_channels, H_out, W_out), of the same size as for ``nn.Conv2d``.
        """
        return self._convolve(input, self.offset(input), None)

    def _convolve(self, input: Tensor, offset: Tensor, mask: Tensor | None) -> Tensor:
        return deform_conv2d(
            input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask, self.backend
        )

    def extra_repr(self) -> str:
        """Return the arguments that ``print(module)`` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"offset_groups={self.offset_groups}, bias={self.bias is not None}, backend={self.backend!r}"
        )


class ModulatedDeformConv2d(DeformConv2d):
    """Modulated deformable convolution, version 2 (Zhu et al., "Deformable ConvNets v2", CVPR 2019).

    A :class:`DeformConv2d` with a second convolution, ``modulation``, that predicts a factor for each sample, passed
    through a sigmoid. Its weight and bias are initialized to zero as well, so that every factor starts at 1/2. State
    dict: the keys of :class:`DeformConv2d`, ``modulation.weight`` and ``modulation.bias``. Arguments and errors are
    those of :class:`DeformConv2d`.

    Example:
        >>> layer = ModulatedDeformConv2d(4, 8, 3, padding=1)
        >>> x = torch.rand(2, 4, 6, 6)
        >>> layer(x).shape
        torch.Size([2, 8, 6, 6])
        >>> plain = torch.nn.functional.conv2d(x, layer.weight, padding=1)
        >>> torch.allclose(layer(x), plain / 2, atol=1e-5)  # offsets start at zero, factors at 1/2
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        offset_groups: int = 1,
        bias: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, offset_groups, bias, backend
        )
        self.modulation = self._predictor(maps_per_tap=1)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with predicted offsets and modulation; the shapes are those of :class:`DeformConv2d`."""
        return self._convolve(input, self.offset(input), self.modulation(input).sigmoid())


def _init_to_zero(convolution: nn.Conv2d) -> None:
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _check_divides(module: str, name: str, divisor: int, channels_name: str, channels: int) -> None:
    if divisor < 1 or channels % divisor:
        raise InputError(
            f"{module}: {name} must divide {channels_name}, got {name}={divisor} and {channels_name}={channels}"
        )
