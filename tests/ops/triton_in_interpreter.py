"""The backend ``triton`` in Triton's interpreter. ``test_triton_backend.py`` runs this file, in a process of its own.

Triton chooses the interpreter when it is imported. To run this file by hand:
``TRITON_INTERPRET=1 PYTHONPATH=tests/ops python -m pytest tests/ops/triton_in_interpreter.py``.
"""

import functools
import itertools
import os

import pytest
import torch
from test_deform_conv import NAMES, Case, assert_same, border_case, make_tensors, reference, run, upstream

from acsnet.errors import InputError
from acsnet.ops import deform_conv2d, list_backends
from acsnet.ops.backends import triton
from acsnet.ops.deform_conv import _fastest

assert os.environ.get("TRITON_INTERPRET") == "1", "set TRITON_INTERPRET=1 before Python starts"

deform_conv2d = functools.partial(deform_conv2d, backend="triton")
SMALL = Case(kernel=(1, 2), size=(4, 3), batch=1)


@pytest.fixture
def many_processors(monkeypatch):
    """Divide sums into slices, as on a device that a small problem does not fill."""
    monkeypatch.setattr(triton, "_processors", lambda device: 132)


@pytest.mark.parametrize(
    "case",
    [
        Case(batch=1),
        Case(2, 2, (2, 2), stride=(2, 1), padding=(0, 2), modulated=False),
        Case(1, 2, (1, 4), stride=(1, 2), padding=(2, 1), dilation=(2, 1), batch=1),
        Case(2, 1, (3, 2), stride=(2, 2), bias=False),
        Case(2, 3, (1, 2), channels=(6, 4), batch=1),  # groups and offset groups overlap
        Case(4, 1, (1, 2), channels=(4, 4), modulated=False, size=(4, 3)),  # one channel per group
        Case(kernel=(2, 1), size=(9, 11)),  # pixels of several blocks, the last not full
        Case(kernel=(1, 2), channels=(24, 20), size=(4, 3), batch=1),  # blocks that are not full
        Case(2, 1, (1, 1), channels=(64, 64), size=(4, 3), batch=1),  # full blocks
        Case(1, 2, (1, 1), channels=(320, 16), size=(4, 3), batch=1),  # a last chunk of fewer blocks
    ],
    ids=str,
)
def test_agrees_with_the_naive_reference(case):
    assert_same(run(deform_conv2d, make_tensors(case), case), reference(case))


@pytest.mark.usefixtures("many_processors")
@pytest.mark.parametrize(
    ("case", "slices"),
    [
        (Case(kernel=(2, 2), channels=(192, 4), size=(3, 3), batch=1), [2, 1]),
        (Case(kernel=(1, 2), channels=(8, 2), size=(20, 18), batch=1), [1, 4]),
    ],
    ids=str,
)
def test_sums_in_slices(case, slices, monkeypatch):
    divide_work, received = triton._divide_work, []
    monkeypatch.setattr(triton, "_divide_work", lambda *args: received.append(divide_work(*args)) or received[-1])
    assert_same(run(deform_conv2d, make_tensors(case), case), reference(case))
    assert [number for _, _, number in received[-2:]] == slices


@pytest.mark.usefixtures("many_processors")
def test_slices_preserve_the_memory_format():
    case = Case(kernel=(2, 2), channels=(192, 4), size=(3, 3), batch=2)
    input, offset, weight, bias, mask = make_tensors(case)
    input = input.contiguous(memory_format=torch.channels_last)
    output = deform_conv2d(input, offset, weight, bias, mask=mask, **case.options)
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output.double(), reference(case)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("needed", [*itertools.combinations(NAMES, 1), ("offset", "bias")], ids=str)
def test_only_the_needed_gradients(needed):
    tensors = [
        tensor.detach().requires_grad_(name in needed) for name, tensor in zip(NAMES, make_tensors(SMALL), strict=True)
    ]
    input, offset, weight, bias, mask = tensors
    output = deform_conv2d(input, offset, weight, bias, mask=mask, **SMALL.options)
    output.backward(upstream(output))
    expected = [result if name in needed else None for name, result in zip(NAMES, reference(SMALL)[1:], strict=True)]
    assert_same([output.detach()] + [tensor.grad for tensor in tensors], [reference(SMALL)[0], *expected])


