"""Deformable convolutions as layers, under the names and with the arguments of torchvision and mmcv.

:class:`DeformConv2d` is called with its offsets and modulation, as in torchvision and mmcv. The layers that predict
them from their own input are called ``Pack``, as in mmcv.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from acsnet.errors import InputError
from acsnet.ops.deform_conv import deform_conv2d, find_backend, to_pair


class DeformConv2d(nn.Module):
    """Deformable convolution (Dai et al. 2017, ICCV; with a mask, Zhu et al. 2019, CVPR), as in torchvision.

    It takes the place of ``torchvision.ops.DeformConv2d``: the arguments, initial values, results and state dict are
    the same, ``weight`` and ``bias`` (if enabled). State dicts of mmcv's ``DeformConv2d`` and ``ModulatedDeformConv2d``
    have these keys as well.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one number or (height, width).
        stride: Step of the kernel, one number or (vertical, horizontal).
        padding: Zeros around the input, one number or (vertical, horizontal).
        dilation: Distance between taps, one number or (vertical, horizontal).
        groups: Number of channel groups that are convolved separately; divides both channel counts.
        bias: Whether to learn a bias.
        backend: As in :func:`acsnet.ops.deform_conv2d`.

    Raises:
        InputError: ``groups`` does not divide the channels, or a size is not a whole number or too small.
        UnknownNameError: The backend is unknown; the message has near matches.

    Example:
        >>> import torch
        >>> from acsnet.ops import DeformConv2d
        >>> layer = DeformConv2d(4, 8, 3, padding=1)
        >>> images, offset = torch.rand(2, 4, 6, 6), torch.zeros(2, 18, 6, 6)
        >>> layer(images, offset).shape
        torch.Size([2, 8, 6, 6])
        >>> plain = torch.nn.functional.conv2d(images, layer.weight, layer.bias, padding=1)
        >>> torch.allclose(layer(images, offset), plain, atol=1e-5)  # without offsets
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
        bias: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _check_divides(name, "groups", groups, "in_channels", in_channels)
        _check_divides(name, "groups", groups, "out_channels", out_channels)
        if backend != "auto":
            find_backend(backend)  # raises for an unknown name; a missing package raises when the layer runs
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = to_pair(f"{name}: kernel_size", kernel_size, smallest=1)
        self.stride = to_pair(f"{name}: stride", stride, smallest=1)
        self.padding = to_pair(f"{name}: padding", padding, smallest=0)
        self.dilation = to_pair(f"{name}: dilation", dilation, smallest=1)
        self.groups = groups
        self.backend = backend
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weight and bias as in ``nn.Conv2d``, and predicting convolutions to zero."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)
        for predictor in self.children():
            if isinstance(predictor, nn.Conv2d):
                _init_to_zero(predictor)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve; for the shapes of ``offset`` and ``mask`` see :func:`acsnet.ops.deform_conv2d`.

        Args:
            input: (B, in_channels, H, W).
            offset: (B, 2 * offset_groups * kH * kW, H_out, W_out).
            mask: (B, offset_groups * kH * kW, H_out, W_out), or None.

        Returns:
            (B, out_channels, H_out, W_out), of the same size as for ``nn.Conv2d``.
        """
        return deform_conv2d(
            input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask, self.backend
        )

    def extra_repr(self) -> str:
        """Return the arguments that ``print(module)`` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, "
            f"backend={self.backend!r}"
        )


