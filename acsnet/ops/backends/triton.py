"""Backend ``triton``: fused CUDA kernels that never store the matrix of columns, in float32 and half precision.

Algorithm. torchvision and mmcv sample the whole input into a float32 matrix, (taps * channels, pixels), nine times the
size of the input for a 3x3 kernel, and multiply it with the weight; their backward passes also store its gradient. Here
each program samples only the tile that it multiplies next, channels-last and interpolated in float32, and the backward
pass samples again. In addition to inputs and results, memory is needed for copies of tensors that are not channels-last
or not in the dtype of the result, for the gradient of a half-precision input in float32, and for partial sums if the
work must be divided to fill the device.

Precision. Sums and positions are float32 for all dtypes. Float32 products use the tensor cores: one pass of TF32 if
``torch.backends.cuda.matmul`` allows it, otherwise three passes, which lose the last two bits of float32.

Determinism. All results are deterministic except the gradient of the input: samples overlap, and their terms are summed
by atomics, in no fixed order.

For tests: with ``TRITON_INTERPRET=1`` in the environment before Python starts, Triton's interpreter runs the kernels
without a GPU. This is slow, and only done if the backend is requested by name.
"""

import functools
import importlib
import importlib.util
import logging
import math
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from acsnet.ops.backends import pytorch
from acsnet.ops.backends.base import Backend, DeformConvCall, Gradients, Needs

logger = logging.getLogger(__name__)

_OLDEST_TRITON = (3, 2)
_IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


class _Blocks(NamedTuple):
    """Largest sizes of the tiles of a kernel, and its launch options.

    Sampling dominates the cost, and wider tiles of output channels resample less.

    Attributes:
        pixels: output pixels of a tile.
        channels: input channels of a tile.
        out_channels: output channels of a tile to choose from, widest first.
        warps: warps per program.
        stages: loads in flight at a time.
    """

    pixels: int
    channels: int
    out_channels: tuple[int, ...]
    warps: int
    stages: int


# Key: bytes of an element. On Hopper two programs fit on a multiprocessor at a time (by registers, and by at most 64 KB
# of shared memory each), so that one loads while the other multiplies.
_FORWARD = {2: _Blocks(64, 32, (256, 128, 64), 8, 1), 4: _Blocks(64, 32, (128, 64), 4, 1)}
_BACKWARD_COLUMNS = {2: _Blocks(64, 64, (64,), 8, 3), 4: _Blocks(64, 64, (32,), 8, 3)}
_BACKWARD_WEIGHT = {2: _Blocks(64, 64, (256, 128), 8, 1), 4: _Blocks(32, 64, (128,), 8, 1)}
_PROGRAMS_PER_PROCESSOR = 2
#: Blocks of channels for which the forward kernel computes positions once.
_BLOCKS_PER_CHUNK = 4
#: Largest relative difference of the first results from those of the backend ``torch``; that of bfloat16 is below 0.01.
_TOLERANCE = 0.03
#: Smallest side of a tile that all supported versions of Triton multiply on tensor cores.
_SMALLEST_BLOCK = 16


class _Geometry(NamedTuple):
    """Sizes that all kernels take, named like the arguments of the kernels."""

    pixels: int
    height: int
    width: int
    channels: int
    out_channels: int
    out_area: int
    out_width: int
    kernel_width: int
    taps: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int
    dilation_y: int
    dilation_x: int
    group_channels: int
    group_out_channels: int
    offset_channels: int
    entries: int
    unit: int


def _geometry(call: DeformConvCall) -> _Geometry:
    return _find_geometry(
        call.input.shape,
        call.weight.shape,
        call.offset.shape[2:],
        call.stride,
        call.padding,
        call.dilation,
        call.groups,
        call.offset_groups,
    )