def test_strides_in_memory_do_not_matter():
    case = Case(2, 2, (1, 2), size=(4, 3), batch=2)
    expected = reference(case)
    tensors = make_tensors(case)
    last = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]
    strided = [t.detach().repeat_interleave(2, dim=-1)[..., ::2] for t in tensors]
    for others, layout in ((last, torch.channels_last), (strided, torch.contiguous_format)):
        leaves = [tensor.detach().requires_grad_() for tensor in others]
        input, offset, weight, bias, mask = leaves
        output = deform_conv2d(input, offset, weight, bias, mask=mask, **case.options)
        assert output.is_contiguous(memory_format=layout)
        output.backward(upstream(output))
        assert_same([output.detach()] + [leaf.grad for leaf in leaves], expected)
        assert input.grad.is_contiguous(memory_format=layout)


def test_gradient_of_a_plain_sum():
    case = SMALL
    ours, theirs = ([t.detach().requires_grad_() for t in make_tensors(case)] for _ in range(2))
    for leaves, backend in ((ours, "triton"), (theirs, "torch")):
        input, offset, weight, bias, mask = leaves
        deform_conv2d(input, offset, weight, bias, mask=mask, **case.options, backend=backend).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [0, 1])
def test_samples_far_outside_are_zero_and_an_empty_batch_is_empty(batch):
    case = Case(kernel=(1, 2), size=(4, 8), batch=batch)
    tensors = make_tensors(case)
    far = torch.tensor([-1e30, -1e9, -1e4, 1e4, 1e9, 1e30, float("inf"), -float("inf"), 1e9])
    tensors[1] = far.expand_as(tensors[1])
    output, input_gradient, offset_gradient, weight_gradient, _, mask_gradient = run(deform_conv2d, tensors, case)
    torch.testing.assert_close(output, tensors[3].view(1, -1, 1, 1).expand_as(output))
    for gradient in (input_gradient, offset_gradient, weight_gradient, mask_gradient):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize(("fraction", "axis"), [((0.0, 0.0), 0), ((0.25, 0.0), 1), ((0.0, 0.75), 0)])
def test_on_the_border_values_and_gradients_are_those_of_torch(fraction, axis):
    case, tensors = border_case(fraction, axis)
    tensors = [None if tensor is None else tensor.float() for tensor in tensors]
    assert_same(
        run(deform_conv2d, tensors, case), run(functools.partial(deform_conv2d, backend="torch"), tensors, case)
    )


def test_zero_offset_gradients_are_those_of_torch():
    tensors = make_tensors(SMALL)
    tensors[1] = torch.zeros_like(tensors[1])
    expected = run(functools.partial(deform_conv2d, backend="torch"), tensors, SMALL)
    assert expected[2].abs().sum() > 0
    assert_same(run(deform_conv2d, tensors, SMALL), expected)


def test_a_mask_of_nan_gives_nan():
    tensors = [tensor.detach().clone() for tensor in make_tensors(SMALL)]
    tensors[4][0, 1, 2, 1] = float("nan")
    input, offset, weight, bias, mask = tensors
    output = deform_conv2d(input, offset, weight, bias, mask=mask, **SMALL.options)
    assert output[0, :, 2, 1].isnan().all()
    assert output.isnan().sum() == output.shape[1]


def test_an_offset_of_nan_is_outside():
    outside, lost = ([tensor.detach().clone() for tensor in make_tensors(SMALL)] for _ in range(2))
    for tensors, value in ((outside, 1000.0), (lost, float("nan"))):
        tensors[1][0, 1, 2, 1] = value
    expected = run(functools.partial(deform_conv2d, backend="torch"), outside, SMALL)
    assert_same(run(deform_conv2d, lost, SMALL), expected)


