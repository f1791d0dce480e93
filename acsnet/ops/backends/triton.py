"""Backend ``triton``: fused kernels for CUDA that never write the column matrix down, in float32 and half precision.

How it works. torchvision and mmcv sample the whole input into a matrix, (taps * channels, pixels) in float32 and nine
times the input for a 3x3 kernel, and multiply that; so do their backward passes, with a gradient of the same size. Here
each program samples the tile that it is about to multiply, channels last and blended in float32, and the backward pass
samples again instead of remembering. Besides inputs and results there is memory for copies that are channels-last or
in the dtype of the result where a tensor is not, for the gradient of a half-precision input in float32, and for partial
sums where the work must be cut up to fill the device.

Precision. Sums and positions are float32 whatever the dtypes. A float32 product takes the tensor cores: one pass of
TF32 where ``torch.backends.cuda.matmul`` allows it, else three passes, which leave out the last two bits of float32.

Deterministic but for the gradient of the input: samples overlap, and their shares are added by atomics, in no fixed
order. With ``TRITON_INTERPRET=1`` in the environment before Python starts, Triton's interpreter
runs the kernels without a GPU, slowly and only where the backend is asked for by name: for tests.
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
    """Sides of a kernel's tiles, as far as the axes are that long, and what works on a tile.

    Sampling is dear and multiplying cheap: the wider a tile is in output channels, the less is sampled over again.
    ``out_channels`` are widths to choose from, the widest first. ``stages`` loads are under way at a time.
    """

    pixels: int
    channels: int
    out_channels: tuple[int, ...]
    warps: int
    stages: int


# By bytes of an element. On Hopper two programs at a time fit onto a multiprocessor (registers, and 64 KB of shared
# memory each at most), so that one reads while the other multiplies.
_FORWARD = {2: _Blocks(64, 32, (256, 128, 64), 8, 1), 4: _Blocks(64, 32, (128, 64), 4, 1)}
_BACKWARD_COLUMNS = {2: _Blocks(64, 64, (64,), 8, 3), 4: _Blocks(64, 64, (32,), 8, 3)}
_BACKWARD_WEIGHT = {2: _Blocks(64, 64, (256, 128), 8, 1), 4: _Blocks(32, 64, (128,), 8, 1)}
_PROGRAMS_PER_PROCESSOR = 2
#: Blocks of channels that the forward kernel samples at the positions that it has found once.
_BLOCKS_PER_CHUNK = 4
#: How far the first results may be from those of the backend ``torch``: bfloat16 is off by less than 0.01.
_TOLERANCE = 0.03
#: Smallest side of a tile that every Triton multiplies on tensor cores.
_SMALLEST_BLOCK = 16


class _Geometry(NamedTuple):
    """Sizes that all kernels take, by the names they have there."""

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
    """Sizes of a call; kept, as are other decisions about a launch, because the host takes longer than the kernels."""
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
    """Multiprocessors that want work; one in the interpreter, for which to cut the work up is only more work."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


def _register_limit(device: torch.device, warps: int) -> int | None:
    """Registers a thread that let two programs onto a multiprocessor: on Hopper, where that many suffice."""
    if _capability(device) < (9, 0):
        return None
    limit = 65536 // (_PROGRAMS_PER_PROCESSOR * warps * 32)
    return limit if limit < 256 else None  # a thread has no more than 255


def _arithmetic_dtype(call: DeformConvCall) -> torch.dtype:
    """Dtype to multiply in: that of the result, but Triton's interpreter multiplies bfloat16 as if it were integers."""
    return torch.float32 if _IS_INTERPRETED and call.dtype == torch.bfloat16 else call.dtype


def _precision(dtype: torch.dtype) -> str:
    """What the kernels' products of float32 are to be made of."""
    if dtype != torch.float32:
        return "ieee"
    matmul = torch.backends.cuda.matmul
    # From torch 2.9 the newer name has to be asked: the older one raises where the newer was set.
    allows_tf32 = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    return "tf32" if allows_tf32 else "tf32x3"


