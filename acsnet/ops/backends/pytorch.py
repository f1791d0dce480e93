"""Backend ``torch``: plain PyTorch, for any device, and the form that the compilers and exporters can see through.

How it works. The input becomes a table with a row a pixel (channels last) and a border of zero rows. Every sample,
that is every output pixel, tap and offset group, is a bag of four rows, the corners of the cell it falls in, weighted
bilinearly and by the modulation. ``embedding_bag`` sums such bags without writing the four rows down, on all cores.
The gradient of the table is such a sum as well, over the inverted index. One matrix product with the weight follows.
On a CPU a part of the output is done at a time, whose samples the caches may hold, and they are taken again in the
backward pass. ``python -m benchmarks deform_conv`` compares it with a plain convolution and the libraries' operators.

Deterministic.
"""

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from acsnet.ops.backends.base import ANY_DEVICE, Backend, DeformConvCall, Gradients, Needs

#: On a CPU, bytes of samples that are taken and multiplied at a time. More do not fit into the caches, and from 32 MiB
#: on the C library has them mapped and cleared anew each time.
_PART_BYTES = 20 * 2**20


def _sampling_positions(call: DeformConvCall) -> tuple[Tensor, Tensor]:
    """Rows and columns of the input at which to sample, in pixels, each (B, H_out, W_out, kH * kW, offset_groups).

    In float32 or better whatever the offset's dtype: bfloat16 cannot tell position 128.5 from 128.
    """
    kernel_height, kernel_width = call.weight.shape[2:]
    taps = kernel_height * kernel_width
    height, width = call.offset.shape[2:]
    device, dtype = call.offset.device, torch.promote_types(call.offset.dtype, torch.float32)
    tap = torch.arange(taps, device=device).view(taps, 1)
    row = torch.arange(height, device=device).view(height, 1, 1, 1) * call.stride[0] - call.padding[0]
    column = torch.arange(width, device=device).view(width, 1, 1) * call.stride[1] - call.padding[1]
    row = row + tap // kernel_width * call.dilation[0]
    column = column + tap % kernel_width * call.dilation[1]
    offset = call.offset.unflatten(1, (call.offset_groups, taps, 2)).permute(3, 0, 4, 5, 2, 1).to(dtype)
    return offset[0] + row, offset[1] + column


