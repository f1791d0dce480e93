"""The deformable convolution: every backend against a naive float64 reference, torchvision and plain convolutions."""

import dataclasses
import functools
import itertools
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from acsnet.errors import InputError, UnknownNameError
from acsnet.ops import DeformConv2dPack, deform_conv2d, list_backends
from acsnet.ops.backends import BACKENDS, mmcv, pytorch


def backends_on(device_type):
    """Return every backend on a device type as a parameter, skipped if it is not installed."""
    return [
        pytest.param(
            backend.name,
            marks=pytest.mark.skipif(not backend.is_available(), reason=f"backend {backend.name} is not installed"),
        )
        for backend in BACKENDS
        if backend.priority_on(device_type) is not None
    ]


ALL_BACKENDS = backends_on("cpu")
NAMES = ("input", "offset", "weight", "bias", "mask")


class Case(NamedTuple):
    groups: int = 1
    offset_groups: int = 1
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    modulated: bool = True
    bias: bool = True
    batch: int = 2
    size: tuple[int, int] = (7, 5)
    channels: tuple[int, int] = (4, 6)

    @property
    def options(self):
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def output_size(self):
        return tuple(
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in zip(
                self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )


GEOMETRIES = [
    {},
    {"stride": (2, 1), "padding": (0, 2)},
    {"stride": (1, 2), "padding": (2, 1), "dilation": (2, 1)},
]
GRID = [
    Case(groups, offset_groups, kernel, modulated=modulated, bias=number % 2 == 0, **geometry)
    for number, (groups, offset_groups, kernel, geometry, modulated) in enumerate(
        itertools.product((1, 2), (1, 2), ((3, 3), (2, 2), (1, 4)), GEOMETRIES, (True, False))
    )
]


def make_tensors(case, dtype=torch.float32, reach=2.0):
    """Return the leaves ``input, offset, weight, bias, mask`` of a case; offsets reach outside, off integers."""
    random = torch.Generator().manual_seed(7)
    taps = case.kernel[0] * case.kernel[1]
    in_channels, out_channels = case.channels

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    offset = reach * normal(case.batch, 2 * case.offset_groups * taps, *case.output_size)
    # Away from integers, where the derivative jumps and float32 and float64 may stand on different sides.
    offset = offset.floor() + 0.05 + 0.9 * (offset - offset.floor())
    tensors = (
        normal(case.batch, in_channels, *case.size),
        offset,
        normal(out_channels, in_channels // case.groups, *case.kernel) / taps,
        normal(out_channels) if case.bias else None,
        normal(case.batch, case.offset_groups * taps, *case.output_size).sigmoid() if case.modulated else None,
    )
    return [None if tensor is None else tensor.to(dtype).requires_grad_() for tensor in tensors]


def upstream(output):
    """Return a fixed gradient of the output whose entries all differ."""
    ramp = torch.linspace(-1, 1, output.numel(), dtype=torch.float64)
    return ramp.sin().view(output.shape).to(output.dtype)


def run(function, tensors, case, **options):
    """Return the output and the gradient of every tensor, None for omitted tensors."""
    leaves = [None if tensor is None else tensor.detach().clone().requires_grad_() for tensor in tensors]
    input, offset, weight, bias, mask = leaves
    output = function(input, offset, weight, bias, mask=mask, **case.options, **options)
    output.backward(upstream(output))
    return [output.detach()] + [None if leaf is None else leaf.grad for leaf in leaves]


def assert_same(received, expected, tolerance=1e-5):
    for name, one, other in zip(("output", *NAMES), received, expected, strict=True):
        if other is None:
            assert one is None
        else:
            torch.testing.assert_close(
                one.double(),
                other.double(),
                rtol=tolerance,
                atol=tolerance,
                msg=lambda text, name=name: f"{name}: {text}",
            )


def corners(y, x, height, width):
    """Yield the pixels around a position, each with its weight and the derivatives of the weight by y and x."""
    top, left = int(np.floor(y)), int(np.floor(x))
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            by_y, by_x = 1 - abs(y - row), 1 - abs(x - column)
            yield row, column, by_y * by_x, (1 if row > top else -1) * by_x, by_y * (1 if column > left else -1)


def samples_of(case):
    """Index every sample: image, output row and column, offset group, tap, and the tap's row and column."""
    height, width = case.output_size
    kernel_height, kernel_width = case.kernel
    for b, i, j, g in itertools.product(range(case.batch), range(height), range(width), range(case.offset_groups)):
        for tap_row, tap_column in itertools.product(range(kernel_height), range(kernel_width)):
            yield b, i, j, g, tap_row * kernel_width + tap_column, tap_row, tap_column


@functools.cache
def reference(case):
    """Compute output and gradients in float64, by loops over samples and corners, without code of the package."""
    input, offset, weight, bias, mask = (
        None if tensor is None else tensor.detach().numpy() for tensor in make_tensors(case, torch.float64)
    )
    taps = case.kernel[0] * case.kernel[1]
    share = case.channels[0] // case.offset_groups
    scale = np.ones((case.batch, case.offset_groups * taps, *case.output_size)) if mask is None else mask

    def position(b, i, j, g, tap, tap_row, tap_column):
        channel = 2 * (g * taps + tap)
        y = i * case.stride[0] - case.padding[0] + tap_row * case.dilation[0] + offset[b, channel, i, j]
        x = j * case.stride[1] - case.padding[1] + tap_column * case.dilation[1] + offset[b, channel + 1, i, j]
        return corners(y, x, *case.size)

    columns = np.zeros((case.batch, case.channels[0], taps, *case.output_size))
    for sample in samples_of(case):
        b, i, j, g, tap = sample[:5]
        for row, column, value, _, _ in position(*sample):
            part = slice(g * share, (g + 1) * share)
            columns[b, part, tap, i, j] += scale[b, g * taps + tap, i, j] * value * input[b, part, row, column]

    grouped_columns = columns.reshape(case.batch, case.groups, -1, taps, *case.output_size)
    grouped_weight = weight.reshape(case.groups, -1, weight.shape[1], taps)
    output = np.einsum("bgcthw,goct->bgohw", grouped_columns, grouped_weight)
    output = output.reshape(case.batch, -1, *case.output_size) + (0 if bias is None else bias[:, None, None])

    gradient = upstream(torch.from_numpy(output)).numpy()
    grouped_gradient = gradient.reshape(case.batch, case.groups, -1, *case.output_size)
    weight_gradient = np.einsum("bgcthw,bgohw->goct", grouped_columns, grouped_gradient).reshape(weight.shape)
    column_gradient = np.einsum("bgohw,goct->bgcthw", grouped_gradient, grouped_weight).reshape(columns.shape)
    input_gradient, offset_gradient, mask_gradient = np.zeros_like(input), np.zeros_like(offset), np.zeros_like(scale)
    for sample in samples_of(case):
        b, i, j, g, tap = sample[:5]
        part, entry = slice(g * share, (g + 1) * share), g * taps + tap
        for row, column, value, by_y, by_x in position(*sample):
            along = column_gradient[b, part, tap, i, j]
            dot = along @ input[b, part, row, column]
            input_gradient[b, part, row, column] += scale[b, entry, i, j] * value * along
            offset_gradient[b, 2 * entry, i, j] += scale[b, entry, i, j] * by_y * dot
            offset_gradient[b, 2 * entry + 1, i, j] += scale[b, entry, i, j] * by_x * dot
            mask_gradient[b, entry, i, j] += value * dot
    bias_gradient = None if bias is None else gradient.sum((0, 2, 3))
    results = (
        output,
        input_gradient,
        offset_gradient,
        weight_gradient,
        bias_gradient,
        None if mask is None else mask_gradient,
    )
    return [None if result is None else torch.from_numpy(result) for result in results]


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("case", GRID, ids=str)
def test_every_backend_agrees_with_the_naive_reference(case, backend):
    received = run(deform_conv2d, make_tensors(case), case, backend=backend)
    assert received[0].dtype == torch.float32
    assert_same(received, reference(case))


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("case", GRID[::5], ids=str)
def test_every_backend_agrees_with_torchvision(case, backend):
    tensors = make_tensors(case)
    expected = run(torchvision_deform_conv2d, tensors, case)
    assert_same(run(deform_conv2d, tensors, case, backend=backend), expected)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_one_number_means_an_equal_pair(backend):
    case = Case(stride=(2, 2), padding=(2, 2), dilation=(2, 2))
    input, offset, weight, bias, mask = make_tensors(case)
    output = deform_conv2d(input, offset, weight, bias, 2, 2, 2, mask, backend)
    pairs = deform_conv2d(input, offset, weight, bias, [2, 2], (2, 2), (2, 2), mask, backend)
    assert torch.equal(output, pairs)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("groups", [1, 2])
def test_zero_offset_is_a_plain_convolution(backend, groups):
    case = Case(groups=groups, stride=(2, 1), dilation=(1, 2), modulated=False)
    input, offset, weight, bias, _ = make_tensors(case)
    output = deform_conv2d(input, torch.zeros_like(offset), weight, bias, **case.options, backend=backend)
    expected = functional.conv2d(input, weight, bias, **case.options, groups=groups)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_integer_offset_is_a_shifted_convolution(backend):
    case = Case(modulated=False)
    input, offset, weight, bias, _ = make_tensors(case)
    down, right = 2, -1
    offset = torch.tensor([down, right], dtype=torch.float32).repeat(9).view(1, 18, 1, 1).expand_as(offset)
    output = deform_conv2d(input, offset, weight, bias, **case.options, backend=backend)
    shifted = functional.pad(input, (1, 0, 0, down))[:, :, down:, : case.size[1]]
    # The shift brings zeros in, but inside of the image the kernel still sees what the padding would hide.
    expected = functional.conv2d(functional.pad(input, (4, 4, 4, 4)), weight, bias)
    expected = expected[:, :, 3 + down : 3 + down + case.size[0], 3 + right : 3 + right + case.size[1]]
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    inner = functional.conv2d(shifted, weight, bias)
    torch.testing.assert_close(output[:, :, 1:-1, 1:-1], inner, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("distance", [-1e30, -1e4, 1e4, 1e30, float("inf")])
def test_samples_far_outside_are_zero(backend, distance):
    case = Case()
    tensors = make_tensors(case)
    tensors[1] = torch.full_like(tensors[1], distance)
    output, input_gradient, offset_gradient, weight_gradient, _, mask_gradient = run(
        deform_conv2d, tensors, case, backend=backend
    )
    torch.testing.assert_close(output, tensors[3].view(1, -1, 1, 1).expand_as(output))
    for gradient in (input_gradient, offset_gradient, weight_gradient, mask_gradient):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def border_case(fraction, axis):
    """Return a 1x1 kernel that samples positions from -2 to size + 1, one per output pixel of a wide image."""
    case = Case(kernel=(1, 1), padding=(0, 0), size=(8, 8), bias=False)
    tensors = make_tensors(case, torch.float64)
    position = torch.arange(-2, 10, dtype=torch.float64)
    row, column = torch.meshgrid(position[:8] if axis else position[4:], position[4:], indexing="ij")
    here = torch.arange(8, dtype=torch.float64)
    offset = torch.stack((row + fraction[0] - here.view(8, 1), column + fraction[1] - here))
    tensors[1] = offset.expand(2, 2, 8, 8).contiguous()
    return case, tensors


@pytest.mark.parametrize("fraction", [(0.0, 0.0), (0.25, 0.0), (0.0, 0.75)])
@pytest.mark.parametrize("axis", [0, 1])
def test_on_the_border_values_and_gradients_are_torchvisions(fraction, axis):
    case, tensors = border_case(fraction, axis)
    expected = run(torchvision_deform_conv2d, tensors, case)
    assert_same(run(deform_conv2d, tensors, case, backend="torch"), expected, tolerance=1e-12)


def test_zero_offset_gradients_are_torchvisions():
    case = Case(bias=False)
    tensors = make_tensors(case, torch.float64)
    tensors[1] = torch.zeros_like(tensors[1])
    expected = run(torchvision_deform_conv2d, tensors, case)
    assert expected[2].abs().sum() > 0
    assert_same(run(deform_conv2d, tensors, case, backend="torch"), expected, tolerance=1e-12)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("case", [Case(), Case(offset_groups=2, modulated=False)], ids=str)
def test_a_position_that_is_not_finite_is_outside(case, value, backend):
    tensors = make_tensors(case, reach=1.0)
    outside, lost = ([None if t is None else t.detach().clone() for t in tensors] for _ in range(2))
    for some, put in ((outside, 1000.0), (lost, value)):
        some[1][0, 3, 2, 1] = put
        some[1][1, 6:8] = put
    expected = run(functools.partial(deform_conv2d, backend="torch"), outside, case)
    received = run(deform_conv2d, lost, case, backend=backend)
    assert all(result is None or result.isfinite().all() for result in received)
    assert not received[2][0, 3, 2, 1]
    assert_same(received, expected)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("value", [1e7, 2.0**31, -(2.0**31), 2.0**63, 1e18, -3e38])
@pytest.mark.parametrize("case", [Case(), Case(groups=2, offset_groups=2, modulated=False)], ids=str)
def test_an_absurd_offset_is_outside(case, value, backend):
    """None of them fits into the integers of a compiled operator; a float64 one with an offset that does is right."""
    tensors, outside = make_tensors(case), make_tensors(case, torch.float64)
    for some, put in ((tensors, value), (outside, 1000.0)):
        with torch.no_grad():
            some[1][0, 3, 2, 1] = put
            some[1][1, 6:8] = put
            some[1][:, :, -1] = put
    expected = run(torchvision_deform_conv2d, outside, case)
    assert_same(run(deform_conv2d, tensors, case, backend=backend), expected)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("case", [Case(batch=0), Case(groups=2, offset_groups=2, modulated=False, batch=0)], ids=str)
def test_empty_batch(case, backend):
    output, *gradients = run(deform_conv2d, make_tensors(case), case, backend=backend)
    assert output.shape == (0, 6, *case.output_size)
    for tensor, gradient in zip(make_tensors(case), gradients, strict=True):
        assert (gradient is None) == (tensor is None)
        assert gradient is None or torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_strides_in_memory_do_not_matter(backend):
    case = Case(groups=2, offset_groups=2)
    tensors = make_tensors(case)
    expected = run(deform_conv2d, tensors, case, backend=backend)
    last = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]
    strided = [t.detach().repeat_interleave(2, dim=-1)[..., ::2] for t in tensors]
    assert not strided[0].is_contiguous()
    for others in (last, strided):
        input, offset, weight, bias, mask = (tensor.detach().requires_grad_() for tensor in others)
        output = deform_conv2d(input, offset, weight, bias, mask=mask, **case.options, backend=backend)
        output.backward(upstream(output))
        received = [output.detach(), input.grad, offset.grad, weight.grad, bias.grad, mask.grad]
        assert_same(received, expected)


def test_memory_format_is_that_of_the_input():
    input, offset, weight, bias, mask = make_tensors(Case())
    assert deform_conv2d(input, offset, weight, bias, 1, 1, 1, mask, "torch").is_contiguous()
    input = input.contiguous(memory_format=torch.channels_last)
    output = deform_conv2d(input, offset, weight, bias, 1, 1, 1, mask, "torch")
    assert output.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "case",
    [
        Case(kernel=(2, 3), size=(3, 2), channels=(2, 2), batch=1),
        Case(2, 2, (2, 1), size=(3, 2), channels=(4, 2), batch=1, modulated=False),
    ],
    ids=str,
)
def test_gradients_in_float64(case):
    tensors = make_tensors(case, torch.float64, reach=1.0)
    used = [tensor for tensor in tensors if tensor is not None]

    def function(input, offset, weight, bias, mask=None):
        return deform_conv2d(input, offset, weight, bias, mask=mask, **case.options, backend="torch")

    assert torch.autograd.gradcheck(function, used)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("case", [Case(), Case(groups=2, offset_groups=2, modulated=False)], ids=str)
def test_autocast_is_close_to_float32(case, backend):
    tensors = make_tensors(case)
    expected = run(deform_conv2d, tensors, case, backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        received = run(deform_conv2d, tensors, case, backend=backend)
    assert received[0].dtype == torch.bfloat16
    for one, other in zip(received[1:], expected[1:], strict=True):
        assert other is None or (one.dtype == torch.float32 and (one - other).norm() < 0.02 * other.norm())
    assert (received[0] - expected[0]).norm() < 0.02 * expected[0].norm()


@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_autocast_takes_mixed_dtypes(backend):
    input, offset, weight, bias, mask = make_tensors(Case())
    with torch.autocast("cpu", torch.bfloat16):
        output = deform_conv2d(input.bfloat16(), offset, weight, bias, 1, 1, 1, mask.bfloat16(), backend)
    assert output.dtype == torch.bfloat16


def test_autocast_leaves_float64_alone():
    case = Case()
    with torch.autocast("cpu", torch.bfloat16):
        received = run(deform_conv2d, make_tensors(case, torch.float64), case, backend="torch")
    assert received[0].dtype == torch.float64
    assert_same(received, reference(case), tolerance=1e-12)


@pytest.mark.parametrize("long_row", [1, pytorch._LONG_ROW])
def test_gradients_under_autocast_with_long_and_short_rows(long_row, monkeypatch):
    monkeypatch.setattr(pytorch, "_LONG_ROW", long_row)
    with torch.autocast("cpu", torch.bfloat16):
        received = run(deform_conv2d, make_tensors(Case()), Case(), backend="torch")
    for gradient, expected in zip(received[1:], reference(Case())[1:], strict=True):
        assert (gradient.double() - expected).abs().max() < 0.03 * expected.abs().max()


def test_positions_keep_their_fraction_in_bfloat16():
    size = (2, 200)
    ramp = torch.arange(200, dtype=torch.float32).remainder(2).expand(1, 1, *size)  # 0, 1, 0, 1, ...
    offset = torch.zeros(1, 2, *size)
    offset[:, 1] = 0.25
    output = deform_conv2d(ramp.bfloat16(), offset.bfloat16(), torch.ones(1, 1, 1, 1).bfloat16(), backend="torch")
    expected = torch.where(ramp > 0, 0.75, 0.25)[..., :-1]
    assert torch.equal(output.float()[..., :-1], expected)


@pytest.mark.parametrize(("slice_bytes", "chunk_pixels"), [(1, 2048), (2500, 2048), (2500, 5)])
@pytest.mark.parametrize("case", GRID[::5], ids=str)
def test_slices_and_chunks_of_the_output_are_the_whole(case, slice_bytes, chunk_pixels, monkeypatch):
    calls = []
    run_slice = pytorch._run_slice
    monkeypatch.setattr(pytorch, "_run_slice", lambda call, output: calls.append(call) or run_slice(call, output))
    monkeypatch.setattr(pytorch, "_SLICE_BYTES", slice_bytes)
    monkeypatch.setattr(pytorch, "_CHUNK_PIXELS", chunk_pixels)
    received = run(deform_conv2d, make_tensors(case), case, backend="torch")
    rows = [call.offset.shape[0] * call.offset.shape[2] for call in calls]
    assert sum(rows) == case.batch * case.output_size[0]
    assert max(rows) == 1 if slice_bytes == 1 else max(rows) > 1
    assert_same(received, reference(case))


@pytest.mark.parametrize("alone", [name for name in NAMES if name != "bias"])
def test_a_single_gradient_equals_the_one_computed_with_the_others(alone):
    tensors = [tensor.detach() for tensor in make_tensors(Case())]
    leaf = tensors[NAMES.index(alone)].requires_grad_()
    input, offset, weight, bias, mask = tensors
    output = deform_conv2d(input, offset, weight, bias, mask=mask, **Case().options, backend="torch")
    (received,) = torch.autograd.grad(output, leaf, upstream(output))
    expected = reference(Case())[1 + NAMES.index(alone)]
    torch.testing.assert_close(received.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("by", ["input", "offset", "weight"])
def test_a_second_derivative_raises(by, backend):
    tensors = make_tensors(Case())
    input, offset, weight, bias, mask = tensors
    output = deform_conv2d(input, offset, weight, bias, mask=mask, **Case().options, backend=backend)
    (gradient,) = torch.autograd.grad(output.square().sum(), tensors[NAMES.index(by)], create_graph=True)
    with pytest.raises(RuntimeError, match=r"can be differentiated once, .* leave out create_graph=True, or detach"):
        gradient.sum().backward()


def test_transforms_of_torch_func():
    input, offset, weight, bias, mask = (tensor.detach() for tensor in make_tensors(Case(), torch.float64))

    def total(weight):
        return deform_conv2d(input, offset, weight, bias, mask=mask, padding=1).square().sum()

    leaf = weight.clone().requires_grad_()
    (expected,) = torch.autograd.grad(total(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(total)(weight), expected)
    weights = torch.stack((weight, 2 * weight))
    torch.testing.assert_close(torch.func.vmap(total)(weights), torch.stack([total(one) for one in weights]))
    _, slope = torch.func.jvp(total, (weight,), (weight,))
    torch.testing.assert_close(slope, (expected * weight).sum())
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(total(forward_ad.make_dual(weight, weight)))
        torch.testing.assert_close(dual.tangent, slope)
        with pytest.raises(NotImplementedError, match=r"forward AD with _embedding_bag.* does not support it"):
            deform_conv2d(input, offset, weight, bias, mask=forward_ad.make_dual(mask, mask), padding=1)


@pytest.mark.parametrize("backend", ["torch", "torchvision", "auto"])
@pytest.mark.parametrize("case", [Case(), Case(groups=2, offset_groups=2, modulated=False, bias=False)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_operator_is_as_it_is_registered(case, layout, backend):
    input, offset, weight, bias, mask = make_tensors(case)
    input = input.detach().contiguous(memory_format=layout).requires_grad_()
    arguments = (input, offset, weight, bias, mask, case.stride, case.padding, case.dilation, torch.float32, backend)
    torch.library.opcheck(torch.ops.acsnet.deform_conv2d, arguments)


def test_the_operator_checks_shapes_with_and_without_data():
    arguments = (GOOD["input"], GOOD["offset"], GOOD["weight"], ones(4), GOOD["mask"])
    for device in ("cpu", "meta"):
        tensors = [tensor.to(device) for tensor in arguments]
        with pytest.raises(InputError, match=r"bias must have shape \(6,\) = \(C_out,\), got \(4,\)"):
            torch.ops.acsnet.deform_conv2d(*tensors, (1, 1), (1, 1), (1, 1), torch.float32, "auto")


@pytest.mark.parametrize("backend", ["auto", "torchvision"])
def test_compilers_and_exporters_record_one_node(backend):
    layer = DeformConv2dPack(4, 6, 3, padding=1, backend=backend)
    input = make_tensors(Case())[0].detach()
    program = torch.export.export(layer, (input,))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert [name for name in targets if "conv2d" in name] == ["aten.conv2d.default", "acsnet.deform_conv2d.default"]
    torch.testing.assert_close(program.module()(input), layer(input))


def test_operations_are_counted_as_for_a_plain_convolution():
    input, offset, weight, bias, mask = make_tensors(Case())
    with FlopCounterMode(display=False) as counter:
        deform_conv2d(input, offset, weight, bias, mask=mask, padding=1).sum().backward()
    with FlopCounterMode(display=False) as plain:
        functional.conv2d(input, weight, bias, padding=1).sum().backward()
    assert counter.get_total_flops() == plain.get_total_flops() > 0


@pytest.mark.parametrize("backend", ["auto", "torch", "torchvision"])
def test_compiles_without_graph_breaks(backend):
    case = Case(groups=2, offset_groups=2)
    tensors = make_tensors(case)
    torch.compiler.reset()
    compiled = torch.compile(functools.partial(deform_conv2d, backend=backend), fullgraph=True, backend="aot_eager")
    assert_same(run(compiled, tensors, case), run(deform_conv2d, tensors, case, backend="torch"))


def test_compiles_under_autocast():
    case = Case()
    tensors = make_tensors(case)
    torch.compiler.reset()
    compiled = torch.compile(deform_conv2d, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        received = run(compiled, tensors, case)
        assert received[0].dtype == torch.bfloat16
        assert_same(received, run(deform_conv2d, tensors, case, backend="torch"))


class Operator(torch.nn.Module):
    def forward(self, input, offset, weight, bias, mask):
        return deform_conv2d(input, offset, weight, bias, padding=1, mask=mask)


def test_exports_with_dynamic_batch():
    def arguments(batch):
        tensors = make_tensors(Case(batch=batch))
        return tuple(tensor.detach() for tensor in tensors)

    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(Operator(), arguments(3), dynamic_shapes=(batch, batch, None, None, batch))
    for size in (1, 3, 5):
        torch.testing.assert_close(program.module()(*arguments(size)), Operator()(*arguments(size)))


def test_bit_identical_from_run_to_run():
    case = Case(size=(33, 31), channels=(32, 16), offset_groups=2, batch=4)
    tensors = make_tensors(case)
    first = run(deform_conv2d, tensors, case, backend="torch")
    for _ in range(3):
        again = run(deform_conv2d, tensors, case, backend="torch")
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", backends_on("cuda"))
@pytest.mark.parametrize("case", GRID[::5], ids=str)
def test_cuda_agrees_with_the_naive_reference(case, backend):
    tensors = [None if tensor is None else tensor.detach().cuda() for tensor in make_tensors(case)]
    leaves = [None if tensor is None else tensor.requires_grad_() for tensor in tensors]
    input, offset, weight, bias, mask = leaves
    output = deform_conv2d(input, offset, weight, bias, mask=mask, **case.options, backend=backend)
    output.backward(upstream(output).cuda())
    received = [output.detach().cpu()] + [None if leaf is None else leaf.grad.cpu() for leaf in leaves]
    assert_same(received, reference(case), tolerance=1e-4)


@pytest.fixture
def stand_in_mmcv(monkeypatch):
    """An ``mmcv.ops`` with the function of mmcv 2.2 and its restrictions, computed by torchvision."""

    def compute(*arguments):
        input, offset, mask, weight, bias, stride, padding, dilation, groups, offset_groups = arguments
        assert groups == input.shape[1] // weight.shape[1]
        assert offset_groups == mask.shape[1] // weight[0, 0].numel()
        assert input.shape[0] > 0
        assert all(tensor.is_contiguous() and tensor.dtype == input.dtype for tensor in (input, offset, mask, weight))
        return torchvision_deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)

    class Modulated:
        @staticmethod
        def forward(ctx, *arguments):
            ctx.arguments = arguments
            ctx.save_for_backward(*arguments[:4])
            return compute(*arguments)

        @staticmethod
        def backward(ctx, grad):
            input, offset, mask, weight = ctx.saved_tensors
            *pairs, groups, offset_groups = ctx.arguments[5:]
            numbers = [number for pair in pairs for number in pair]
            bias = weight.new_zeros(len(weight))
            by_input, by_weight, by_offset, by_mask, by_bias = torch.ops.torchvision._deform_conv2d_backward(
                grad, input, weight, offset, mask, bias, *numbers, groups, offset_groups, True
            )
            return by_input, by_offset, by_mask, by_weight, by_bias, None, None, None, None, None

    operators = types.ModuleType("mmcv.ops")
    package = types.ModuleType("mmcv")
    package.ops = operators
    functions = types.ModuleType("mmcv.ops.modulated_deform_conv")
    functions.ModulatedDeformConv2dFunction = Modulated
    monkeypatch.setitem(sys.modules, "mmcv", package)
    monkeypatch.setitem(sys.modules, "mmcv.ops", operators)
    monkeypatch.setitem(sys.modules, "mmcv.ops.modulated_deform_conv", functions)
    mmcv._is_available.cache_clear()
    yield
    mmcv._is_available.cache_clear()


@pytest.mark.usefixtures("stand_in_mmcv")
@pytest.mark.parametrize("case", [*GRID[::7], Case(batch=0), Case(batch=0, modulated=False)], ids=str)
def test_mmcv_receives_its_arguments_in_order(case):
    assert "mmcv" in list_backends()
    tensors = make_tensors(case)
    assert_same(run(deform_conv2d, tensors, case, backend="mmcv"), run(deform_conv2d, tensors, case, backend="torch"))


def runs_of(monkeypatch, device_type="cpu", missing=(), dtype=torch.float32, is_deterministic=False):
    """Return the name of the backend that ``auto`` uses if those in ``missing`` are not installed."""
    from acsnet.ops import deform_conv

    known = {
        backend.name: dataclasses.replace(backend, is_available=lambda name=backend.name: name not in missing)
        for backend in BACKENDS
    }
    monkeypatch.setattr(deform_conv, "_BACKENDS", known)
    return deform_conv._fastest(device_type, dtype, is_deterministic)


def test_auto_uses_the_fastest_on_the_device(monkeypatch):
    assert runs_of(monkeypatch, "cpu") == "torch"
    assert runs_of(monkeypatch, "cuda") == "triton"
    assert runs_of(monkeypatch, "cuda", missing=("triton",)) == "torchvision"
    assert runs_of(monkeypatch, "cuda", missing=("triton", "torchvision")) == "mmcv"
    assert runs_of(monkeypatch, "cuda", missing=("triton", "torchvision", "mmcv")) == "torch"
    assert runs_of(monkeypatch, "mps") == "torch"


def test_auto_uses_one_that_supports_the_dtype(monkeypatch):
    assert runs_of(monkeypatch, "cuda", dtype=torch.bfloat16) == "triton"
    assert runs_of(monkeypatch, "cuda", dtype=torch.float64) == "torchvision"


def test_auto_uses_a_deterministic_one_on_request(monkeypatch):
    assert runs_of(monkeypatch, "cuda", is_deterministic=True) == "torch"
    assert runs_of(monkeypatch, "cpu", is_deterministic=True) == "torch"
    assert runs_of(monkeypatch, "mps", is_deterministic=True) == "torch"


def test_shapes_without_data_on_the_meta_device():
    tensors = [tensor.detach().to("meta") for tensor in make_tensors(Case())]
    output = deform_conv2d(*tensors[:4], padding=1, mask=tensors[4])
    assert output.is_meta
    assert output.shape == (2, 6, 7, 5)


def test_installed_backends_are_listed():
    names = list_backends()
    assert names[:2] == ("torch", "torchvision")
    assert set(names) <= {backend.name for backend in BACKENDS}


def test_unknown_backend():
    with pytest.raises(UnknownNameError, match=r"backend 'torchvison'.*did you mean 'torchvision'.*'auto', 'torch'"):
        deform_conv2d(*make_tensors(Case())[:4], padding=1, backend="torchvison")


def test_missing_backend_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmcv.ops", None)
    mmcv._is_available.cache_clear()
    try:
        with pytest.raises(
            InputError, match=r"'mmcv' is not installed.*MMCV_WITH_OPS=1 pip install.*torch, torchvision"
        ):
            deform_conv2d(*make_tensors(Case())[:4], padding=1, backend="mmcv")
    finally:
        mmcv._is_available.cache_clear()


def test_backend_that_does_not_run_on_the_device():
    tensors = [tensor.detach().to("meta") for tensor in make_tensors(Case())[:4]]
    with pytest.raises(InputError, match=r"'torchvision' runs on cpu, cuda, the input is on meta; use backend='auto'"):
        deform_conv2d(*tensors, padding=1, backend="torchvision")


def ones(*shape, dtype=torch.float32, device="cpu"):
    return torch.ones(*shape, dtype=dtype, device=device)


GOOD = {
    "input": ones(2, 4, 7, 5),
    "offset": ones(2, 18, 7, 5),
    "weight": ones(6, 4, 3, 3),
    "bias": ones(6),
    "mask": ones(2, 9, 7, 5),
    "padding": 1,
}
BAD = {
    "input of 3 dimensions": ({"input": ones(4, 7, 5)}, r"input must have 4 dimensions, got shape \(4, 7, 5\)"),
    "offset of 3 dimensions": ({"offset": ones(18, 7, 5)}, r"offset must have 4 dimensions, got shape \(18, 7, 5\)"),
    "weight of 2 dimensions": ({"weight": ones(6, 4)}, r"weight must have 4 dimensions, got shape \(6, 4\)"),
    "empty kernel": (
        {"weight": ones(6, 4, 0, 3)},
        r"must not be empty, got input \(2, 4, 7, 5\) and weight \(6, 4, 0, 3\)",
    ),
    "input channels": ({"weight": ones(6, 3, 3, 3)}, r"input has 4 channels, expected a multiple of the 3 that weight"),
    "output channels": (
        {"weight": ones(5, 2, 3, 3)},
        r"weight \(5, 2, 3, 3\) has 5 output channels, expected a multiple of its 2 groups",
    ),
    "offset channels": ({"offset": ones(2, 17, 7, 5)}, r"offset has 17 channels, expected a multiple of 18 \(2 \* kH"),
    "no offset channels": ({"offset": ones(2, 0, 7, 5)}, r"offset has 0 channels, expected a multiple of 18"),
    "offset groups": (
        {"offset": ones(2, 54, 7, 5)},
        r"3 offset groups \(54 channels / 18\), which do not divide the 4",
    ),
    "offset size": (
        {"offset": ones(2, 18, 7, 4)},
        r"offset must have shape \(2, 18, 7, 5\) = \(B, 2 \* offset_groups.*got \(2, 18, 7, 4\)",
    ),
    "offset batch": ({"offset": ones(1, 18, 7, 5)}, r"offset must have shape \(2, 18, 7, 5\).*got \(1, 18, 7, 5\)"),
    "mask channels": ({"mask": ones(2, 18, 7, 5)}, r"mask must have shape \(2, 9, 7, 5\) = .*got \(2, 18, 7, 5\)"),
    "mask size": ({"mask": ones(2, 9, 5, 7)}, r"mask must have shape \(2, 9, 7, 5\).*got \(2, 9, 5, 7\)"),
    "bias": ({"bias": ones(4)}, r"bias must have shape \(6,\) = \(C_out,\), got \(4,\)"),
    "input too small": (
        {"padding": 0, "dilation": (1, 3)},
        r"input \(2, 4, 7, 5\) with padding \(0, 0\) is smaller than the kernel \(3, 3\) with dilation.*5 x -1",
    ),
    "stride": ({"stride": 0}, r"stride must be one or two whole numbers of at least 1, got 0"),
    "padding": ({"padding": (1, -1)}, r"padding must be one or two whole numbers of at least 0, got \(1, -1\)"),
    "dilation": ({"dilation": (1, 1, 1)}, r"dilation must be one or two whole numbers of at least 1, got \(1, 1, 1\)"),
    "fractional stride": (
        {"stride": (1.5, 1)},
        r"stride must be one or two whole numbers of at least 1, got \(1.5, 1\)",
    ),
    "devices": (
        {"offset": ones(2, 18, 7, 5, device="meta")},
        r"on one device, got input on cpu, offset on meta, weight on cpu, bias on cpu, mask on cpu",
    ),
    "dtypes": (
        {"weight": ones(6, 4, 3, 3, dtype=torch.float64)},
        r"one dtype outside of autocast, got input float32, offset float32, weight float64",
    ),
    "integers": ({"input": ones(2, 4, 7, 5, dtype=torch.int64)}, r"must be floating point, got input int64"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("backend", ALL_BACKENDS)
def test_wrong_arguments_are_named(changes, message, backend):
    with pytest.raises(InputError, match=message):
        deform_conv2d(**(GOOD | changes), backend=backend)


def test_valid_arguments_do_not_raise():
    assert deform_conv2d(**GOOD).shape == (2, 6, 7, 5)
