"""Bilinear enlargement, and the convolution of an enlarged map with a fourth of its multiplications."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from acsnet.layers.lean import is_eager_on_cpu


def upsample_twice(x: torch.Tensor) -> torch.Tensor:
    """Double the size, bilinear with aligned corners: (B, C, H, W) -> (B, C, 2H, 2W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class UpsampleConv2d(nn.Conv2d):
    """``conv2d(upsample_twice(x))``, a kernel of odd size that keeps the size: (B, C, H, W) -> (B, C_out, 2H, 2W).

    Both are linear, and each row and column of the enlarged map is a blend of two of the small one. So on a CPU, where
    arithmetic is what takes the time, the small map is multiplied with every tap of the kernel, and the products are
    blended, to columns first and then to rows: the same result for a fourth of the multiplications. On other devices,
    and in compiled and exported graphs, it runs as written above.

    Args:
        in_channels, out_channels: C and C_out.
        kernel_size: odd edge length of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C_out, 2H, 2W)."""
        if not is_eager_on_cpu(x) or x.shape[0] == 0 or min(x.shape[2:]) < 2:  # nothing to blend
            return super().forward(upsample_twice(x))
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        bias = torch.zeros_like(self.weight[:, 0, 0, 0]) if self.bias is None else self.bias
        with torch.autocast("cpu", enabled=False):
            return _UpsampleConv.apply(x.to(dtype), self.weight.to(dtype), bias.to(dtype))


class _UpsampleConv(torch.autograd.Function):
    """Products with every tap, blended along the width, then along the height; saves its arguments alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        batch, _, height, width = x.shape
        out_channels, taps = weight.shape[0], weight.shape[2]
        pixels, matrices = _pixels(x), _matrices(weight)
        products = x.new_empty(taps, pixels.shape[0], taps * out_channels)
        for tap in range(taps):
            torch.mm(pixels, matrices[tap], out=products[tap])
        # One name for what follows from one another, so that each is freed once the next is there.
        lines = products.view(taps * batch * width, -1)
        del products
        lines = _blend(lines, _blend_table(batch, width, taps, x.dtype))
        lines = lines.view(batch, 2 * width, height, taps, out_channels).permute(3, 0, 2, 1, 4)
        lines = lines.reshape(taps * batch * height, -1)
        lines = _blend(lines, _blend_table(batch, height, taps, x.dtype))
        return lines.view(batch, 2 * height, 2 * width, out_channels).add_(bias).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        batch, channels, height, width = x.shape
        out_channels, taps = weight.shape[0], weight.shape[2]
        lines = grad.permute(0, 2, 3, 1).reshape(batch * 2 * height, -1)
        lines = _blend_back(lines, _blend_table(batch, height, taps, x.dtype))
        lines = lines.view(taps, batch, height, 2 * width, out_channels).permute(1, 3, 2, 0, 4)
        lines = lines.reshape(batch * 2 * width, -1)
        lines = _blend_back(lines, _blend_table(batch, width, taps, x.dtype))
        products = lines.view(taps, batch * width * height, taps * out_channels)
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
    """(B, C, H, W) -> (B * W * H, C), column after column, since columns are blended first."""
    return x.permute(0, 3, 2, 1).reshape(-1, x.shape[1])


def _matrices(weight: torch.Tensor) -> torch.Tensor:
    """(C_out, C, kH, kW) -> (kW, C, kH * C_out): a matrix a column of the kernel."""
    return weight.permute(3, 1, 2, 0).flatten(2)


class _BlendTable(NamedTuple):
    """How B * 2L lines of an output are blended from ``taps`` times B * L lines, and the way back.

    Attributes:
        lines: those blended to each line of the output, (B * 2L, 2 * taps).
        shares: their weights, as shaped.
        back_lines: the lines of the output that each line went into, one after another.
        back_shares: their weights.
        back_offsets: where those of each line begin.
    """

    lines: torch.Tensor
    shares: torch.Tensor
    back_lines: torch.Tensor
    back_shares: torch.Tensor
    back_offsets: torch.Tensor


def _blend(lines: torch.Tensor, table: _BlendTable) -> torch.Tensor:
    """(taps * B * L, ...) -> (B * 2L, ...)."""
    return functional.embedding_bag(table.lines, lines, per_sample_weights=table.shares, mode="sum")


def _blend_back(grad: torch.Tensor, table: _BlendTable) -> torch.Tensor:
    """(B * 2L, ...) -> (taps * B * L, ...), the transpose of :func:`_blend`."""
    return functional.embedding_bag(
        table.back_lines, grad, table.back_offsets, per_sample_weights=table.back_shares, mode="sum"
    )


@lru_cache(maxsize=64)
def _blend_table(batch: int, length: int, taps: int, dtype: torch.dtype) -> _BlendTable:
    # What is first made in inference mode could not be used in training.
    with torch.inference_mode(False):
        line = torch.arange(2 * length)[:, None] + torch.arange(taps) - taps // 2  # (2L, taps), of the enlarged map
        inside = (line >= 0) & (line < 2 * length)
        position = line.clamp(0, 2 * length - 1).double() * (length - 1) / (2 * length - 1)
        before = position.floor().clamp(max=length - 2).long()
        share = position - before
        if dtype.itemsize < 4:
            # To a fraction that 16 bits hold together with its complement, so that the two sum to one.
            share = (share * 256).round() / 256
        shares = torch.stack(((1 - share) * inside, share * inside), dim=-1).flatten(1)  # (2L, 2 * taps)
        lines = torch.stack((before, before + 1), dim=-1) + torch.arange(taps)[:, None] * (batch * length)
        lines = (lines.flatten(1) + torch.arange(batch).view(batch, 1, 1) * length).flatten(0, 1)
        shares = shares.repeat(batch, 1).to(dtype)
        order = lines.flatten().argsort(stable=True)
        counts = torch.bincount(lines.flatten(), minlength=taps * batch * length)
        return _BlendTable(lines, shares, order // (2 * taps), shares.flatten()[order], counts.cumsum(0) - counts)
