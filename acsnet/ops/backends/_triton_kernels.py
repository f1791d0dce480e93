"""The kernels of the backend ``triton``; ``triton.py`` launches them and describes the algorithm.

All three are matrix products with the matrix of columns, as in im2col: row ``pixel``, entry ``(tap, channel)`` is that
channel of the input, sampled at the position of the tap for the output pixel and scaled by its modulation. A tile of
this matrix is computed in registers when it is needed, and never stored.

Layouts: ``input`` and ``grad_output`` are channels-last, ``weight`` is (out channels, taps, channels of a group);
``offset`` and ``mask`` are contiguous, and ``mask`` is None if there is no modulation.

Names: ``pixel`` is the index of an output pixel in the whole batch, ``place`` its index in the image. ``entry`` is a
channel of the mask: offset group times taps plus tap. ``unit`` is the number of consecutive channels that always have
the same group and the same offset group; a block of channels never crosses a unit. If the blocks fill the units
exactly, ``TILED_IN`` is true: no mask is needed along the channels, and Triton can load sixteen bytes at once.
``TILED_OUT`` is the same for the output channels. A slice is one of several partial sums of a matrix product (split-K):
each program sums over one slice, and the launcher adds the slices.
"""

import triton
import triton.language as tl


@triton.jit
def _tile_mask(rows: tl.tensor, columns: tl.tensor, TILED: tl.constexpr) -> tl.tensor:
    # With `else`, so that Triton compiles only the branch that the constant selects.
    if TILED:
        return rows[:, None]
    else:  # noqa: RET505
        return rows[:, None] & columns[None, :]


@triton.jit
def _channels_of(block: int, unit: int, BLOCK: tl.constexpr) -> tuple[int, tl.tensor]:
    """Return the first channel of a block, and which of the ``BLOCK`` channels from there are still in its unit."""
    first = block % tl.cdiv(unit, BLOCK) * BLOCK
    return block // tl.cdiv(unit, BLOCK) * unit + first, first + tl.arange(0, BLOCK) < unit


@triton.jit
def _neighbor(position: tl.tensor, size: int) -> tuple[tl.tensor, tl.tensor]:
    """Return the pixel at or before each position on one axis, and the fraction of the way to the next.

    Positions are clamped before they are rounded, because large floats do not fit into integers. Positions of at most
    -2 or at least ``size`` are outside, and so is NaN.
    """
    is_number = position == position
    clamped = tl.minimum(tl.maximum(tl.where(is_number, position, -2.0), -2.0), size)
    floor = tl.floor(clamped)
    return floor.to(tl.int32), clamped - floor


