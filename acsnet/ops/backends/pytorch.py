"""Backend ``torch``: plain PyTorch for all devices; compilers and exporters can trace it.

Algorithm. The input is rearranged into a table with one row per pixel (channels last) and a border of zero rows. There
is one sample per output pixel, tap and offset group: the sum of four rows, the corners of the cell that it falls into,
weighted bilinearly and by the modulation. ``embedding_bag`` computes these sums on all cores without copying the rows.
The gradient of the table is such a sum as well, over the inverted index. A matrix product with the weight follows.
On a CPU the output is computed in slices, and a slice in chunks whose samples fit into the caches; the backward pass
samples again.
``python -m benchmarks deform_conv`` compares the backend with a plain convolution and the operators of other libraries.

All results are deterministic.
"""

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from acsnet.ops.backends.base import ANY_DEVICE, Backend, DeformConvCall, Gradients, Needs

#: On a CPU, bytes of the samples of one slice. From 32 MiB on the C library would map and clear the memory for each
#: allocation.
_SLICE_BYTES = 20 * 2**20

#: On a CPU, the least number of output pixels whose samples are multiplied at once. With 64 channels the samples of as
#: many fit into the caches of two cores; with fewer pixels, products of many channels would read the weight too often.
_CHUNK_PIXELS = 2048

#: Rows of 16 bits with fewer channels are converted before their dot products, each of which takes a fixed time more.
_LONG_ROW = 256


def _sampling_positions(call: DeformConvCall) -> tuple[Tensor, Tensor]:
    """Compute the rows and columns to sample at, in pixels, each (B, H_out, W_out, kH * kW, offset_groups).

    The result is at least float32, because bfloat16 rounds position 128.5 to 128.
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
    """Return the neighbors before and after each position on one axis, and the fraction of the way between them.

    The neighbors are indices into the axis with its border of zeros. Positions of at most -1 or at least ``size`` are
    on the border, and so is NaN. Positions are clamped before they are rounded, because large floats do not fit into
    integers. They are clamped to -2, not -1, because a position of exactly -1 must keep its derivative: a layer whose
    offsets start at zero has many of these.
    """
    position = torch.where(position.isnan(), -2.0, position).clamp(-2, size)
    floor = position.detach().floor()
    cell = floor.to(dtype)
    return (cell + 1).clamp(0, size + 1), (cell + 2).clamp(0, size + 1), position - floor


class _Cells(NamedTuple):
    """The cells of four pixels that the samples fall into.

    Attributes:
        indices: table rows of the corners, (samples, 4).
        down: fraction of the way to the next row, (B, H_out, W_out, kH * kW, offset_groups).
        across: fraction of the way to the next column, of the same shape.
        modulation: modulation of each sample, of the same shape, or None.
    """

    indices: Tensor
    down: Tensor
    across: Tensor
    modulation: Tensor | None

    def weights(self) -> Tensor:
        """Compute the weight of each corner in its sample, (samples, 4)."""
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
    # 32 bits halve the memory traffic, but in a graph with a dynamic batch their range would become a condition on it.
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
    """Return the input with a border of zeros, one row per pixel: (B * (H + 2) * (W + 2) * offset_groups, C)."""
    pixels = call.input.to(call.dtype).permute(0, 2, 3, 1)
    padded = functional.pad(pixels, (0, 0, 1, 1, 1, 1))
    return padded.reshape(-1, call.input.shape[1] // call.offset_groups)


def _by_position(samples: Tensor, call: DeformConvCall) -> Tensor:
    """Rearrange (samples, C / offset_groups) -> (positions, kH * kW, C)."""
    return samples.view(-1, call.weight.shape[2] * call.weight.shape[3], call.input.shape[1])


def _chunks(call: DeformConvCall) -> Iterator[tuple[slice, slice]]:
    """Yield the positions, output pixels of all images, and the samples of each chunk."""
    positions = call.offset.shape[0] * call.offset.shape[2] * call.offset.shape[3]
    chunks = max(1, positions // _CHUNK_PIXELS) if call.input.device.type == "cpu" else 1
    size = max(1, -(-positions // chunks))
    per_position = call.weight.shape[2] * call.weight.shape[3] * call.offset_groups
    for first in range(0, positions, size):
        last = min(first + size, positions)
        yield slice(first, last), slice(first * per_position, last * per_position)


def _sum_rows(table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted rows of a table for each sample: (rows, C), twice (samples, 4) -> (samples, C)."""
    if torch.onnx.is_in_onnx_export():
        # ONNX has no embedding_bag, and PyTorch would export it as a loop over the samples.
        corners = zip(indices.unbind(1), weights.unbind(1), strict=True)
        return reduce(torch.add, (table.index_select(0, rows) * weight[:, None] for rows, weight in corners))
    return functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")


