"""Backend ``torch``: plain PyTorch, for any device, autocast, ``torch.compile(fullgraph=True)`` and ``torch.export``.

How it works. The input becomes a table with a row a pixel (channels last) and a border of zero rows. Every sample,
that is every output pixel, tap and offset group, is a bag of four rows, the corners of the cell it falls in, weighted
bilinearly and by the modulation. ``embedding_bag`` sums such bags without writing the four rows down, on all cores.
On a CPU the gradient of the table is such a sum as well, over the inverted index. One matrix product with the weight
follows. There a part of the output is done at a time, whose samples the caches may hold. ``python -m benchmarks
deform_conv`` compares it with a plain convolution and the libraries' operators.

Deterministic on the CPU. Differentiable once: a second derivative is refused with an error.
"""

from collections.abc import Iterator
from functools import reduce
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from acsnet.ops.backends.base import ANY_DEVICE, Backend, DeformConvCall

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

    Positions at -1 and below or at ``size`` and above fall on the border of zeros. Clamping comes first because a float
    far outside has no integer, and to -2 so that a position at exactly -1, where a layer that starts from zero offsets
    has many, keeps its derivative. A NaN goes on as the fraction, with indices that are in range.
    """
    position = position.clamp(-2, size)
    floor = position.detach().floor()
    cell = floor.to(dtype)
    return (cell + 1).clamp(0, size + 1), (cell + 2).clamp(0, size + 1), position - floor


def _corners(call: DeformConvCall) -> tuple[Tensor, Tensor]:
    """Table rows and weights of each sample's corners, both (B * H_out * W_out * kH * kW * offset_groups, 4)."""
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
    up = 1 - down
    if call.mask is not None:
        modulation = call.mask.unflatten(1, (call.offset_groups, -1)).permute(0, 3, 4, 2, 1).to(down.dtype)
        up, down = up * modulation, down * modulation
    weights = torch.stack((up * (1 - across), up * across, down * (1 - across), down * across), dim=-1)
    return indices.flatten(0, -2), weights.flatten(0, -2)


