"""Bilinear upsampling, and a convolution of the upsampled map with a fourth of the multiplications."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from acsnet.layers.lean import is_eager_on_cpu


def upsample_twice(x: torch.Tensor) -> torch.Tensor:
    """Double the size by bilinear interpolation with aligned corners: (B, C, H, W) -> (B, C, 2H, 2W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class UpsampleConv2d(nn.Conv2d):
    """Upsampling and convolution in one layer, ``conv2d(upsample_twice(x))``: (B, C, H, W) -> (B, C_out, 2H, 2W).

    Both operations are linear, so their order can be changed. On a CPU, where the arithmetic takes most of the time,
    the small map is multiplied with every tap of the kernel, and the products are interpolated, along the width first
    and then along the height. This computes the same result with a fourth of the multiplications. On other devices, and
    in compiled and exported graphs, the layer upsamples first.

    Args:
        in_channels: C.
        out_channels: C_out.
        kernel_size: height and width of the kernel, odd. The padding preserves the size.

    Example:
        >>> layer = UpsampleConv2d(3, 4)
        >>> x = torch.rand(2, 3, 8, 8)
        >>> layer(x).shape
        torch.Size([2, 4, 16, 16])
        >>> plain = torch.nn.functional.conv2d(upsample_twice(x), layer.weight, layer.bias, padding=1)
        >>> torch.allclose(layer(x), plain, atol=1e-5)
        True
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Upsample and convolve (B, C, H, W) -> (B, C_out, 2H, 2W)."""
        if not is_eager_on_cpu(x) or x.shape[0] == 0 or min(x.shape[2:]) < 2:  # nothing to interpolate
            return super().forward(upsample_twice(x))
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        bias = torch.zeros_like(self.weight[:, 0, 0, 0]) if self.bias is None else self.bias
        with torch.autocast("cpu", enabled=False):
            return _UpsampleConv.apply(x.to(dtype), self.weight.to(dtype), bias.to(dtype))


class _UpsampleConv(torch.autograd.Function):
    """Products with every tap, interpolated along the width, then along the height; saves its arguments only."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        batch, _, height, width = x.shape
        out_channels, taps = weight.shape[0], weight.shape[2]
        pixels, matrices = _pixels(x), _matrices(weight)
        products = x.new_empty(taps, pixels.shape[0], taps * out_channels)
        for tap in range(taps):
            torch.mm(pixels, matrices[tap], out=products[tap])
        # The name is reused, so that each intermediate result is freed as soon as the next one is computed.
        rows = products.view(taps * batch * width, -1)
        del products
        rows = _interpolate(rows, _interpolation(batch, width, taps, x.dtype))
        rows = rows.view(batch, 2 * width, height, taps, out_channels).permute(3, 0, 2, 1, 4)
        rows = rows.reshape(taps * batch * height, -1)
        rows = _interpolate(rows, _interpolation(batch, height, taps, x.dtype))
        return rows.view(batch, 2 * height, 2 * width, out_channels).add_(bias).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        batch, channels, height, width = x.shape
        out_channels, taps = weight.shape[0], weight.shape[2]
        rows = grad.permute(0, 2, 3, 1).reshape(batch * 2 * height, -1)
        rows = _interpolate_back(rows, _interpolation(batch, height, taps, x.dtype))
        rows = rows.view(taps, batch, height, 2 * width, out_channels).permute(1, 3, 2, 0, 4)
        rows = rows.reshape(batch * 2 * width, -1)
        rows = _interpolate_back(rows, _interpolation(batch, width, taps, x.dtype))
        products = rows.view(taps, batch * width * height, taps * out_channels)
        pixels, matrices = _pixels(x), _matrices(weight)
        weight_grad = torch.stack([pixels.T @ products[tap] for tap in range(taps)])  # (kW, C, kH * C_out)
        weight_grad = weight_grad.view(taps, channels, taps, out_channels).permute(3, 1, 2, 0)
        x_grad = None
        if ctx.needs_input_grad[0]:
            pixels_grad = products[0] @ matrices[0].T
            for tap in range(1, taps):
                pixels_grad.addmm_(products[tap], matrices[tap].T)
            x_grad = pixels_grad.view(batch, width, height, channels).permute(0, 3, 2, 1)
        return x_grad, weight_grad, grad.sum((0, 2, 3))


def _pixels(x: torch.Tensor) -> torch.Tensor:
    """Rearrange (B, C, H, W) -> (B * W * H, C), column by column, because the width is interpolated first."""
    return x.permute(0, 3, 2, 1).reshape(-1, x.shape[1])


def _matrices(weight: torch.Tensor) -> torch.Tensor:
    """Rearrange (C_out, C, kH, kW) -> (kW, C, kH * C_out): one matrix per column of the kernel."""
    return weight.permute(3, 1, 2, 0).flatten(2)


class _Interpolation(NamedTuple):
    """Indices and weights that interpolate ``taps * B * L`` input rows to ``B * 2L`` output rows, and their transpose.

    A row holds all values at one position of the interpolated axis, which has length L before and 2L after.

    Attributes:
        rows: input rows that are summed for each output row, (B * 2L, 2 * taps).
        weights: weights of ``rows``, of the same shape.
        back_rows: output rows that each input row contributes to, concatenated over the input rows.
        back_weights: weights of ``back_rows``.
        back_offsets: index in ``back_rows`` of the first entry of each input row, (taps * B * L,).
    """

    rows: torch.Tensor
    weights: torch.Tensor
    back_rows: torch.Tensor
    back_weights: torch.Tensor
    back_offsets: torch.Tensor


def _interpolate(rows: torch.Tensor, interpolation: _Interpolation) -> torch.Tensor:
    """Interpolate and sum over the taps: (taps * B * L, ...) -> (B * 2L, ...)."""
    return functional.embedding_bag(interpolation.rows, rows, per_sample_weights=interpolation.weights, mode="sum")


def _interpolate_back(grad: torch.Tensor, interpolation: _Interpolation) -> torch.Tensor:
    """Apply the transpose of :func:`_interpolate`: (B * 2L, ...) -> (taps * B * L, ...)."""
    return functional.embedding_bag(
        interpolation.back_rows,
        grad,
        interpolation.back_offsets,
        per_sample_weights=interpolation.back_weights,
        mode="sum",
    )


@lru_cache(maxsize=64)
def _interpolation(batch: int, length: int, taps: int, dtype: torch.dtype) -> _Interpolation:
    # A cached tensor that was created in inference mode could not be used in training.
    with torch.inference_mode(False):
        # Row of the upsampled map under each tap, (2L, taps).
        target = torch.arange(2 * length)[:, None] + torch.arange(taps) - taps // 2
        inside = (target >= 0) & (target < 2 * length)
        position = target.clamp(0, 2 * length - 1).double() * (length - 1) / (2 * length - 1)
        before = position.floor().clamp(max=length - 2).long()
        fraction = position - before
        if dtype.itemsize < 4:
            # Round so that 16 bits represent both the fraction and its complement exactly: the two sum to one.
            fraction = (fraction * 256).round() / 256
        weights = torch.stack(((1 - fraction) * inside, fraction * inside), dim=-1).flatten(1)  # (2L, 2 * taps)
        rows = torch.stack((before, before + 1), dim=-1) + torch.arange(taps)[:, None] * (batch * length)
        rows = (rows.flatten(1) + torch.arange(batch).view(batch, 1, 1) * length).flatten(0, 1)
        weights = weights.repeat(batch, 1).to(dtype)
        order = rows.flatten().argsort(stable=True)
        counts = torch.bincount(rows.flatten(), minlength=taps * batch * length)
        return _Interpolation(rows, weights, order // (2 * taps), weights.flatten()[order], counts.cumsum(0) - counts)