def _weight_by_taps(call: DeformConvCall) -> Tensor:
    """Return the weight as (C_out, kH * kW, C_in / groups), in the dtype of the result."""
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


def _as_images(output: Tensor, call: DeformConvCall) -> Tensor:
    """Rearrange (B * H_out * W_out, C_out) -> (B, C_out, H_out, W_out), channels-last in memory if the input is."""
    batch, _, height, width = call.offset.shape
    output = output.view(batch, height, width, call.weight.shape[0]).permute(0, 3, 1, 2)
    return output if call.input.is_contiguous(memory_format=torch.channels_last) else output.contiguous()


def trace(call: DeformConvCall) -> Tensor:
    """Compute the result in one chunk, by operators that compilers, exporters and autograd can trace."""
    cells = _cells(call)
    samples = _sum_rows(_table(call), cells.indices, cells.weights().to(call.dtype))
    return _as_images(_multiply(_by_position(samples, call), call), call)


def _slices(call: DeformConvCall) -> Iterator[tuple[slice, slice]]:
    """Yield the images and output rows of each slice: on a CPU several images or several rows of one, otherwise all."""
    batch, _, height, width = call.offset.shape
    if call.input.device.type != "cpu":
        yield slice(0, batch), slice(0, height)
        return
    bytes_per_row = call.input.shape[1] * call.weight[0, 0].numel() * width * call.dtype.itemsize
    images = max(1, _SLICE_BYTES // (bytes_per_row * height))
    rows = min(height, max(1, _SLICE_BYTES // bytes_per_row))
    for first in range(0, batch, images):
        for top in range(0, height, rows):
            yield slice(first, min(first + images, batch)), slice(top, min(top + rows, height))


def _slice_call(call: DeformConvCall, images: slice, rows: slice) -> DeformConvCall:
    """Return the call that computes one slice of the output."""
    return call._replace(
        input=call.input[images],
        offset=call.offset[images, :, rows],
        mask=None if call.mask is None else call.mask[images, :, rows],
        # Rows that start lower down correspond to less padding at the top.
        padding=(call.padding[0] - rows.start * call.stride[0], call.padding[1]),
    )


def _run(call: DeformConvCall) -> Tensor:
    batch, _, height, width = call.offset.shape
    output = torch.empty((batch, height, width, call.weight.shape[0]), dtype=call.dtype, device=call.input.device)
    for images, rows in _slices(call):
        # Rows of one image or whole images: contiguous.
        _run_slice(_slice_call(call, images, rows), output[images, rows].flatten(0, 2))
    return _as_images(output.flatten(0, 2), call)


def _run_slice(call: DeformConvCall, output: Tensor) -> None:
    """Write the result of a slice into ``output``, (positions, C_out)."""
    table, cells = _table(call), _cells(call)
    weights = cells.weights().to(call.dtype)
    for positions, chunk in _chunks(call):
        samples = _sum_rows(table, cells.indices[chunk], weights[chunk])
        output[positions] = _multiply(_by_position(samples, call), call)


def _sum_rows_back(grad: Tensor, table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Compute the gradient of the table by ``embedding_bag`` over the inverted index.

    The backward pass of ``embedding_bag`` itself is far slower on a CPU if there are few channels.
    """
    rows, order = indices.flatten().sort(stable=True)
    starts = torch.searchsorted(rows, torch.arange(table.shape[0], dtype=rows.dtype, device=rows.device))
    bags = order.div(indices.shape[1], rounding_mode="floor")
    return functional.embedding_bag(bags, grad, starts, per_sample_weights=weights.flatten()[order], mode="sum")


def _products_of_rows(grad: Tensor, table: Tensor, indices: Tensor) -> Tensor:
    """Compute the gradient of the corners' weights, (samples, 4): dot products of rows of ``grad`` and of the table."""
    corners = indices.shape[1]
    starts = torch.arange(0, indices.numel(), corners, dtype=indices.dtype, device=indices.device)
    bags = torch.arange(grad.shape[0], dtype=indices.dtype, device=indices.device).repeat_interleave(corners)
    # The operator that embedding_bag itself calls, which does not copy the rows. Mode 0 is the sum.
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        grad, table, indices.flatten(), starts, bags, 0
    )
    return products.view_as(indices)


def _corners_back(by_corners: Tensor, cells: _Cells, call: DeformConvCall) -> tuple[Tensor, Tensor | None]:
    """Compute the gradients of offset and mask from the gradient of the corners' weights."""
    shape = (*cells.down.shape, 4)
    a, b, c, d = by_corners.to(cells.down.dtype).view(shape).unbind(-1)
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


def _weight_back(samples: Tensor, upstream: Tensor, call: DeformConvCall) -> Tensor:
    """Compute the gradient of the weight, (C_out, taps, C_in / groups), from (positions, C_out)."""
    if call.groups == 1:
        return (upstream.T @ samples.flatten(1)).view(-1, *samples.shape[1:])
    grouped = upstream.unflatten(1, (call.groups, -1))
    return torch.einsum("ptgc,pgo->gotc", samples.unflatten(2, (call.groups, -1)), grouped).flatten(0, 1)


def _samples_back(upstream: Tensor, call: DeformConvCall, by_samples: Tensor) -> None:
    """Write the gradient of the samples, (positions, taps, C_in), from (positions, C_out)."""
    weight = _weight_by_taps(call)
    if call.groups == 1:
        torch.mm(upstream, weight.flatten(1), out=by_samples.flatten(1))
        return
    grouped, by_group = upstream.unflatten(1, (call.groups, -1)), weight.unflatten(0, (call.groups, -1))
    by_samples.copy_(torch.einsum("pgo,gotc->ptgc", grouped, by_group).flatten(2))


def _slice_gradients(call: DeformConvCall, grad: Tensor, needs: Needs, by_weight: Tensor | None) -> Gradients:
    """Compute the gradients of a slice, except that of the bias.

    That of the weight is added to ``by_weight``, (C_out, taps, C_in / groups), if it is needed.
    """
    batch, channels, height, width = call.input.shape
    upstream = grad.to(call.dtype).permute(0, 2, 3, 1).reshape(-1, call.weight.shape[0])
    table, cells = _table(call), _cells(call)
    weights = cells.weights().to(call.dtype)
    rows = table if table.shape[1] >= _LONG_ROW else table.to(cells.down.dtype)
    by_samples = table.new_empty(len(weights), table.shape[1])
    by_corners = torch.empty_like(weights, dtype=rows.dtype)
    for positions, chunk in _chunks(call):
        if by_weight is not None:
            samples = _sum_rows(table, cells.indices[chunk], weights[chunk])
            by_weight += _weight_back(_by_position(samples, call), upstream[positions], call)
        _samples_back(upstream[positions], call, _by_position(by_samples[chunk], call))
        if needs.offset or needs.mask:
            by_corners[chunk] = _products_of_rows(by_samples[chunk].to(rows.dtype), rows, cells.indices[chunk])
    by_input = by_offset = by_mask = None
    if needs.input:
        by_table = _sum_rows_back(by_samples, table, cells.indices, weights)
        by_input = by_table.view(batch, height + 2, width + 2, channels)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
    if needs.offset or needs.mask:
        by_offset, by_mask = _corners_back(by_corners, cells, call)
    return Gradients(by_input, by_offset, None, None, by_mask)


def _gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    by_input = call.input.new_zeros(call.input.shape) if needs.input else None
    by_offset = torch.zeros_like(call.offset) if needs.offset else None
    by_mask = torch.zeros_like(call.mask) if needs.mask and call.mask is not None else None
    dtype = torch.promote_types(call.weight.dtype, torch.float32)
    out_channels, group_channels, *kernel = call.weight.shape
    taps = kernel[0] * kernel[1]
    by_weight = call.weight.new_zeros((out_channels, taps, group_channels), dtype=dtype) if needs.weight else None
    by_bias = grad.sum((0, 2, 3), dtype=dtype) if needs.bias else None
    if needs.input or needs.offset or needs.weight or needs.mask:
        for images, rows in _slices(call):
            if images.start == images.stop:
                continue
            gradients = _slice_gradients(_slice_call(call, images, rows), grad[images, :, rows], needs, by_weight)
            if by_input is not None and gradients.input is not None:
                by_input[images] += gradients.input
            if by_offset is not None and gradients.offset is not None:
                by_offset[images, :, rows] = gradients.offset
            if by_mask is not None and gradients.mask is not None:
                by_mask[images, :, rows] = gradients.mask
    if by_weight is not None:
        by_weight = by_weight.unflatten(1, kernel).permute(0, 3, 1, 2)
    return Gradients(by_input, by_offset, by_weight, by_bias, by_mask)


def _is_available() -> bool:
    return True


BACKEND = Backend(
    name="torch",
    run=_run,
    gradients=_gradients,
    is_available=_is_available,
    priority={"cpu": 20, ANY_DEVICE: 10},
    install_hint="included in PyTorch",
    deterministic_on=frozenset({ANY_DEVICE}),
)
