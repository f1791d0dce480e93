"""Layers that save memory or time on a CPU: the results of plain layers, less stored, no useless recomputation."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from acsnet.layers import (
    Checkpointed,
    ConvNormAct,
    Deferred,
    DeferredInputConvNormAct,
    DeferredSequential,
    PerImage,
    checkpointed,
)


def test_checkpointed_returns_the_same_and_stores_less() -> None:
    layers = [torch.nn.Conv2d(2, 3, 3), torch.nn.GELU(), torch.nn.Conv2d(3, 1, 1)]
    plain, lean = torch.nn.Sequential(*layers).double(), Checkpointed(*layers)
    assert list(lean.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    gradients, stored = [], []
    for module in (plain, lean):
        shapes: list[tuple[int, ...]] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=shapes: s.append(tuple(t.shape)) or t, lambda t: t):
            output = module(x)
        stored.append((2, 3, 4, 4) in shapes)
        gradients.append([output, *torch.autograd.grad(output.square().sum(), (x, *plain.parameters()))])
    assert stored == [True, False]
    assert all(torch.equal(found, expected) for found, expected in zip(*gradients, strict=True))


def test_a_convolution_at_the_end_is_not_computed_again() -> None:
    layer = torch.nn.Conv2d(3, 2, 3)
    x, scale = torch.randn(1, 3, 6, 6, requires_grad=True), torch.randn(1, 3, 1, 1, requires_grad=True)
    operations, gradients = [], []
    for run in (lambda f, *arguments: f(*arguments), checkpointed):
        with FlopCounterMode(display=False) as counter:
            output = run(lambda x, scale: layer(x * scale), x, scale)
            gradients.append(torch.autograd.grad(output.square().sum(), (x, scale, *layer.parameters())))
        operations.append(counter.get_total_flops())
    # Forward, and the gradients of the map and of the weight.
    assert operations == [3 * 2 * 2 * 3 * 9 * 16] * 2
    assert all(torch.equal(found, expected) for found, expected in zip(*gradients, strict=True))


def test_per_image_is_the_sequence() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)]
    module, x, seen = PerImage(*layers), torch.randn(3, 3, 6, 6), []
    layers[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[0]))
    torch.testing.assert_close(module(x), nn.Sequential(*layers)(x))
    assert seen == [1, 1, 1, 3]


def stored_by(run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, set[tuple[int, ...]]]:
    """Return the result, and the shapes of the tensors that autograd stores for it."""
    shapes: set[tuple[int, ...]] = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.add(tuple(t.shape)) or t, lambda t: t):
        return run(), shapes


def test_a_deferred_input_gives_the_same_and_is_not_stored() -> None:
    torch.manual_seed(0)
    lean = DeferredInputConvNormAct(4, 6, groups=2).double()
    plain = ConvNormAct(4, 6, groups=2).double()
    plain.load_state_dict(lean.state_dict())
    x, scale = (torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True) for size in ((5, 5), (1, 1)))
    ours, stored = stored_by(lambda: lean(Deferred(lambda x, scale: (x * scale).repeat(1, 1, 2, 1), (x, scale))))
    theirs, all_stored = stored_by(lambda: plain((x * scale).repeat(1, 1, 2, 1)))
    assert (2, 4, 10, 5) in all_stored - stored
    arguments = (x, scale)
    for found, expected in zip(
        (ours, *torch.autograd.grad(ours.square().sum(), (*arguments, *lean.parameters()))),
        (theirs, *torch.autograd.grad(theirs.square().sum(), (*arguments, *plain.parameters()))),
        strict=True,
    ):
        assert torch.equal(found, expected)


def test_a_deferred_sequence_stores_only_its_arguments_and_the_maps_of_the_last_layer() -> None:
    torch.manual_seed(0)
    cheap, last = nn.Conv2d(3, 4, 1), DeferredInputConvNormAct(4, 6, groups=2)
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    ours, stored = stored_by(lambda: DeferredSequential(cheap, nn.ReLU(), last)(Deferred(torch.clone, (x,))))
    theirs = last(Deferred(lambda x: cheap(x).relu(), (x,)))
    assert (2, 4, 5, 5) not in stored
    for found, expected in zip(
        (ours, *torch.autograd.grad(ours.square().sum(), (x, cheap.weight))),
        (theirs, *torch.autograd.grad(theirs.square().sum(), (x, cheap.weight))),
        strict=True,
    ):
        assert torch.equal(found, expected)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_nothing_is_computed_again() -> None:
    seen: list[int] = []
    layer = Checkpointed(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 1, 1)).cuda()
    layer[0].register_forward_hook(lambda *_: seen.append(1))
    layer(torch.ones(1, 2, 4, 4, device="cuda")).sum().backward()
    assert seen == [1]
