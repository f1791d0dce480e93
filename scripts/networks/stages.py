"""The stages of a network that a diagram shows, and their shapes and parameters, measured by forward hooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from acsnet.models import create_model

Kind = Literal["image", "encoder", "extra", "decoder", "mask", "class"]


@dataclass(frozen=True)
class Stage:
    """One box of a diagram and one row of its table.

    Attributes:
        name: its short name, such as "E0".
        what: what it is, for the table.
        module: name of the module whose output it shows; "" for the image.
        column, level: its place in the diagram, from the left and from the top.
        inputs: names of the stages that it takes.
        kind: what its color stands for.
        index: which of the maps that the module returns, if it returns several.
        also: names of further modules whose parameters belong to it.
    """

    name: str
    what: str
    module: str
    column: float
    level: float
    inputs: Sequence[str] = ()
    kind: Kind = "decoder"
    index: int | None = None
    also: Sequence[str] = ()


@dataclass(frozen=True)
class Network:
    """A network of the zoo as a diagram.

    Attributes:
        key: name of its files.
        title: name in running text.
        name: name in the zoo.
        size: height and width of the image in pixels.
        in_channels: channels of the image.
        stages: the stages, each after its inputs.
        notes: remarks below the table.
    """

    key: str
    title: str
    name: str
    size: int
    in_channels: int
    stages: Sequence[Stage]
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Shape:
    """The measured shape of a stage.

    Attributes:
        size: channels, height and width of its output; the number of classes alone for class logits.
        parameters: number of its parameters, or None if an earlier stage has them, and for the image.
    """

    size: tuple[int, ...]
    parameters: int | None

    @property
    def text(self) -> str:
        """The size as text: channels, height and width with multiplication signs between them."""
        return "\u00d7".join(map(str, self.size))


def find_shapes(network: Network) -> tuple[dict[str, Shape], int]:
    """Run a network once on torch's meta device, without memory for its weights.

    Returns:
        The shape of each stage by its name, and the number of all parameters of the network.
    """
    with torch.device("meta"):
        model = create_model(network.name, in_channels=network.in_channels).eval()
        images = torch.empty(1, network.in_channels, network.size, network.size)
    outputs: dict[str, Any] = {}
    modules = dict(model.named_modules())
    for stage in network.stages:
        if stage.module:
            modules[stage.module].register_forward_hook(_recorder(outputs, stage.module))
    with torch.no_grad():
        model(images)
    outputs[""] = images
    return _shapes(network, outputs, modules), _count(model)


def _recorder(outputs: dict[str, Any], name: str) -> Any:
    def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs[name] = output

    return record


def _shapes(network: Network, outputs: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    counted: set[str] = set()
    for stage in network.stages:
        output = outputs[stage.module]
        maps = output if stage.index is None else output[stage.index]
        names = {name for name in (stage.module, *stage.also) if name} - counted
        counted |= names
        parameters = sum(_count(modules[name]) for name in names) if names else None
        shapes[stage.name] = Shape(tuple(maps.shape[1:]), parameters)
    return shapes


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
