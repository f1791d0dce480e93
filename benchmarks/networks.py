"""Training steps and inference of whole networks, and the growth of a training step with the image size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import skip_init
from torch.utils.flop_counter import FlopCounterMode

from acsnet.inference import prepare_for_inference
from acsnet.layers import UpsampleConv2d
from acsnet.models import create_model
from acsnet.training import keep_freed_memory
from acsnet.training.compilation import compile_mode
from benchmarks.measure import Measurement, in_fresh_process, matmul_rate, measure, time_once

_CLASSES = 3


@dataclass(frozen=True)
class Case:
    """A network with its settings and its input.

    Attributes:
        name: the name of the contender in tables.
        model: its name in the registry.
        arguments: the arguments of :func:`acsnet.create_model`.
        is_ours: run as by the tools of this package: bfloat16, channels last, freed memory kept, fused optimizer.
            Otherwise as published: float32, operations in the published order, defaults of the libraries.
        is_compiled: run through torch.compile.
        batch, size: the number of images, and their height and width.
        device: the type of the device.
    """

    name: str
    model: str
    arguments: dict[str, Any] = field(default_factory=dict)
    is_ours: bool = True
    is_compiled: bool = False
    batch: int = 8
    size: int = 256
    device: str = "cpu"


def contenders(device: torch.device, batch: int) -> list[Case]:
    """Return ACSNet, ACSNet as published, and networks of segmentation_models_pytorch with a classification head."""
    ours = Case("acsnet", "acsnet", batch=batch, device=device.type)
    peers = [
        replace(
            ours, name="acsnet as published (float32, torchvision's operator)", arguments={"backend": "torchvision"}
        ),
        replace(ours, name="smp U-Net, ResNet-50 (float32)", model="unet_resnet50"),
        replace(ours, name="smp FPN, ResNet-50 (float32)", model="fpn_resnet50"),
        replace(ours, name="smp U-Net, ResNet-18 (float32)", model="unet_resnet50", arguments={"encoder": "resnet18"}),
    ]
    # On a CPU, compiling takes longer than all other contenders together.
    compiled = [replace(ours, name="acsnet, compiled", is_compiled=True)] if device.type == "cuda" else []
    return [ours, *compiled, *(replace(peer, is_ours=False) for peer in peers)]


def benchmark_training(device: torch.device, rounds: int, cases: Sequence[Case] | None = None) -> list[Measurement]:
    """Measure a training step, batch 8 at 256x256; the memory is measured in one process per network."""
    cases = contenders(device, batch=8) if cases is None else cases
    memory = {case.name: in_fresh_process(_train_some, case)[1] for case in cases}
    if device.type == "cpu":
        keep_freed_memory()
    runs = {case.name: training_step(case) for case in cases}
    rows = measure("train", _describe(cases[0]), runs, rounds, memory)
    return [*rows, _lower_bound("train", cases[0], 3)]


def benchmark_inference(device: torch.device, rounds: int, cases: Sequence[Case] | None = None) -> list[Measurement]:
    """Measure the inference of one image of 256x256."""
    cases = contenders(device, batch=1) if cases is None else cases
    runs = {case.name: inference(case) for case in cases}
    return [*measure("infer", _describe(cases[0]), runs, rounds), _lower_bound("infer", cases[0], 1)]


def task_cases(device: torch.device, batch: int = 1, size: int = 448, **arguments: Any) -> list[Case]:
    """Return one network for both tasks, for each task alone, and two networks side by side (Chung et al. 2024).

    Args:
        device: the device.
        batch: number of images.
        size: their height and width.
        arguments: arguments of the network, a pair of U-Net and ResNet-50.
    """
    both = Case("one network, both tasks", "unet_resnet50", arguments, batch=batch, size=size, device=device.type)
    alone = [
        replace(both, name=f"{task} alone", arguments=arguments | {"tasks": (task,)})
        for task in ("segmentation", "classification")
    ]
    two = {"network": both.model, "arguments": arguments}
    return [both, *alone, replace(both, name="two networks side by side", model="two_networks", arguments=two)]


def benchmark_tasks(device: torch.device, rounds: int, cases: Sequence[Case] | None = None) -> list[Measurement]:
    """Measure the inference of both tasks by one network and by two, for one image of 448x448."""
    cases = task_cases(device) if cases is None else cases
    runs = {case.name: inference(case) for case in cases}
    return measure("tasks", f"unet_resnet50, {_describe(cases[0])}", runs, rounds)


GROWTH = ((1, 128), (1, 256), (1, 512), (1, 1024), (1, 256), (2, 256), (4, 256), (8, 256))


def benchmark_growth(
    device: torch.device, rounds: int, points: Sequence[tuple[int, int]] = GROWTH
) -> list[Measurement]:
    """Measure a training step of ACSNet at several batch and image sizes, each in its own process."""
    rows = []
    for batch, size in points:
        case = Case("acsnet", "acsnet", batch=batch, size=size, device=device.type)
        seconds, memory = in_fresh_process(_time_training, case, rounds)
        rows.append(Measurement("growth", _describe(case), "acsnet", seconds, None, None, memory))
    return rows


def training_step(case: Case) -> Callable[[], object]:
    """Return a function that runs one optimizer step on random images with two cross-entropy losses."""
    torch.manual_seed(0)
    device = torch.device(case.device)
    model = _build(case).to(device).train()
    images = torch.randn(case.batch, 3, case.size, case.size, device=device)
    if case.is_ours:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if case.is_compiled:
        model.compile(mode=compile_mode(device), dynamic=False)
    masks = torch.rand(case.batch, 1, case.size, case.size, device=device).round()
    labels = torch.arange(case.batch, device=device) % _CLASSES
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=case.is_ours)

    def step() -> None:
        with torch.autocast(case.device, dtype=torch.bfloat16, enabled=case.is_ours):
            output = model(images)
        loss = functional.binary_cross_entropy_with_logits(output.mask.float(), masks)
        loss = loss + functional.cross_entropy(output.label.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def inference(case: Case) -> Callable[[], object]:
    """Return a function that runs a forward pass on random images."""
    torch.manual_seed(0)
    device = torch.device(case.device)
    model = _build(case).to(device).eval()
    images = torch.randn(case.batch, 3, case.size, case.size, device=device)
    if case.is_ours:
        model = prepare_for_inference(model, torch.bfloat16)
        images = images.to(memory_format=torch.channels_last)
    if case.is_compiled:
        model.compile(mode=compile_mode(device), dynamic=False)

    def run() -> object:
        with torch.inference_mode(), torch.autocast(case.device, dtype=torch.bfloat16, enabled=case.is_ours):
            return model(images)

    return run


def _build(case: Case) -> nn.Module:
    model = create_model(case.model, num_classes=_CLASSES, **case.arguments)
    if not case.is_ours:
        for parent in list(model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, UpsampleConv2d):
                    setattr(parent, name, _in_plain_order(child))
    return model


def _in_plain_order(layer: UpsampleConv2d) -> nn.Module:
    """Return upsampling followed by the convolution, the usual order of other implementations."""
    size = layer.kernel_size[0]
    convolution = skip_init(nn.Conv2d, layer.in_channels, layer.out_channels, size, padding=size // 2)
    convolution.load_state_dict(layer.state_dict())
    return nn.Sequential(nn.UpsamplingBilinear2d(scale_factor=2), convolution)


def _train_some(case: Case) -> None:
    # The optimizer's state is created in the first step; the second one has it from the start.
    _time_training(case, 1)


def _time_training(case: Case, rounds: int) -> float:
    if case.is_ours and case.device == "cpu":
        keep_freed_memory()
    return time_once(training_step(case), rounds)


def _lower_bound(benchmark: str, case: Case, passes: int) -> Measurement:
    """Return the lower bound of the time: the multiplications at the rate of a large matrix product."""
    with torch.device("meta"):
        model = _build(case).eval()
        images = torch.empty(case.batch, 3, case.size, case.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    operations = passes * counter.get_total_flops()
    rate = matmul_rate(torch.device(case.device), torch.bfloat16)
    name = f"its {operations / 1e9:.0f} GFLOP at this machine's {rate / 1e9:.0f} GFLOP/s (bfloat16 matrix product)"
    return Measurement(benchmark, _describe(case), name, operations / rate, None, None)


def _describe(case: Case) -> str:
    return f"batch {case.batch}, {case.size}x{case.size}"