class DeformConv2dPack(DeformConv2d):
    """Deformable convolution that predicts its own offsets (Dai et al. 2017, ICCV), as in mmcv.

    ``offset``, an ordinary convolution with the same kernel size, stride, padding and dilation, predicts an offset for
    every tap. Its weight and bias are initialized to zero, so that the layer starts as an ordinary convolution. State
    dict, the same for every backend: the keys of :class:`DeformConv2d`, ``offset.weight`` and ``offset.bias``. State
    dicts of mmcv's class of this name are loaded as well; in them, the convolution is called ``conv_offset``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one number or (height, width).
        stride: Step of the kernel, one number or (vertical, horizontal).
        padding: Zeros around the input, one number or (vertical, horizontal).
        dilation: Distance between taps, one number or (vertical, horizontal).
        groups: Number of channel groups that are convolved separately; divides both channel counts.
        deform_groups: Number of groups of input channels with separate offsets; divides ``in_channels``.
        bias: Whether to learn a bias.
        backend: As in :func:`acsnet.ops.deform_conv2d`.

    Raises:
        InputError: ``groups`` or ``deform_groups`` does not divide the channels, or a size is not a whole number or
            too small.
        UnknownNameError: The backend is unknown; the message has near matches.

    Example:
        >>> import torch
        >>> from acsnet.ops import DeformConv2dPack
        >>> layer = DeformConv2dPack(4, 8, 3, padding=1)
        >>> images = torch.rand(2, 4, 6, 6)
        >>> layer(images).shape
        torch.Size([2, 8, 6, 6])
        >>> plain = torch.nn.functional.conv2d(images, layer.weight, padding=1)
        >>> torch.allclose(layer(images), plain, atol=1e-5)  # the offsets start at zero
        True
    """

    offset: nn.Conv2d
    #: The maps per tap that each predicting convolution has, in the order of mmcv's single one.
    _PREDICTORS: ClassVar[Mapping[str, int]] = {"offset": 2}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, backend)
        _check_divides(type(self).__name__, "deform_groups", deform_groups, "in_channels", in_channels)
        self.deform_groups = deform_groups
        for name, maps in self._PREDICTORS.items():
            self.add_module(name, self._predictor(maps))

    def _predictor(self, maps_per_tap: int) -> nn.Conv2d:
        """Return the convolution that predicts maps for every tap and offset group at every output position."""
        maps = maps_per_tap * self.kernel_size[0] * self.kernel_size[1] * self.deform_groups
        predictor = nn.Conv2d(self.in_channels, maps, self.kernel_size, self.stride, self.padding, self.dilation)
        _init_to_zero(predictor)
        return predictor

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override] # as in mmcv, it predicts the other arguments
        """Convolve with predicted offsets.

        Args:
            input: (B, in_channels, H, W).

        Returns:
            (B, out_channels, H_out, W_out), of the same size as for ``nn.Conv2d``.
        """
        return super().forward(input, self.offset(input))

    def extra_repr(self) -> str:
        """Return the arguments that ``print(module)`` shows."""
        return super().extra_repr().replace(", bias=", f", deform_groups={self.deform_groups}, bias=")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        for kind in ("weight", "bias"):
            together = state_dict.pop(f"{prefix}conv_offset.{kind}", None)
            if together is not None:
                own = [(name, getattr(self, name).weight.shape[0]) for name in self._PREDICTORS]
                # A tensor of another size is reported as such by the first convolution.
                sizes = [size for _, size in own] if len(together) == sum(size for _, size in own) else [len(together)]
                parts = zip(own, together.split(sizes), strict=False)
                state_dict |= {f"{prefix}{name}.{kind}": part for (name, _), part in parts}
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class ModulatedDeformConv2dPack(DeformConv2dPack):
    """Modulated deformable convolution that predicts offsets and modulation (Zhu et al. 2019, CVPR), as in mmcv.

    A :class:`DeformConv2dPack` with a second convolution, ``modulation``, that predicts a factor for each sample,
    passed through a sigmoid. Its weight and bias are initialized to zero as well, so that every factor starts at 1/2.
    State dict: the keys of :class:`DeformConv2dPack`, ``modulation.weight`` and ``modulation.bias``; mmcv's
    ``conv_offset`` has both convolutions in one. Arguments and errors are those of :class:`DeformConv2dPack`, but there
    is a bias by default.

    Example:
        >>> import torch
        >>> from acsnet.ops import ModulatedDeformConv2dPack
        >>> layer = ModulatedDeformConv2dPack(4, 8, 3, padding=1, bias=False)
        >>> images = torch.rand(2, 4, 6, 6)
        >>> layer(images).shape
        torch.Size([2, 8, 6, 6])
        >>> plain = torch.nn.functional.conv2d(images, layer.weight, padding=1)
        >>> torch.allclose(layer(images), plain / 2, atol=1e-5)  # offsets start at zero, factors at 1/2
        True
    """

    modulation: nn.Conv2d
    _PREDICTORS: ClassVar[Mapping[str, int]] = {"offset": 2, "modulation": 1}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, deform_groups, bias, backend
        )

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override] # as in mmcv, it predicts the other arguments
        """Convolve with predicted offsets and modulation; the shapes are those of :class:`DeformConv2dPack`."""
        return DeformConv2d.forward(self, input, self.offset(input), self.modulation(input).sigmoid())


def _init_to_zero(convolution: nn.Conv2d) -> None:
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _check_divides(module: str, name: str, divisor: int, channels_name: str, channels: int) -> None:
    if divisor < 1 or channels % divisor:
        raise InputError(
            f"{module}: {name} must divide {channels_name}, got {name}={divisor} and {channels_name}={channels}"
        )