@functools.lru_cache(maxsize=256)
def _find_geometry(
    input: torch.Size,
    weight: torch.Size,
    out_size: torch.Size,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    offset_groups: int,
) -> _Geometry:
    """Compute the sizes of a call. Cached, as all settings of a launch: the host would take longer than the kernels."""
    batch, channels, height, width = input
    out_channels, group_channels, kernel_height, kernel_width = weight
    out_height, out_width = out_size
    taps = kernel_height * kernel_width
    return _Geometry(
        pixels=batch * out_height * out_width,
        height=height,
        width=width,
        channels=channels,
        out_channels=out_channels,
        out_area=out_height * out_width,
        out_width=out_width,
        kernel_width=kernel_width,
        taps=taps,
        stride_y=stride[0],
        stride_x=stride[1],
        padding_y=padding[0],
        padding_x=padding[1],
        dilation_y=dilation[0],
        dilation_x=dilation[1],
        group_channels=group_channels,
        group_out_channels=out_channels // groups,
        offset_channels=channels // offset_groups,
        entries=offset_groups * taps,
        unit=math.gcd(group_channels, channels // offset_groups),
    )


@functools.cache
def _kernels() -> ModuleType:
    return importlib.import_module("acsnet.ops.backends._triton_kernels")


@functools.cache
def _processors(device: torch.device) -> int:
    """Return the number of multiprocessors; 1 in the interpreter, which gains nothing if the work is divided."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


def _register_limit(device: torch.device, warps: int) -> int | None:
    """Return the registers per thread that let two programs run on a multiprocessor, or None before Hopper."""
    if _capability(device) < (9, 0):
        return None
    limit = 65536 // (_PROGRAMS_PER_PROCESSOR * warps * 32)
    return limit if limit < 256 else None  # a thread has at most 255


def _arithmetic_dtype(call: DeformConvCall) -> torch.dtype:
    """Return the dtype to multiply in: that of the result, or float32 if the interpreter cannot multiply bfloat16."""
    return torch.float32 if _IS_INTERPRETED and call.dtype == torch.bfloat16 else call.dtype


def _precision(dtype: torch.dtype) -> str:
    """Return Triton's ``input_precision`` of products."""
    if dtype != torch.float32:
        return "ieee"
    matmul = torch.backends.cuda.matmul
    # From torch 2.9 on the newer name must be read: the older one raises if the newer one was set.
    allows_tf32 = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    return "tf32" if allows_tf32 else "tf32x3"


@functools.lru_cache(maxsize=256)
def _tile_side(size: int, limit: int) -> tuple[int, bool]:
    """Return the side of a tile for an axis of ``size``, and whether tiles fill the axis exactly."""
    block = min(limit, size & -size)  # the largest power of two that divides size
    if block >= _SMALLEST_BLOCK:
        return block, True
    return min(limit, max(_SMALLEST_BLOCK, 1 << (size - 1).bit_length())), False


def _settings(
    geometry: _Geometry, blocks: _Blocks, out_width: int, dtype: torch.dtype, device: torch.device
) -> Mapping[str, Any]:
    """Return the keyword arguments of all kernels, for tiles of at most ``out_width`` output channels."""
    return _find_settings(geometry, blocks, out_width, _precision(dtype), _register_limit(device, blocks.warps))


@functools.lru_cache(maxsize=256)
def _find_settings(
    geometry: _Geometry, blocks: _Blocks, out_width: int, precision: str, register_limit: int | None
) -> Mapping[str, Any]:
    block_in, tiled_in = _tile_side(geometry.unit, blocks.channels)
    block_out, tiled_out = _tile_side(geometry.group_out_channels, out_width)
    return {
        **geometry._asdict(),
        "PRECISION": precision,
        "TILED_IN": tiled_in,
        "TILED_OUT": tiled_out,
        "BLOCK_PIXELS": blocks.pixels,
        "BLOCK_IN": block_in,
        "BLOCK_OUT": block_out,
        "num_warps": blocks.warps,
        "num_stages": blocks.stages,
        "maxnreg": register_limit if tiled_in else None,
        "enable_fp_fusion": True,
    }


def _launch(kernel: Any, grid: tuple[int, ...], *tensors: Tensor | None, **settings: Any) -> None:
    if 0 not in grid:
        kernel[grid](*tensors, **settings)


def _ceil_div(size: int, block: int) -> int:
    """Return the number of blocks that cover ``size``."""
    return -(-size // block)


def _count_blocks(channels: int, geometry: _Geometry, block: int) -> int:
    """Return the number of blocks that cover ``channels`` channels, where a block never crosses a unit."""
    return channels // geometry.unit * _ceil_div(geometry.unit, block)


@functools.lru_cache(maxsize=256)
def _divide_work(
    geometry: _Geometry, blocks: _Blocks, rows: int, size: int, max_slices: int, processors: int
) -> tuple[int, int, int]:
    """Divide the work so that it fills the device.

    There are ``rows`` rows of tiles along the output channels. Each tile is a sum over ``size`` steps, which can be
    divided into at most ``max_slices`` slices. The widest tile that leaves enough programs is chosen, then the smallest
    number of slices that keeps the device busy.

    Returns:
        Width of the tiles in output channels, steps per slice, and number of slices.
    """
    max_slices = max(1, min(max_slices, size))
    programs = 1
    for out_width in blocks.out_channels:
        programs = max(
            1, rows * _ceil_div(geometry.group_out_channels, _tile_side(geometry.group_out_channels, out_width)[0])
        )
        if 2 * programs * max_slices >= 3 * processors:
            break
    slices = round(_PROGRAMS_PER_PROCESSOR * processors / programs)
    steps = _ceil_div(size, max(1, min(slices, max_slices)))
    return out_width, steps, _ceil_div(size, steps) if size else 0


def _to_layout(tensor: Tensor, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    """Convert a tensor to a dtype and a memory format, with at most one copy."""
    return tensor.to(dtype, memory_format=layout).contiguous(memory_format=layout)


def _layout_of(tensor: Tensor) -> torch.memory_format:
    """Return channels-last if ``tensor`` is, as conv2d does for its results, otherwise contiguous."""
    is_last = tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


class _Sampling(NamedTuple):
    """Input, offsets and mask in the layouts that the kernels read."""

    input: Tensor
    offset: Tensor
    mask: Tensor | None


def _sampling(call: DeformConvCall) -> _Sampling:
    input = _to_layout(call.input, _arithmetic_dtype(call), torch.channels_last)
    return _Sampling(input, call.offset.contiguous(), None if call.mask is None else call.mask.contiguous())


def _sum_first_axis(sums: Tensor) -> Tensor:
    """Sum over the first axis, without a copy if its length is 1."""
    return sums[0] if len(sums) == 1 else sums.sum(0)


def _forward(call: DeformConvCall) -> Tensor:
    geometry, dtype, device = _geometry(call), _arithmetic_dtype(call), call.input.device
    blocks = _FORWARD[dtype.itemsize]
    pixel_blocks = _ceil_div(geometry.pixels, blocks.pixels)
    chunk = _BLOCKS_PER_CHUNK * _tile_side(geometry.unit, blocks.channels)[0]
    # Partial sums take at most a third of the memory of the columns in float32.
    max_slices = geometry.taps * geometry.channels // (3 * geometry.out_channels)
    chunks = _count_blocks(geometry.group_channels, geometry, chunk)
    out_width, chunks_per_slice, slices = _divide_work(
        geometry, blocks, pixel_blocks * call.groups, chunks, max_slices, _processors(device)
    )
    settings = _settings(geometry, blocks, out_width, dtype, device)

    batch, _, height, width = call.offset.shape
    sums = torch.empty(
        (slices * batch, geometry.out_channels, height, width),
        dtype=call.dtype if slices == 1 else torch.float32,
        device=device,
        memory_format=_layout_of(call.input),
    ).unflatten(0, (slices, batch))
    slice_step, image_step, channel_step, _, place_step = sums.stride()
    _launch(
        _kernels().forward_kernel,
        (pixel_blocks * _ceil_div(geometry.group_out_channels, settings["BLOCK_OUT"]), call.groups, slices),
        sums,
        *_sampling(call),
        _to_layout(call.weight, dtype, torch.channels_last),
        None if call.bias is None else call.bias.contiguous(),
        chunks_per_slice=chunks_per_slice,
        slice_step=slice_step,
        image_step=image_step,
        channel_step=channel_step,
        place_step=place_step,
        CHUNK=chunk,
        **settings,
    )
    return _to_layout(_sum_first_axis(sums), call.dtype, _layout_of(call.input))


def _backward_columns(
    call: DeformConvCall, upstream: Tensor, sampling: _Sampling, needs_input: bool, needs_sampling: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Compute the gradients of input, offset and mask in float32; None for those that are not needed."""
    geometry, dtype, device = _geometry(call), upstream.dtype, upstream.device
    blocks = _BACKWARD_COLUMNS[dtype.itemsize]
    settings = _settings(geometry, blocks, blocks.out_channels[0], dtype, device)
    channel_blocks = _count_blocks(geometry.offset_channels, geometry, settings["BLOCK_IN"])
    new = functools.partial(torch.empty, dtype=torch.float32, device=device)
    by_input = torch.zeros_like(sampling.input, dtype=torch.float32) if needs_input else None
    by_offset = new(channel_blocks, *sampling.offset.shape) if needs_sampling else None
    by_mask = None if sampling.mask is None or not needs_sampling else new(channel_blocks, *sampling.mask.shape)
    _launch(
        _kernels().backward_columns_kernel,
        (_ceil_div(geometry.pixels, blocks.pixels) * geometry.taps, channel_blocks * call.offset_groups),
        by_input,
        by_offset,
        by_mask,
        upstream,
        *sampling,
        _to_layout(call.weight, dtype, torch.channels_last),
        images=len(upstream),
        **settings,
    )
    return (
        by_input,
        None if by_offset is None else _sum_first_axis(by_offset),
        None if by_mask is None else _sum_first_axis(by_mask),
    )


def _backward_weight(call: DeformConvCall, upstream: Tensor, sampling: _Sampling) -> Tensor:
    """Compute the gradient of the weight in float32."""
    geometry, dtype, device = _geometry(call), upstream.dtype, upstream.device
    blocks = _BACKWARD_WEIGHT[dtype.itemsize]
    rows = geometry.taps * _count_blocks(geometry.channels, geometry, _tile_side(geometry.unit, blocks.channels)[0])
    # As in the forward pass. In addition, a slice has at least a few blocks of pixels.
    max_slices = geometry.pixels * geometry.channels // (3 * geometry.out_channels * geometry.group_channels)
    pixel_blocks = _ceil_div(geometry.pixels, blocks.pixels)
    out_width, blocks_per_slice, slices = _divide_work(
        geometry, blocks, rows, pixel_blocks, min(max_slices, _ceil_div(pixel_blocks, 4)), _processors(device)
    )
    settings = _settings(geometry, blocks, out_width, dtype, device)

    out_channels, group_channels, height, width = call.weight.shape
    sums = torch.empty((slices, out_channels, height, width, group_channels), dtype=torch.float32, device=device)
    _launch(
        _kernels().backward_weight_kernel,
        (rows * _ceil_div(geometry.group_out_channels, settings["BLOCK_OUT"]), slices),
        sums,
        upstream,
        *sampling,
        pixels_per_slice=blocks_per_slice * blocks.pixels,
        **settings,
    )
    return _sum_first_axis(sums).permute(0, 3, 1, 2)


def _backward(call: DeformConvCall, grad_output: Tensor, needs: Needs) -> Gradients:
    """Compute the needed gradients, in the dtypes in which they are summed."""
    upstream = _to_layout(grad_output, _arithmetic_dtype(call), torch.channels_last)
    sampling = _sampling(call)
    by_input = by_offset = by_mask = by_weight = by_bias = None
    # First, so that its partial sums are freed before the gradient of the input is allocated.
    if needs.weight:
        by_weight = _backward_weight(call, upstream, sampling).to(call.weight.dtype)
    if needs.bias:
        by_bias = grad_output.sum((0, 2, 3), dtype=torch.float32)
    if needs.input or needs.offset or needs.mask:
        needs_sampling = needs.offset or needs.mask
        by_input, by_offset, by_mask = _backward_columns(call, upstream, sampling, needs.input, needs_sampling)
    del upstream, sampling  # before the gradient of the input may be copied
    if by_input is not None:
        by_input = _to_layout(by_input, call.input.dtype, _layout_of(call.input))
    return Gradients(by_input, by_offset, by_weight, by_bias, by_mask)


def _verification_call(device: torch.device, dtype: torch.dtype) -> DeformConvCall:
    """Return a small problem with full tiles, filled with sine waves so that the random state is not changed."""

    def wave(*shape: int) -> Tensor:
        return torch.arange(math.prod(shape), device=device).mul(0.7).sin().view(shape).to(dtype)

    return DeformConvCall(
        input=wave(1, 64, 8, 8),
        offset=wave(1, 18, 8, 8) + 0.4,
        weight=wave(64, 64, 3, 3),
        bias=wave(64),
        mask=wave(1, 9, 8, 8),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        groups=1,
        offset_groups=1,
        dtype=dtype,
    )


@functools.cache
def _verify(device: torch.device, dtype: torch.dtype, with_gradients: bool) -> None:
    """Run the kernels once on a small problem, and compare the results with the backend ``torch`` in float32.

    Kernels that a faulty compiler translates wrongly would otherwise give wrong results without an error.

    Raises:
        RuntimeError: The results are wrong.
    """
    call = _verification_call(device, dtype)
    tensors: tuple[Any, ...] = call[:5]
    options: tuple[Any, ...] = (*call[5:10], torch.float32)
    exact = DeformConvCall(*(tensor.float() for tensor in tensors), *options)
    received: tuple[Tensor | None, ...] = (_forward(call),)
    expected: tuple[Tensor | None, ...] = (pytorch.BACKEND.run(exact),)
    if with_gradients:
        all_needs = Needs(*(True,) * 5)
        received += _backward(call, call.input, all_needs)
        expected += pytorch.BACKEND.gradients(exact, exact.input, all_needs)
    for actual, reference in zip(received, expected, strict=True):
        # "not ... <" instead of ">=", so that NaN raises as well
        if actual is None or reference is None or not (actual - reference).norm() < _TOLERANCE * reference.norm():
            raise RuntimeError(f"backend 'triton' gives wrong results on {device} in {dtype}; please report this")


def _run(call: DeformConvCall) -> Tensor:
    with torch.cuda.device_of(call.input):  # kernels go to the current device
        _verify(call.input.device, call.dtype, False)
        return _forward(call)


def _gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    with torch.cuda.device_of(call.input):
        _verify(call.input.device, call.dtype, True)
        return _backward(call, grad, needs)


@functools.cache
def _is_available() -> bool:
    if not _IS_INTERPRETED and not torch.cuda.is_available():
        return False
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        version = importlib.import_module("triton").__version__
        importlib.import_module("triton.language")
    except Exception as error:  # a build for another Python or system can raise any exception
        logger.warning("deform_conv2d: backend 'triton' is not used: %s: %s", type(error).__name__, error)
        return False
    # Older versions end the process when they compile the three passes of a float32 product for Hopper.
    return tuple(int(number) for number in version.split(".")[:2]) >= _OLDEST_TRITON


BACKEND = Backend(
    name="triton",
    run=_run,
    gradients=_gradients,
    is_available=_is_available,
    # In the interpreter it has the lowest priority, so that it is only used if it is requested by name.
    priority={"cpu": -10, "cuda": -10} if _IS_INTERPRETED else {"cuda": 40},
    deterministic_on=frozenset(),
    dtypes=frozenset({torch.float32, torch.float16, torch.bfloat16}),
    install_hint=(
        f"pip install 'triton>={'.'.join(map(str, _OLDEST_TRITON))}' on Linux (included in PyTorch 2.6 and newer), "
        "with a CUDA device (without one, TRITON_INTERPRET=1 set before Python starts runs it in Triton's interpreter)"
    ),
)