@triton.jit
def _origin(
    pixel: tl.tensor, out_area: int, out_width: int, stride_y: int, stride_x: int, padding_y: int, padding_x: int
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the image and place of each pixel, and the row and column of the input at which its kernel begins."""
    image = pixel // out_area
    place = pixel % out_area
    return image, place, place // out_width * stride_y - padding_y, place % out_width * stride_x - padding_x


@triton.jit
def _cell(
    offset: tl.tensor,
    image: tl.tensor,
    place: tl.tensor,
    y: tl.tensor,
    x: tl.tensor,
    is_pixel: tl.tensor,
    entry: int,
    entries: int,
    out_area: int,
    height: int,
    width: int,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the cell of four pixels that a tap falls into.

    These are the index of its top left pixel, flags whether its top, bottom, left and right pixels exist, and the
    fractions of the way to the next row and column.
    """
    at = offset + (image.to(tl.int64) * (2 * entries) + 2 * entry) * out_area + place
    row, down = _neighbor(y + tl.load(at, mask=is_pixel, other=0.0).to(tl.float32), height)
    column, across = _neighbor(x + tl.load(at + out_area, mask=is_pixel, other=0.0).to(tl.float32), width)
    top = is_pixel & (row >= 0) & (row < height)
    bottom = is_pixel & (row >= -1) & (row < height - 1)
    left = (column >= 0) & (column < width)
    right = (column >= -1) & (column < width - 1)
    return (image * height + row) * width + column, top, bottom, left, right, down, across


@triton.jit
def _modulation(
    mask: tl.tensor, image: tl.tensor, place: tl.tensor, is_pixel: tl.tensor, entry: int, entries: int, out_area: int
) -> tl.tensor:
    at = mask + (image.to(tl.int64) * entries + entry) * out_area + place
    return tl.load(at, mask=is_pixel, other=0.0).to(tl.float32)


@triton.jit
def _corner(
    corner: tl.tensor, at: tl.tensor, exists: tl.tensor, is_channel: tl.tensor, TILED_IN: tl.constexpr
) -> tl.tensor:
    """Load one corner of each cell, (rows, channels) in float32, zero if the pixel does not exist.

    ``corner`` is a scalar and ``at`` is common to all corners: four tiles of pointers would take half of the registers.
    """
    return tl.load(corner + at, mask=_tile_mask(exists, is_channel, TILED_IN), other=0.0).to(tl.float32)


@triton.jit
def _samples(
    offset: tl.tensor,
    mask: tl.tensor,
    image: tl.tensor,
    place: tl.tensor,
    y: tl.tensor,
    x: tl.tensor,
    is_pixel: tl.tensor,
    entry: int,
    entries: int,
    out_area: int,
    height: int,
    width: int,
    channels: int,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the start of the cells of a tap, which of the four corners exist, and the factors of the corners."""
    cell, top, bottom, left, right, down, across = _cell(
        offset, image, place, y, x, is_pixel, entry, entries, out_area, height, width
    )
    up, back = 1.0 - down, 1.0 - across
    if mask is not None:
        modulation = _modulation(mask, image, place, is_pixel, entry, entries, out_area)
        up *= modulation
        down *= modulation
    at = cell.to(tl.int64) * channels
    a, b, c, d = up * back, up * across, down * back, down * across
    return at, top & left, top & right, bottom & left, bottom & right, a, b, c, d


@triton.jit
def _columns(
    input: tl.tensor,
    at: tl.tensor,
    exists_a: tl.tensor,
    exists_b: tl.tensor,
    exists_c: tl.tensor,
    exists_d: tl.tensor,
    a: tl.tensor,
    b: tl.tensor,
    c: tl.tensor,
    d: tl.tensor,
    is_channel: tl.tensor,
    channels: int,
    width: int,
    TILED_IN: tl.constexpr,
    BLOCK_IN: tl.constexpr,
) -> tl.tensor:
    """Compute a tile of the columns, (pixels, channels) in float32; ``input`` points to its first channel."""
    at = at[:, None] + tl.arange(0, BLOCK_IN)[None, :]
    line = input + width * channels
    value = _corner(input, at, exists_a, is_channel, TILED_IN) * a[:, None]
    value += _corner(input + channels, at, exists_b, is_channel, TILED_IN) * b[:, None]
    value += _corner(line, at, exists_c, is_channel, TILED_IN) * c[:, None]
    value += _corner(line + channels, at, exists_d, is_channel, TILED_IN) * d[:, None]
    return value


@triton.jit
def forward_kernel(
    output: tl.tensor,
    input: tl.tensor,
    offset: tl.tensor,
    mask: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    chunks_per_slice: int,
    slice_step: int,
    image_step: int,
    channel_step: int,
    place_step: int,
    pixels: int,
    height: int,
    width: int,
    channels: int,
    out_channels: int,
    out_area: int,
    out_width: int,
    kernel_width: int,
    taps: int,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    group_channels: int,
    group_out_channels: int,
    offset_channels: int,
    entries: int,
    unit: int,
    PRECISION: tl.constexpr,
    TILED_IN: tl.constexpr,
    TILED_OUT: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """Compute output[slice, pixel, o] = sum of column * weight over a slice of the channels, + bias in the first slice.

    Grid: (pixel blocks * blocks of output channels, groups, slices). A slice consists of chunks, and a chunk of blocks
    of channels: several, because the position of a sample is computed once per chunk, but few, so that the chunk stays
    in the first-level cache for all taps.
    """
    out_blocks = tl.cdiv(group_out_channels, BLOCK_OUT)
    group = tl.program_id(1)
    pixel = tl.program_id(0) // out_blocks * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    is_pixel = pixel < pixels
    out = tl.program_id(0) % out_blocks * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    is_out = out < group_out_channels
    out += group * group_out_channels
    image, place, y, x = _origin(pixel, out_area, out_width, stride_y, stride_x, padding_y, padding_x)
    lane = tl.arange(0, BLOCK_IN)
    chunks = group_channels // unit * tl.cdiv(unit, CHUNK)
    begin = tl.program_id(2) * chunks_per_slice
    total = tl.zeros((BLOCK_PIXELS, BLOCK_OUT), dtype=tl.float32)
    for chunk in range(begin, tl.minimum(begin + chunks_per_slice, chunks)):
        first = chunk // tl.cdiv(unit, CHUNK) * unit
        start = chunk % tl.cdiv(unit, CHUNK) * CHUNK
        for tap in range(taps):
            at, exists_a, exists_b, exists_c, exists_d, a, b, c, d = _samples(
                offset,
                mask,
                image,
                place,
                y + tap // kernel_width * dilation_y,
                x + tap % kernel_width * dilation_x,
                is_pixel,
                (group * group_channels + first) // offset_channels * taps + tap,
                entries,
                out_area,
                height,
                width,
                channels,
            )
            for in_unit in range(start, tl.minimum(start + CHUNK, unit), BLOCK_IN):
                is_channel = in_unit + lane < unit
                in_group = first + in_unit
                corner = input + group * group_channels + in_group
                columns = _columns(
                    corner,
                    at,
                    exists_a,
                    exists_b,
                    exists_c,
                    exists_d,
                    a,
                    b,
                    c,
                    d,
                    is_channel,
                    channels,
                    width,
                    TILED_IN,
                    BLOCK_IN,
                )
                at_weight = weight + tap * group_channels + in_group + (out * (taps * group_channels))[:, None]
                factors = tl.load(at_weight + lane[None, :], mask=_tile_mask(is_out, is_channel, TILED_IN), other=0.0)
                total = tl.dot(columns.to(factors.dtype), tl.trans(factors), total, input_precision=PRECISION)

    if bias is not None:  # noqa: SIM102 (the first condition is evaluated at compile time, the second at run time)
        if tl.program_id(2) == 0:
            total += tl.load(bias + out, mask=is_out, other=0.0).to(tl.float32)[None, :]
    at = output + tl.program_id(2).to(tl.int64) * slice_step
    at += (image.to(tl.int64) * image_step + place * place_step)[:, None] + (out * channel_step)[None, :]
    tl.store(at, total.to(output.dtype.element_ty), mask=_tile_mask(is_pixel, is_out, TILED_OUT))


@triton.jit
def _backward_corner(
    gradient: tl.tensor,
    input: tl.tensor,
    grad_input: tl.tensor,
    base: int,
    at: tl.tensor,
    exists: tl.tensor,
    factor: tl.tensor,
    is_channel: tl.tensor,
    NEEDS_SAMPLING: tl.constexpr,
    TILED_IN: tl.constexpr,
) -> tl.tensor:
    """Add a corner's term to the gradient of the input, and return the product of corner and gradient for each row."""
    if grad_input is not None:
        tile_mask = _tile_mask(exists, is_channel, TILED_IN)
        tl.atomic_add(grad_input + base + at, gradient * factor[:, None], mask=tile_mask, sem="relaxed")
    if NEEDS_SAMPLING:
        return tl.sum(_corner(input + base, at, exists, is_channel, TILED_IN) * gradient, axis=1)
    else:  # noqa: RET505 (see _tile_mask)
        return factor


@triton.jit
def backward_columns_kernel(
    grad_input: tl.tensor,
    grad_offset: tl.tensor,
    grad_mask: tl.tensor,
    grad_output: tl.tensor,
    input: tl.tensor,
    offset: tl.tensor,
    mask: tl.tensor,
    weight: tl.tensor,
    images: int,
    pixels: int,
    height: int,
    width: int,
    channels: int,
    out_channels: int,
    out_area: int,
    out_width: int,
    kernel_width: int,
    taps: int,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    group_channels: int,
    group_out_channels: int,
    offset_channels: int,
    entries: int,
    unit: int,
    PRECISION: tl.constexpr,
    TILED_IN: tl.constexpr,
    TILED_OUT: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
) -> None:
    """Compute the gradient of the columns, tile by tile, and from it those of the input, the offsets and the mask.

    Grid: (pixel blocks * taps, blocks of channels). Gradients that are None are not computed. The caller sums
    ``grad_offset``, (blocks of an offset group, images, 2 * entries, places), and ``grad_mask`` over the first axis.
    Cells overlap, so the terms of the gradient of the input, in float32, are summed by atomics, in no fixed order.
    """
    tap = tl.program_id(0) % taps
    pixel = tl.program_id(0) // taps * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    is_pixel = pixel < pixels
    start, is_channel = _channels_of(tl.program_id(1), unit, BLOCK_IN)
    lane = tl.arange(0, BLOCK_IN)
    group = start // group_channels
    upstream_rows = grad_output + (pixel.to(tl.int64) * out_channels)[:, None]
    weight_columns = weight + (tap * group_channels + start - group * group_channels + lane)[None, :]
    gradient = tl.zeros((BLOCK_PIXELS, BLOCK_IN), dtype=tl.float32)
    for start_out in range(0, group_out_channels, BLOCK_OUT):
        out = start_out + tl.arange(0, BLOCK_OUT)
        is_out = out < group_out_channels
        out += group * group_out_channels
        upstream = tl.load(upstream_rows + out[None, :], mask=_tile_mask(is_pixel, is_out, TILED_OUT), other=0.0)
        at = weight_columns + (out * (taps * group_channels))[:, None]
        factors = tl.load(at, mask=_tile_mask(is_out, is_channel, TILED_IN), other=0.0)
        gradient = tl.dot(upstream, factors, gradient, input_precision=PRECISION)

    # Computed after the product: positions and factors would not fit into the registers together with it.
    image, place, y, x = _origin(pixel, out_area, out_width, stride_y, stride_x, padding_y, padding_x)
    y += tap // kernel_width * dilation_y
    x += tap % kernel_width * dilation_x
    entry = start // offset_channels * taps + tap
    cell, top, bottom, left, right, down, across = _cell(
        offset, image, place, y, x, is_pixel, entry, entries, out_area, height, width
    )
    up, back = 1.0 - down, 1.0 - across
    if mask is not None:
        scale = _modulation(mask, image, place, is_pixel, entry, entries, out_area)
    else:
        scale = tl.full((BLOCK_PIXELS,), 1.0, tl.float32)
    at = (cell.to(tl.int64) * channels)[:, None] + lane[None, :]
    line = start + width * channels
    NEEDS_SAMPLING: tl.constexpr = grad_offset is not None
    a = _backward_corner(
        gradient, input, grad_input, start, at, top & left, scale * up * back, is_channel, NEEDS_SAMPLING, TILED_IN
    )
    b = _backward_corner(
        gradient,
        input,
        grad_input,
        start + channels,
        at,
        top & right,
        scale * up * across,
        is_channel,
        NEEDS_SAMPLING,
        TILED_IN,
    )
    c = _backward_corner(
        gradient, input, grad_input, line, at, bottom & left, scale * down * back, is_channel, NEEDS_SAMPLING, TILED_IN
    )
    d = _backward_corner(
        gradient,
        input,
        grad_input,
        line + channels,
        at,
        bottom & right,
        scale * down * across,
        is_channel,
        NEEDS_SAMPLING,
        TILED_IN,
    )
    if NEEDS_SAMPLING:
        block = start % offset_channels // unit * tl.cdiv(unit, BLOCK_IN) + start % unit // BLOCK_IN
        plane = (block * images + image).to(tl.int64) * entries + entry
        by_y = back * (c - a) + across * (d - b)
        by_x = up * (b - a) + down * (d - c)
        tl.store(grad_offset + 2 * plane * out_area + place, scale * by_y, mask=is_pixel)
        tl.store(grad_offset + (2 * plane + 1) * out_area + place, scale * by_x, mask=is_pixel)
        if grad_mask is not None:
            value = up * (back * a + across * b) + down * (back * c + across * d)
            tl.store(grad_mask + plane * out_area + place, value, mask=is_pixel)


@triton.jit
def backward_weight_kernel(
    grad_weight: tl.tensor,
    grad_output: tl.tensor,
    input: tl.tensor,
    offset: tl.tensor,
    mask: tl.tensor,
    pixels_per_slice: int,
    pixels: int,
    height: int,
    width: int,
    channels: int,
    out_channels: int,
    out_area: int,
    out_width: int,
    kernel_width: int,
    taps: int,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    group_channels: int,
    group_out_channels: int,
    offset_channels: int,
    entries: int,
    unit: int,
    PRECISION: tl.constexpr,
    TILED_IN: tl.constexpr,
    TILED_OUT: tl.constexpr,
    BLOCK_PIXELS: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
) -> None:
    """Compute grad_weight[slice, o, tap, c] = sum of grad_output * column over a slice of the pixels, in float32.

    Grid: (blocks of output channels * taps * blocks of channels, slices of the pixels).
    """
    out_blocks = tl.cdiv(group_out_channels, BLOCK_OUT)
    tap = tl.program_id(0) // out_blocks % taps
    start, is_channel = _channels_of(tl.program_id(0) // (out_blocks * taps), unit, BLOCK_IN)
    group = start // group_channels
    out = tl.program_id(0) % out_blocks * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    is_out = out < group_out_channels
    out += group * group_out_channels
    begin = tl.program_id(1) * pixels_per_slice
    end = tl.minimum(begin + pixels_per_slice, pixels)
    total = tl.zeros((BLOCK_OUT, BLOCK_IN), dtype=tl.float32)
    for start_pixel in range(begin, end, BLOCK_PIXELS):
        pixel = start_pixel + tl.arange(0, BLOCK_PIXELS)
        is_pixel = pixel < end
        image, place, y, x = _origin(pixel, out_area, out_width, stride_y, stride_x, padding_y, padding_x)
        at, exists_a, exists_b, exists_c, exists_d, a, b, c, d = _samples(
            offset,
            mask,
            image,
            place,
            y + tap // kernel_width * dilation_y,
            x + tap % kernel_width * dilation_x,
            is_pixel,
            start // offset_channels * taps + tap,
            entries,
            out_area,
            height,
            width,
            channels,
        )
        columns = _columns(
            input + start,
            at,
            exists_a,
            exists_b,
            exists_c,
            exists_d,
            a,
            b,
            c,
            d,
            is_channel,
            channels,
            width,
            TILED_IN,
            BLOCK_IN,
        )
        at = grad_output + (pixel.to(tl.int64) * out_channels)[:, None] + out[None, :]
        upstream = tl.load(at, mask=_tile_mask(is_pixel, is_out, TILED_OUT), other=0.0)
        total = tl.dot(tl.trans(upstream), columns.to(upstream.dtype), total, input_precision=PRECISION)

    row = (tl.program_id(1).to(tl.int64) * out_channels + out) * taps + tap
    channel = start - group * group_channels + tl.arange(0, BLOCK_IN)
    at = grad_weight + (row * group_channels)[:, None] + channel[None, :]
    tl.store(at, total, mask=_tile_mask(is_out, is_channel, TILED_IN))