def _sample(call: DeformConvCall) -> Tensor:
    """Give the sampled and modulated input, (B * H_out * W_out, kH * kW, C_in), in the dtype of the result."""
    channels = call.input.shape[1]
    pixels = call.input.to(call.dtype).permute(0, 2, 3, 1)
    table = functional.pad(pixels, (0, 0, 1, 1, 1, 1)).reshape(-1, channels // call.offset_groups)
    indices, weights = _corners(call)
    samples = _sum_rows(table, indices, weights.to(call.dtype))
    taps = call.weight.shape[2] * call.weight.shape[3]
    positions = call.offset.shape[0] * call.offset.shape[2] * call.offset.shape[3]
    return samples.view(positions, taps, channels)


def _sum_rows(table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted rows of a table, a bag a sample: (rows, C), twice (samples, 4) -> (samples, C)."""
    if torch.onnx.is_in_onnx_export():
        # ONNX has no embedding_bag, and what PyTorch writes in its place is a loop over the samples.
        corners = zip(indices.unbind(1), weights.unbind(1), strict=True)
        return reduce(torch.add, (table.index_select(0, rows) * weight[:, None] for rows, weight in corners))
    if table.device.type == "cpu":
        return _SumRows.apply(table, indices, weights)
    if weights.requires_grad and not table.requires_grad and not torch.compiler.is_compiling():
        # torch 2.4 cannot differentiate, in eager mode, with respect to the weights of the bags alone.
        table.requires_grad_()
    return functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")


class _SumRows(torch.autograd.Function):
    """``embedding_bag`` whose gradient of the table is an ``embedding_bag`` again, over the inverted index.

    PyTorch's own gradient is by far the longest part of a backward pass with few channels on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, indices, weights)
        return functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        table, indices, weights = ctx.saved_tensors
        if grad.shape[0] == 0:
            return torch.zeros_like(table), None, torch.zeros_like(weights)
        grad, corners = grad.contiguous(), indices.shape[1]
        table_grad = weights_grad = None
        if ctx.needs_input_grad[0]:
            rows, order = indices.flatten().sort(stable=True)
            # Not by counting, whose result has a size that a compiler cannot know.
            starts = torch.searchsorted(rows, torch.arange(table.shape[0], dtype=rows.dtype))
            bags = order.div(corners, rounding_mode="floor")
            table_grad = functional.embedding_bag(
                bags, grad, starts, per_sample_weights=weights.flatten()[order], mode="sum"
            )
        if ctx.needs_input_grad[2]:
            starts = torch.arange(0, indices.numel(), corners, dtype=indices.dtype)
            bags = torch.arange(grad.shape[0], dtype=indices.dtype).repeat_interleave(corners)
            # What embedding_bag itself calls: products of rows, none of which is copied. Mode 0 is the sum.
            weights_grad = torch.ops.aten._embedding_bag_per_sample_weights_backward(
                grad, table, indices.flatten(), starts, bags, 0
            ).view_as(weights)
        return table_grad, None, weights_grad


def _multiply(samples: Tensor, call: DeformConvCall) -> Tensor:
    """Apply weight and bias to the samples: (positions, taps, C_in) -> (positions, C_out)."""
    weight = call.weight.to(call.dtype).permute(0, 2, 3, 1).flatten(1, 2)  # (C_out, taps, C_in / groups)
    bias = None if call.bias is None else call.bias.to(call.dtype)
    if call.groups == 1:
        return functional.linear(samples.flatten(1), weight.flatten(1), bias)
    output = torch.einsum(
        "ptgc,gotc->pgo", samples.unflatten(2, (call.groups, -1)), weight.unflatten(0, (call.groups, -1))
    ).flatten(1)
    return output if bias is None else output + bias


def _sample_and_multiply(call: DeformConvCall) -> Tensor:
    """(positions, C_out); what autograd saves of it are copies of the arguments and nothing the size of the samples."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return _multiply(_sample(call), call)
    # The samples are taken again in the backward pass, which costs little: they are kH * kW times the input.
    return checkpoint(lambda call: _multiply(_sample(call), call), call, use_reentrant=False, preserve_rng_state=False)


def _in_parts(call: DeformConvCall) -> Iterator[DeformConvCall]:
    """Calls for parts of the output, in order: some images, or some rows of one, with at most ``_PART_BYTES``."""
    height, width = call.offset.shape[2:]
    bytes_per_row = call.input.shape[1] * call.weight[0, 0].numel() * width * call.dtype.itemsize
    images = max(1, _PART_BYTES // (bytes_per_row * height))
    rows = min(height, max(1, _PART_BYTES // bytes_per_row))
    masks = repeat(None) if call.mask is None else call.mask.split(images)
    for input, offset, mask in zip(call.input.split(images), call.offset.split(images), masks, strict=False):
        bands = repeat(None) if mask is None else mask.split(rows, dim=2)
        for start, band_offset, band in zip(range(0, height, rows), offset.split(rows, dim=2), bands, strict=False):
            # A band that starts lower down is one with that much less padding above.
            padding = (call.padding[0] - start * call.stride[0], call.padding[1])
            yield call._replace(input=input, offset=band_offset, mask=band, padding=padding)


def _run(call: DeformConvCall) -> Tensor:
    batch, _, height, width = call.offset.shape
    if call.input.device.type != "cpu" or torch.compiler.is_compiling():
        output = _sample_and_multiply(call)
    else:
        output = torch.cat([_sample_and_multiply(part) for part in _in_parts(call)])
    output = output.view(batch, height, width, call.weight.shape[0]).permute(0, 3, 1, 2)
    # As conv2d does: channels-last goes in and out, anything else comes out contiguous.
    if call.input.is_contiguous(memory_format=torch.channels_last):
        return output
    return output.contiguous()


def _is_available() -> bool:
    return True


BACKEND = Backend(
    name="torch",
    run=_run,
    is_available=_is_available,
    priority={"cpu": 20, ANY_DEVICE: 10},
    install_hint="part of PyTorch",
    deterministic_on=frozenset({ANY_DEVICE}),
)
