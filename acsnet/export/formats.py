"""The formats: how a network is written in each, and how the file is run again."""

import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.export import Dim

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
from acsnet.export.network import ProbabilityNetwork

#: Under which the description lies: a key of the ONNX file's metadata, and with ``.json`` a file in the PyTorch one.
METADATA_KEY = "acsnet"
#: The dimensions of the images that may be dynamic, by their place.
DIMENSIONS = {0: "batch", 2: "height", 3: "width"}
#: The lowest that PyTorch's exporter writes by itself: what more versions of the runtimes read.
ONNX_OPSET = 18
_EXTRA = ("onnx", "onnxscript", "onnxruntime")

T = TypeVar("T")
Outputs = dict[str, torch.Tensor]
Run = Callable[[torch.Tensor], Outputs]


class RefusedError(Exception):
    """A network that cannot be written with these dynamic dimensions, or a file that does not do as it; says why."""


@dataclass(frozen=True)
class Format:
    """A format of exported files.

    Attributes:
        name: as the user gives it.
        suffix: of its files.
        check: raises InputError where something needed is missing.
        write: writes a network, given an example of its input, the names of the dynamic dimensions and the description;
            raises RefusedError.
        load: reads a file back, as a function from images to probabilities.
    """

    name: str
    suffix: str
    check: Callable[[], None]
    write: Callable[[ProbabilityNetwork, Path, torch.Tensor, Sequence[str], Mapping[str, Any]], None]
    load: Callable[[Path, Sequence[str]], Run]


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        UnknownNameError: for another name, listing those that are known.
    """
    return look_up("format", name, {one.name: one for one in (_ONNX, _TORCH)}, "")


def list_formats() -> tuple[str, ...]:
    """The names of the formats."""
    return (_ONNX.name, _TORCH.name)


def _check_torch() -> None:
    if not hasattr(Dim, "DYNAMIC"):
        raise InputError(f"exporting needs PyTorch 2.6 or newer, here is {torch.__version__}: pip install -U torch")


def _check_onnx() -> None:
    _check_torch()
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"exporting to ONNX needs {', '.join(missing)}: pip install 'acsnet[export]'")


def attempt(action: Callable[[], T]) -> T:
    """Do what another library may refuse, with errors of many types that no documentation lists.

    Raises:
        RefusedError: with the type and the first line of the error.
    """
    try:
        return action()
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise RefusedError(f"{type(error).__name__}: {first}") from error


def _write_onnx(
    network: ProbabilityNetwork,
    path: Path,
    example: torch.Tensor,
    dynamic: Sequence[str],
    description: Mapping[str, Any],
) -> None:
    shapes = {place: name for place, name in DIMENSIONS.items() if name in dynamic}
    convert = partial(
        torch.onnx.export,
        network,
        (example,),
        input_names=["images"],
        output_names=list(network.outputs),
        dynamic_shapes={"images": shapes},
        opset_version=ONNX_OPSET,
        dynamo=True,
        verbose=False,
    )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the libraries will change in their own next versions
        program = attempt(convert)
    assert program is not None  # as it is with dynamo=True
    for node in program.model.graph.all_nodes():
        # Where each operation stands in the code, with the folders of this machine.
        node.metadata_props.clear()
    program.model.metadata_props[METADATA_KEY] = json.dumps(description)
    program.save(path, external_data=False)


def _load_onnx(path: Path, outputs: Sequence[str]) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: torch.Tensor) -> Outputs:
        values = session.run(list(outputs), {"images": images.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(outputs, values, strict=True)}

    return run


def _write_torch(
    network: ProbabilityNetwork,
    path: Path,
    example: torch.Tensor,
    dynamic: Sequence[str],
    description: Mapping[str, Any],
) -> None:
    # A batch of one has to be said: PyTorch takes a dynamic size for 2 or more.
    ranges = {"batch": Dim("batch", min=1), "height": Dim.DYNAMIC, "width": Dim.DYNAMIC}
    shapes = {place: ranges[name] for place, name in DIMENSIONS.items() if name in dynamic}
    with torch.no_grad():
        program = attempt(lambda: torch.export.export(network, (example,), dynamic_shapes={"images": shapes}))
    for node in program.graph.nodes:
        # Where each operation stands in the code, with the folders of this machine.
        node.meta.pop("stack_trace", None)
    program.example_inputs = None
    torch.export.save(program, path, extra_files={f"{METADATA_KEY}.json": json.dumps(description)})


def _load_torch(path: Path, outputs: Sequence[str]) -> Run:
    module = torch.export.load(path).module()

    def run(images: torch.Tensor) -> Outputs:
        values = module(images)
        return {name: values[name] for name in outputs}

    return run


_ONNX = Format("onnx", ".onnx", _check_onnx, _write_onnx, _load_onnx)
_TORCH = Format("torch", ".pt2", _check_torch, _write_torch, _load_torch)