@functools.lru_cache(maxsize=256)
def _fit(size: int, limit: int) -> tuple[int, bool]:
    """Side of a tile for an axis of ``size``, and whether tiles fill the axis exactly."""
    block = min(limit, size & -size)  # the largest power of two that divides size
    if block >= _SMALLEST_BLOCK:
        return block, True
    return min(limit, max(_SMALLEST_BLOCK, 1 << (size - 1).bit_length())), False


def _settings(
    geometry: _Geometry, blocks: _Blocks, out_width: int, dtype: torch.dtype, device: torch.device
) -> Mapping[str, Any]:
    """Keyword arguments that all kernels take, for tiles of at most ``out_width`` output channels."""
    return _find_settings(geometry, blocks, out_width, _precision(dtype), _register_limit(device, blocks.warps))


@functools.lru_cache(maxsize=256)
def _find_settings(
    geometry: _Geometry, blocks: _Blocks, out_width: int, precision: str, register_limit: int | None
) -> Mapping[str, Any]:
    block_in, tiled_in = _fit(geometry.unit, blocks.channels)
    block_out, tiled_out = _fit(geometry.group_out_channels, out_width)
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


def _over(size: int, block: int) -> int:
    """Blocks that cover ``size``."""
    return -(-size // block)


def _count_blocks(channels: int, geometry: _Geometry, block: int) -> int:
    """Blocks that cover some channels unit by unit."""
    return channels // geometry.unit * _over(geometry.unit, block)


@functools.lru_cache(maxsize=256)
def _share_out(
    geometry: _Geometry, blocks: _Blocks, rows: int, size: int, most_parts: int, processors: int
) -> tuple[int, int, int]:
    """Find work for the whole device: width of the tiles in output channels, steps of a part, and parts.

    There are ``rows`` of tiles as wide as the output channels, and each sums over ``size`` steps, which can be cut into
    parts. The widest tile is taken of which there are enough, then as few parts as keep the device busy.
    """
    most_parts = max(1, min(most_parts, size))
    programs = 1
    for out_width in blocks.out_channels:
        programs = max(1, rows * _over(geometry.group_out_channels, _fit(geometry.group_out_channels, out_width)[0]))
        if 2 * programs * most_parts >= 3 * processors:
            break
    wanted = round(_PROGRAMS_PER_PROCESSOR * processors / programs)
    steps = _over(size, max(1, min(wanted, most_parts)))
    return out_width, steps, _over(size, steps) if size else 0


def _laid_out(tensor: Tensor, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    """The tensor in a dtype and a memory format, in at most one copy."""
    return tensor.to(dtype, memory_format=layout).contiguous(memory_format=layout)


def _layout_of(tensor: Tensor) -> torch.memory_format:
    """Memory format of what goes with ``tensor``: as conv2d does, channels-last where it is, contiguous otherwise."""
    is_last = tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


class _Sampling(NamedTuple):
    """What all kernels sample from and where, as they read it."""

    input: Tensor
    offset: Tensor
    mask: Tensor | None


def _sampling(call: DeformConvCall) -> _Sampling:
    input = _laid_out(call.input, _arithmetic_dtype(call), torch.channels_last)
    return _Sampling(input, call.offset.contiguous(), None if call.mask is None else call.mask.contiguous())


def _total(parts: Tensor) -> Tensor:
    """Sum over the first axis, free of cost for a single part."""
    return parts[0] if len(parts) == 1 else parts.sum(0)


def _forward(call: DeformConvCall) -> Tensor:
    geometry, dtype, device = _geometry(call), _arithmetic_dtype(call), call.input.device
    blocks = _FORWARD[dtype.itemsize]
    pixel_blocks = _over(geometry.pixels, blocks.pixels)
    chunk = _BLOCKS_PER_CHUNK * _fit(geometry.unit, blocks.channels)[0]
    # Partial sums take at most a third of what the columns would in float32.
    most_parts = geometry.taps * geometry.channels // (3 * geometry.out_channels)
    chunks = _count_blocks(geometry.group_channels, geometry, chunk)
    out_width, chunks_per_part, parts = _share_out(
        geometry, blocks, pixel_blocks * call.groups, chunks, most_parts, _processors(device)
    )
    settings = _settings(geometry, blocks, out_width, dtype, device)

    batch, _, height, width = call.offset.shape
    sums = torch.empty(
        (parts * batch, geometry.out_channels, height, width),
        dtype=call.dtype if parts == 1 else torch.float32,
        device=device,
        memory_format=_layout_of(call.input),
    ).unflatten(0, (parts, batch))
    part_step, image_step, channel_step, _, place_step = sums.stride()
    _launch(
        _kernels().forward_kernel,
        (pixel_blocks * _over(geometry.group_out_channels, settings["BLOCK_OUT"]), call.groups, parts),
        sums,
        *_sampling(call),
        _laid_out(call.weight, dtype, torch.channels_last),
        None if call.bias is None else call.bias.contiguous(),
        chunks_per_part=chunks_per_part,
        part_step=part_step,
        image_step=image_step,
        channel_step=channel_step,
        place_step=place_step,
        CHUNK=chunk,
        **settings,
    )
    return _laid_out(_total(sums), call.dtype, _layout_of(call.input))


def _backward_columns(
    call: DeformConvCall, upstream: Tensor, sampling: _Sampling, needs_input: bool, needs_sampling: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, offset and mask in float32; None for those that are not needed."""
    geometry, dtype, device = _geometry(call), upstream.dtype, upstream.device
    blocks = _BACKWARD_COLUMNS[dtype.itemsize]
    settings = _settings(geometry, blocks, blocks.out_channels[0], dtype, device)
    parts = _count_blocks(geometry.offset_channels, geometry, settings["BLOCK_IN"])
    new = functools.partial(torch.empty, dtype=torch.float32, device=device)
    by_input = torch.zeros_like(sampling.input, dtype=torch.float32) if needs_input else None
    by_offset = new(parts, *sampling.offset.shape) if needs_sampling else None
    by_mask = None if sampling.mask is None or not needs_sampling else new(parts, *sampling.mask.shape)
    _launch(
        _kernels().backward_columns_kernel,
        (_over(geometry.pixels, blocks.pixels) * geometry.taps, parts * call.offset_groups),
        by_input,
        by_offset,
        by_mask,
        upstream,
        *sampling,
        _laid_out(call.weight, dtype, torch.channels_last),
        images=len(upstream),
        **settings,
    )
    return by_input, None if by_offset is None else _total(by_offset), None if by_mask is None else _total(by_mask)


def _backward_weight(call: DeformConvCall, upstream: Tensor, sampling: _Sampling) -> Tensor:
    """Gradient of the weight in float32."""
    geometry, dtype, device = _geometry(call), upstream.dtype, upstream.device
    blocks = _BACKWARD_WEIGHT[dtype.itemsize]
    rows = geometry.taps * _count_blocks(geometry.channels, geometry, _fit(geometry.unit, blocks.channels)[0])
    # As in the forward pass; and a part is worth its trouble from a few blocks of pixels on.
    most_parts = geometry.pixels * geometry.channels // (3 * geometry.out_channels * geometry.group_channels)
    pixel_blocks = _over(geometry.pixels, blocks.pixels)
    out_width, blocks_per_part, parts = _share_out(
        geometry, blocks, rows, pixel_blocks, min(most_parts, _over(pixel_blocks, 4)), _processors(device)
    )
    settings = _settings(geometry, blocks, out_width, dtype, device)

    out_channels, group_channels, height, width = call.weight.shape
    sums = torch.empty((parts, out_channels, height, width, group_channels), dtype=torch.float32, device=device)
    _launch(
        _kernels().backward_weight_kernel,
        (rows * _over(geometry.group_out_channels, settings["BLOCK_OUT"]), parts),
        sums,
        upstream,
        *sampling,
        pixels_per_part=blocks_per_part * blocks.pixels,
        **settings,
    )
    return _total(sums).permute(0, 3, 1, 2)


def _backward(call: DeformConvCall, grad_output: Tensor, needs: Needs) -> Gradients:
    """Compute the gradients that are needed, in the dtypes that they are summed in."""
    upstream = _laid_out(grad_output, _arithmetic_dtype(call), torch.channels_last)
    sampling = _sampling(call)
    by_input = by_offset = by_mask = by_weight = by_bias = None
    # First, so that its partial sums are gone before there is a gradient of the input.
    if needs.weight:
        by_weight = _backward_weight(call, upstream, sampling).to(call.weight.dtype)
    if needs.bias:
        by_bias = grad_output.sum((0, 2, 3), dtype=torch.float32)
    if needs.input or needs.offset or needs.mask:
        needs_sampling = needs.offset or needs.mask
        by_input, by_offset, by_mask = _backward_columns(call, upstream, sampling, needs.input, needs_sampling)
    del upstream, sampling  # before the gradient of the input may be copied
    if by_input is not None:
        by_input = _laid_out(by_input, call.input.dtype, _layout_of(call.input))
    return Gradients(by_input, by_offset, by_weight, by_bias, by_mask)


def _trial(device: torch.device, dtype: torch.dtype) -> DeformConvCall:
    """A small problem with full tiles, on waves, which leave the user's random numbers alone."""

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
def _try_out(device: torch.device, dtype: torch.dtype, with_gradients: bool) -> None:
    """Run the kernels once on a small problem, and compare with the backend ``torch`` in float32.

    A compiler that mistakes the kernels would otherwise not show at all.

    Raises:
        RuntimeError: The results are wrong.
    """
    call = _trial(device, dtype)
    tensors: tuple[Any, ...] = call[:5]
    options: tuple[Any, ...] = (*call[5:10], torch.float32)
    exact = DeformConvCall(*(tensor.float() for tensor in tensors), *options)
    received: tuple[Tensor | None, ...] = (_forward(call),)
    expected: tuple[Tensor | None, ...] = (pytorch.BACKEND.run(exact),)
    if with_gradients:
        every = Needs(*(True,) * 5)
        received += _backward(call, call.input, every)
        expected += pytorch.BACKEND.gradients(exact, exact.input, every)
    for one, other in zip(received, expected, strict=True):
        # not: so that NaN does not pass
        if one is None or other is None or not (one - other).norm() < _TOLERANCE * other.norm():
            raise RuntimeError(f"backend 'triton' gives wrong results on {device} in {dtype}; please report this")


def _run(call: DeformConvCall) -> Tensor:
    with torch.cuda.device_of(call.input):  # kernels go to the current device
        _try_out(call.input.device, call.dtype, False)
        return _forward(call)


def _gradients(call: DeformConvCall, grad: Tensor, needs: Needs) -> Gradients:
    with torch.cuda.device_of(call.input):
        _try_out(call.input.device, call.dtype, True)
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
    except Exception as error:  # where it was built for another Python or system, it fails in its own ways
        logger.warning("deform_conv2d: backend 'triton' is left out: %s: %s", type(error).__name__, error)
        return False
    # Older ones end the process where they compile the three passes of a float32 product for Hopper.
    return tuple(int(number) for number in version.split(".")[:2]) >= _OLDEST_TRITON


BACKEND = Backend(
    name="triton",
    run=_run,
    gradients=_gradients,
    is_available=_is_available,
    # In the interpreter below all others, so that it is never chosen but by name.
    priority={"cpu": -10, "cuda": -10} if _IS_INTERPRETED else {"cuda": 40},
    deterministic_on=frozenset(),
    dtypes=frozenset({torch.float32, torch.float16, torch.bfloat16}),
    install_hint=(
        f"pip install 'triton>={'.'.join(map(str, _OLDEST_TRITON))}' on Linux, as PyTorch 2.6 and newer bring it, with "
        "a CUDA device (without one, TRITON_INTERPRET=1 set before Python starts runs it in Triton's interpreter)"
    ),
)