def _neighbors(position: Tensor, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbors below and above each position on one axis, as indices into the zero-bordered axis, and the fraction.

    Positions at -1 and below or at ``size`` and above fall on the border of zeros, and so does NaN. Clamping comes
    first because a float far outside has no integer, and to -2 so that a position at exactly -1, where a layer that
    starts from zero offsets has many, keeps its derivative.
    """
    position = torch.where(position.isnan(), -2.0, position).clamp(-2, size)
    floor = position.detach().floor()
    cell = floor.to(dtype)
    return (cell + 1).clamp(0, size + 1), (cell + 2).clamp(0, size + 1), position - floor


class _Cells(NamedTuple):
    """Where the samples fall, each but the first (B, H_out, W_out, kH * kW, offset_groups).

    Attributes:
        indices: table rows of the corners, (samples, 4).
        down, across: fractions of the way to the next row and column.
        modulation: of each sample, or None.
    """

    indices: Tensor
    down: Tensor
    across: Tensor
    modulation: Tensor | None

    def weights(self) -> Tensor:
        """Share of each corner in its sample, (samples, 4)."""
        up, down = 1 - self.down, self.down
        if self.modulation is not None:
            up, down = up * self.modulation, down * self.modulation
        back = 1 - self.across
        corners = (up * back, up * self.across, down * back, down * self.across)
        return torch.stack(corners, dim=-1).flatten(0, -2)


def _cells(call: DeformConvCall) -> _Cells:
    """Find the cell of each sample."""
    batch, _, height, width = call.input.shape
    y, x = _sampling_positions(call)
    # 32 bits are half the memory traffic; but a graph with any batch would carry their limit as a condition on it.
    rows = batch * (height + 2) * (width + 2) * call.offset_groups
    dtype = torch.int64 if torch.compiler.is_compiling() or rows >= 2**31 else torch.int32
    top, bottom, down = _neighbors(y, height, dtype)
    left, right, across = _neighbors(x, width, dtype)
    image = torch.arange(batch, device=y.device, dtype=dtype).view(batch, 1, 1, 1, 1) * (height + 2)
    top, bottom = (image + top) * (width + 2), (image + bottom) * (width + 2)
    indices = torch.stack((top + left, top + right, bottom + left, bottom + right), dim=-1)
    if call.offset_groups > 1:
        group = torch.arange(call.offset_groups, device=y.device, dtype=dtype).view(call.offset_groups, 1)
        indices = indices * call.offset_groups + group
    modulation = None
    if call.mask is not None:
        modulation = call.mask.unflatten(1, (call.offset_groups, -1)).permute(0, 3, 4, 2, 1).to(down.dtype)
    return _Cells(indices.flatten(0, -2), down, across, modulation)


def _table(call: DeformConvCall) -> Tensor:
    """Pixels of the input with a border of zeros, a row each: (B * (H + 2) * (W + 2) * offset_groups, C)."""
    pixels = call.input.to(call.dtype).permute(0, 2, 3, 1)
    padded = functional.pad(pixels, (0, 0, 1, 1, 1, 1))
    return padded.reshape(-1, call.input.shape[1] // call.offset_groups)


def _by_position(samples: Tensor, call: DeformConvCall) -> Tensor:
    """(samples, C / offset_groups) -> (B * H_out * W_out, kH * kW, C)."""
    positions = call.offset.shape[0] * call.offset.shape[2] * call.offset.shape[3]
    return samples.view(positions, call.weight.shape[2] * call.weight.shape[3], call.input.shape[1])


def _sum_rows(table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted rows of a table, a bag a sample: (rows, C), twice (samples, 4) -> (samples, C)."""
    if torch.onnx.is_in_onnx_export():
        # ONNX has no embedding_bag, and what PyTorch writes in its place is a loop over the samples.
        corners = zip(indices.unbind(1), weights.unbind(1), strict=True)
        return reduce(torch.add, (table.index_select(0, rows) * weight[:, None] for rows, weight in corners))
    return functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")


def _weight_by_taps(call: DeformConvCall) -> Tensor:
    """The weight as (C_out, kH * kW, C_in / groups), in the dtype of the result."""
    return call.weight.to(call.dtype).permute(0, 2, 3, 1).flatten(1, 2)


def _multiply(samples: Tensor, call: DeformConvCall) -> Tensor:
    """Apply weight and bias to the samples: (positions, taps, C_in) -> (positions, C_out)."""
    weight = _weight_by_taps(call)
    bias = None if call.bias is None else call.bias.to(call.dtype)
    if call.groups == 1:
        return functional.linear(samples.flatten(1), weight.flatten(1), bias)
    output = torch.einsum(
        "ptgc,gotc->pgo", samples.unflatten(2, (call.groups, -1)), weight.unflatten(0, (call.groups, -1))
    ).flatten(1)
    return output if bias is None else output + bias


def _sample_and_multiply(call: DeformConvCall) -> Tensor:
    """The output as (B * H_out * W_out, C_out)."""
    cells = _cells(call)
    samples = _sum_rows(_table(call), cells.indices, cells.weights().to(call.dtype))
    return _multiply(_by_position(samples, call), call)


def _as_images(output: Tensor, call: DeformConvCall) -> Tensor:
    """(B * H_out * W_out, C_out) -> (B, C_out, H_out, W_out), channels-last in memory where the input is."""
    batch, _, height, width = call.offset.shape
    output = output.view(batch, height, width, call.weight.shape[0]).permute(0, 3, 1, 2)
    return output if call.input.is_contiguous(memory_format=torch.channels_last) else output.contiguous()


def trace(call: DeformConvCall) -> Tensor:
    """Compute the result by operators of PyTorch that compilers, exporters and autograd see through, in one part."""
    return _as_images(_sample_and_multiply(call), call)


def _parts(call: DeformConvCall) -> Iterator[tuple[slice, slice]]:
    """Images and output rows of each part, in order: on a CPU some images, or some rows of one, else everything."""
    batch, _, height, width = call.offset.shape
    if call.input.device.type != "cpu":
        yield slice(0, batch), slice(0, height)
        return
    bytes_per_row = call.input.shape[1] * call.weight[0, 0].numel() * width * call.dtype.itemsize
    images = max(1, _PART_BYTES // (bytes_per_row * height))
    rows = min(height, max(1, _PART_BYTES // bytes_per_row))
    for first in range(0, batch, images):
        for top in range(0, height, rows):
            yield slice(first, min(first + images, batch)), slice(top, min(top + rows, height))


def _cut(call: DeformConvCall, images: slice, rows: slice) -> DeformConvCall:
    """The call for a part of the output."""
    return call._replace(
        input=call.input[images],
        offset=call.offset[images, :, rows],
        mask=None if call.mask is None else call.mask[images, :, rows],
        # A band that starts lower down is one with that much less padding above.
        padding=(call.padding[0] - rows.start * call.stride[0], call.padding[1]),
    )


def _run(call: DeformConvCall) -> Tensor:
    batch, _, height, width = call.offset.shape
    output = torch.empty((batch, height, width, call.weight.shape[0]), dtype=call.dtype, device=call.input.device)
    for images, rows in _parts(call):
        part = output[images, rows]
        part.copy_(_sample_and_multiply(_cut(call, images, rows)).view(part.shape))
    return _as_images(output.flatten(0, 2), call)


def _sum_rows_back(grad: Tensor, table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Gradient of the table: ``embedding_bag`` over the inverted index.

    PyTorch's own is by far the longest part of a backward pass with few channels on a CPU.
    """
    rows, order = indices.flatten().sort(stable=True)
    starts = torch.searchsorted(rows, torch.arange(table.shape[0], dtype=rows.dtype, device=rows.device))
    bags = order.div(indices.shape[1], rounding_mode="floor")
    return functional.embedding_bag(bags, grad, starts, per_sample_weights=weights.flatten()[order], mode="sum")


def _products_of_rows(grad: Tensor, table: Tensor, indices: Tensor) -> Tensor:
    """Gradient of the corners' shares, (samples, 4): products of each sample's gradient with its rows of the table."""
    corners = indices.shape[1]
    starts = torch.arange(0, indices.numel(), corners, dtype=indices.dtype, device=indices.device)
    bags = torch.arange(grad.shape[0], dtype=indices.dtype, device=indices.device).repeat_interleave(corners)
    # What embedding_bag itself calls, without a copy of the rows. Mode 0 is the sum.
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        grad, table, indices.flatten(), starts, bags, 0
    )
    return products.view_as(indices)


def _shares_back(by_shares: Tensor, cells: _Cells, call: DeformConvCall) -> tuple[Tensor, Tensor | None]:
    """Gradients of offset and mask from that of the corners' shares."""
    shape = (*cells.down.shape, 4)
    a, b, c, d = by_shares.to(cells.down.dtype).view(shape).unbind(-1)
    across, down = cells.across, cells.down
    upper, lower = a + across * (b - a), c + across * (d - c)
    by_y = lower - upper
    by_x = (1 - down) * (b - a) + down * (d - c)
    by_mask = None
    if cells.modulation is not None:
        by_mask = (upper + down * by_y).permute(0, 4, 3, 1, 2).flatten(1, 2)
        by_y, by_x = by_y * cells.modulation, by_x * cells.modulation
    y, x = _sampling_positions(call)
    height, width = call.input.shape[2:]
    by_y = torch.where((y >= -2) & (y <= height), by_y, 0.0)
    by_x = torch.where((x >= -2) & (x <= width), by_x, 0.0)
    by_offset = torch.stack((by_y, by_x), dim=-1).permute(0, 4, 3, 5, 1, 2).flatten(1, 3)
    return by_offset, by_mask


def _multiply_back(samples: Tensor | None, upstream: Tensor, call: DeformConvCall) -> tuple[Tensor | None, Tensor]:
    """Gradients of the weight, (C_out, taps, C_in / groups) where there are samples, and of the samples."""
    weight = _weight_by_taps(call)
    if call.groups == 1:
        by_weight = None if samples is None else (upstream.T @ samples.flatten(1)).view_as(weight)
        return by_weight, (upstream @ weight.flatten(1)).view(len(upstream), weight.shape[1], -1)
    grouped, by_group = upstream.unflatten(1, (call.groups, -1)), weight.unflatten(0, (call.groups, -1))
    by_weight = None
    if samples is not None:
        by_weight = torch.einsum("ptgc,pgo->gotc", samples.unflatten(2, (call.groups, -1)), grouped).flatten(0, 1)
    return by_weight, torch.einsum("pgo,gotc->ptgc", grouped, by_group).flatten(2)


def _part_gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    """Gradients of a part, that of the bias left out; the weight's is (C_out, taps, C_in / groups)."""
    batch, channels, height, width = call.input.shape
    upstream = grad.to(call.dtype).permute(0, 2, 3, 1).reshape(-1, call.weight.shape[0])
    table, cells = _table(call), _cells(call)
    shares = cells.weights().to(call.dtype)
    samples = _by_position(_sum_rows(table, cells.indices, shares), call) if needs.weight else None
    by_weight, by_samples = _multiply_back(samples, upstream, call)
    del samples
    by_samples = by_samples.reshape(-1, table.shape[1])
    by_input = by_offset = by_mask = None
    if needs.input:
        by_table = _sum_rows_back(by_samples, table, cells.indices, shares)
        by_input = by_table.view(batch, height + 2, width + 2, channels)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
    if needs.offset or needs.mask:
        by_offset, by_mask = _shares_back(_products_of_rows(by_samples, table, cells.indices), cells, call)
    return Gradients(by_input, by_offset, by_weight, None, by_mask)


def _gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    by_input = call.input.new_zeros(call.input.shape) if needs.input else None
    by_offset = torch.zeros_like(call.offset) if needs.offset else None
    by_mask = torch.zeros_like(call.mask) if needs.mask and call.mask is not None else None
    dtype = torch.promote_types(call.weight.dtype, torch.float32)
    out_channels, group_channels, *kernel = call.weight.shape
    by_weight = call.weight.new_zeros((out_channels, *kernel, group_channels), dtype=dtype) if needs.weight else None
    by_bias = grad.sum((0, 2, 3), dtype=dtype) if needs.bias else None
    if needs.input or needs.offset or needs.weight or needs.mask:
        for images, rows in _parts(call):
            if images.start == images.stop:
                continue
            part = _part_gradients(_cut(call, images, rows), grad[images, :, rows], needs)
            if by_input is not None and part.input is not None:
                by_input[images] += part.input
            if by_offset is not None and part.offset is not None:
                by_offset[images, :, rows] = part.offset
            if by_mask is not None and part.mask is not None:
                by_mask[images, :, rows] = part.mask
            if by_weight is not None and part.weight is not None:
                by_weight += part.weight.view_as(by_weight)
    return Gradients(
        by_input, by_offset, None if by_weight is None else by_weight.permute(0, 3, 1, 2), by_bias, by_mask
    )


def _is_available() -> bool:
    return True


BACKEND = Backend(
    name="torch",
    run=_run,
    gradients=_gradients,
    is_available=_is_available,
    priority={"cpu": 20, ANY_DEVICE: 10},
    install_hint="part of PyTorch",
    deterministic_on=frozenset({ANY_DEVICE}),
)
