"""The deformable convolution against a plain convolution of the same shape and the operators of other libraries."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from acsnet.ops import deform_conv2d
from acsnet.ops.deform_conv import list_backends
from benchmarks.measure import Measurement, measure

REFERENCE = "conv2d"
OURS = "acsnet"


class Shape(NamedTuple):
    """The shape of a modulated 3x3 convolution, at a height and width of ``size``."""

    in_channels: int
    out_channels: int
    size: int

    def __str__(self) -> str:
        return f"{self.in_channels}->{self.out_channels} @{self.size}"


# The two DSAModules of ACSNet at 256x256, and a large map.
SHAPES = (Shape(512, 512, 16), Shape(1024, 512, 16), Shape(256, 256, 32), Shape(512, 256, 32), Shape(64, 64, 128))


def benchmark_operator(device: torch.device, rounds: int, shapes: tuple[Shape, ...] = SHAPES) -> list[Measurement]:
    """Measure every shape: batch 1 and 8, forward and forward + backward, float32 and bfloat16 autocast."""
    rows: list[Measurement] = []
    for dtype in (torch.float32, torch.bfloat16):
        for batch in (1, 8):
            for shape in shapes:
                for passes in ("forward", "forward + backward"):
                    case = f"{shape}, batch {batch}, {str(dtype).removeprefix('torch.')}, {passes}"
                    rows += _one_case(case, shape, batch, dtype, device, passes != "forward", rounds)
    return rows


def _one_case(
    case: str, shape: Shape, batch: int, dtype: torch.dtype, device: torch.device, backward: bool, rounds: int
) -> list[Measurement]:
    arguments = _Arguments.draw(shape, batch, device)
    runs: dict[str, Callable[[], object]] = {}
    for name, function in _contenders(device, dtype):
        runs[name] = _runner(function, arguments, dtype, backward)
    memory = None
    if device.type == "cuda":
        memory = {name: _peak_on_cuda(run) for name, run in runs.items()}
    return measure("deform_conv", case, runs, rounds, memory)


class _Arguments(NamedTuple):
    input: Tensor
    offset: Tensor
    weight: Tensor
    mask: Tensor
    gradient: Tensor

    @classmethod
    def draw(cls, shape: Shape, batch: int, device: torch.device) -> "_Arguments":
        """Draw offsets of about one pixel and modulation of about one half, as in a trained layer."""
        generator = torch.Generator().manual_seed(0)
        size = (shape.size, shape.size)
        drawn = [
            torch.randn(batch, shape.in_channels, *size, generator=generator),
            torch.randn(batch, 18, *size, generator=generator),
            torch.randn(shape.out_channels, shape.in_channels, 3, 3, generator=generator) / shape.in_channels,
            torch.rand(batch, 9, *size, generator=generator),
            torch.randn(batch, shape.out_channels, *size, generator=generator),
        ]
        # Networks of this package run in channels last.
        placed = [tensor.to(device, memory_format=torch.channels_last) for tensor in drawn]
        input, offset, weight, mask = (tensor.requires_grad_() for tensor in placed[:4])
        return cls(input, offset, weight, mask, gradient=placed[4])


Operator = Callable[[_Arguments], Tensor]


def _contenders(device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, Operator]]:
    yield REFERENCE, lambda a: functional.conv2d(a.input, a.weight, padding=1)
    yield OURS, _deform("auto")
    for peer in ("torchvision", "mmcv"):
        # The libraries have no half precision on a CPU: their time there is that of float32.
        if peer in list_backends():
            yield peer, _deform(peer)


def _deform(backend: str) -> Operator:
    return lambda a: deform_conv2d(a.input, a.offset, a.weight, padding=1, mask=a.mask, backend=backend)


def _runner(function: Operator, arguments: _Arguments, dtype: torch.dtype, backward: bool) -> Callable[[], object]:
    device_type = arguments.input.device.type
    inputs = [tensor for tensor in arguments[:4] if tensor.requires_grad]

    def forward() -> Tensor:
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            return function(arguments)

    def run() -> object:
        if not backward:
            with torch.no_grad():
                return forward()
        output = forward()
        return torch.autograd.grad(output, inputs, arguments.gradient.to(output.dtype), allow_unused=True)

    return run


def _peak_on_cuda(run: Callable[[], object]) -> float:
    """Return the MB of device memory that a call needs in addition to the memory in use before."""
    run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6