def test_nan_and_infinity_in_the_input_reach_only_the_outputs_that_sample_them():
    input, offset, weight, _, _ = make_tensors(Case(kernel=(1, 1), padding=(0, 0), size=(4, 3), batch=1))
    input = input.detach().clone()
    input[0, 1, 0, 0], input[0, 2, 3, 2] = float("nan"), float("inf")
    output = deform_conv2d(input, torch.full_like(offset, 0.5), weight)
    assert (~output.isfinite()).any(1).nonzero().tolist() == [[0, 0, 0], [0, 2, 1], [0, 2, 2], [0, 3, 1], [0, 3, 2]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_to_float32(dtype):
    case = Case(kernel=(1, 2), channels=(32, 16), size=(4, 3), batch=1)
    tensors = make_tensors(case)
    halves = [tensor.detach().to(dtype) for tensor in tensors]
    expected = run(deform_conv2d, [half.float() for half in halves], case)
    for one, other in zip(run(deform_conv2d, halves, case), expected, strict=True):
        assert one.dtype == dtype
        assert (one - other).norm() < 0.01 * other.norm()


def test_autocast_gives_gradients_in_the_dtypes_of_the_arguments():
    tensors = make_tensors(SMALL)
    expected = reference(SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        received = run(deform_conv2d, tensors, SMALL)
    assert received[0].dtype == torch.bfloat16
    assert (received[0] - expected[0]).norm() < 0.02 * expected[0].norm()
    for one, other in zip(received[1:], expected[1:], strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()


def test_positions_keep_their_fraction_in_bfloat16():
    ramp = torch.arange(200, dtype=torch.float32).remainder(2).expand(1, 1, 1, 200)  # 0, 1, 0, 1, ...
    offset = torch.zeros(1, 2, 1, 200)
    offset[:, 1] = 0.25
    output = deform_conv2d(ramp.bfloat16(), offset.bfloat16(), torch.ones(1, 1, 1, 1).bfloat16())
    assert torch.equal(output.float()[..., :-1], torch.where(ramp > 0, 0.75, 0.25)[..., :-1])


@pytest.mark.parametrize("broken", ["_forward", "_backward_columns"])
def test_wrong_results_raise_before_they_are_used(broken, monkeypatch):
    original = getattr(triton, broken)

    def twice(*args):
        results = original(*args)
        return tuple(2 * result for result in results) if isinstance(results, tuple) else 2 * results

    monkeypatch.setattr(triton, broken, twice)
    triton._verify.cache_clear()
    with pytest.raises(RuntimeError, match=r"'triton' gives wrong results on cpu in torch.float32; please report"):
        deform_conv2d(*make_tensors(SMALL)[:3], **SMALL.options).sum().backward()
    triton._verify.cache_clear()


def test_it_is_chosen_by_name_only():
    assert "triton" in list_backends()
    assert _fastest("cpu", torch.float32, is_deterministic=False) == "torch"
    assert _fastest("cuda", torch.float32, is_deterministic=False) != "triton"


def test_double_precision_raises():
    with pytest.raises(InputError, match=r"backend 'triton' does not compute float64; use backend='auto'"):
        deform_conv2d(*make_tensors(SMALL, torch.float64)[:3], **SMALL.options)


def test_deterministic_algorithms_raise_for_its_gradients():
    input, offset, weight, _, _ = make_tensors(SMALL)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match=r"gradients of backend 'triton' are not deterministic on cpu.*'auto'"):
            deform_conv2d(input, offset, weight, **SMALL.options)
        with torch.no_grad():
            deform_conv2d(input, offset, weight, **SMALL.options)
    finally:
        torch.use_deterministic_algorithms(False)


def test_compiles_as_one_node():
    compiled = torch.compile(functools.partial(deform_conv2d, **SMALL.options), backend="aot_eager", fullgraph=True)
    received = run(lambda *tensors, mask, **_: compiled(*tensors, mask=mask), make_tensors(SMALL), SMALL)
    assert_same(received, reference(SMALL))
