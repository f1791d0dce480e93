"""Bilinear enlargement, and the convolution of an enlarged map at half its cost."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def upsample_twice(x: torch.Tensor) -> torch.Tensor:
    """Double the size, bilinear with aligned corners: (B, C, H, W) -> (B, C, 2H, 2W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class UpsampleConv2d(nn.Conv2d):
    """``conv2d(upsample_twice(x))``, a kernel of odd size that keeps the size: (B, C, H, W) -> (B, C_out, 2H, 2W).

    Both are linear, and each row of the enlarged map is a blend of two rows of the small one. So on a CPU, where
    arithmetic is what takes the time, each row of the kernel is convolved with the map enlarged in width alone, and
    the results are blended to the rows of the output: the same result for half the multiplications. On other devices,
    and in compiled and exported graphs, it runs as written above.

    Args:
        in_channels, out_channels: C and C_out.
        kernel_size: odd edge length of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C_out, 2H, 2W)."""
        if x.device.type != "cpu" or x.shape[2] < 2 or torch.compiler.is_compiling():
            return super().forward(upsample_twice(x))
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        with torch.autocast("cpu", enabled=False):
            return _UpsampleConv.apply(x.to(dtype), self.weight.to(dtype), bias)


class _UpsampleConv(torch.autograd.Function):
    """The convolution with every row of the kernel, then the blend; what it saves is no larger than its input."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        batch, _, height, width = x.shape
        taps = weight.shape[2]
        wide = _widen(x)
        table = []
        for tap in range(taps):
            # The shares of the middle row always sum to one, so that the bias comes out as it went in.
            y = functional.conv2d(wide, weight[:, :, [tap]], bias if tap == taps // 2 else None, padding=(0, taps // 2))
            table.append(y.permute(0, 2, 3, 1).reshape(batch * height, -1))  # (B * H, 2W * C_out)
        blend = _row_blend(batch, height, taps, x.dtype)
        rows = functional.embedding_bag(blend.rows, torch.cat(table), per_sample_weights=blend.shares, mode="sum")
        return rows.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
        x, weight = ctx.saved_tensors
        batch, _, height, width = x.shape
        taps, needs_input = weight.shape[2], ctx.needs_input_grad[0]
        blend = _row_blend(batch, height, taps, x.dtype)
        rows = grad.permute(0, 2, 3, 1).reshape(batch * 2 * height, -1)
        table = functional.embedding_bag(
            blend.back_rows, rows, blend.back_offsets, per_sample_weights=blend.back_shares, mode="sum"
        ).view(taps, batch, height, 2 * width, -1)
        wide = _widen(x)
        wide_grads, weight_grads = [], []
        for tap in range(taps):
            wide_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
                table[tap].permute(0, 3, 1, 2), wide, weight[:, :, [tap]], None, stride=(1, 1),
                padding=(0, taps // 2), dilation=(1, 1), transposed=False, output_padding=(0, 0), groups=1,
                output_mask=(needs_input, True, False),
            )  # fmt: skip
            wide_grads.append(wide_grad)
            weight_grads.append(weight_grad)
        x_grad = _widen_backward(sum(wide_grads[1:], start=wide_grads[0]), x) if needs_input else None
        bias_grad = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return x_grad, torch.cat(weight_grads, dim=2), bias_grad


def _widen(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, H, 2W)."""
    return functional.interpolate(x, size=(x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=True)


def _widen_backward(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten.upsample_bilinear2d_backward(grad, grad.shape[2:], x.shape, align_corners=True)


class _RowBlend(NamedTuple):
    """How B * 2H rows of the output are blended from a table of ``taps`` times B * H rows, and the way back.

    Attributes:
        rows: rows of the table a row of the output, (B * 2H, 2 * taps).
        shares: their weights, as shaped.
        back_rows: rows of the output that each row of the table went into, one after another.
        back_shares: their weights.
        back_offsets: where those of each row of the table begin.
    """

    rows: torch.Tensor
    shares: torch.Tensor
    back_rows: torch.Tensor
    back_shares: torch.Tensor
    back_offsets: torch.Tensor


@lru_cache(maxsize=64)
def _row_blend(batch: int, height: int, taps: int, dtype: torch.dtype) -> _RowBlend:
    # What is first made in inference mode could not be used in training.
    with torch.inference_mode(False):
        row = torch.arange(2 * height)[:, None] + torch.arange(taps) - taps // 2  # (2H, taps), of the enlarged map
        inside = (row >= 0) & (row < 2 * height)
        position = row.clamp(0, 2 * height - 1).double() * (height - 1) / (2 * height - 1)
        upper = position.floor().clamp(max=height - 2).long()
        share = position - upper
        if dtype.itemsize < 4:
            # To a fraction that 16 bits hold together with its complement, so that the two sum to one.
            share = (share * 256).round() / 256
        shares = torch.stack(((1 - share) * inside, share * inside), dim=-1).flatten(1)  # (2H, 2 * taps)
        rows = torch.stack((upper, upper + 1), dim=-1) + torch.arange(taps)[:, None] * (batch * height)
        rows = (rows.flatten(1) + torch.arange(batch).view(batch, 1, 1) * height).flatten(0, 1)
        shares = shares.repeat(batch, 1).to(dtype)
        order = rows.flatten().argsort(stable=True)
        counts = torch.bincount(rows.flatten(), minlength=taps * batch * height)
        return _RowBlend(rows, shares, order // (2 * taps), shares.flatten()[order], counts.cumsum(0) - counts)


def one_at_a_time(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """``module(x)``, image by image on a CPU, whose caches hold the maps of one image but not those of a batch.

    The same result for a module that does not mix images, that is for all but batch normalisation.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return module(x)
    return torch.cat([module(image) for image in x.split(1)])
