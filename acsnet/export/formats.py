"""Export formats: writing a network, and running the written file."""

import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.export import Dim, ExportedProgram

from acsnet._utils.extras import require_extra
from acsnet._utils.naming import look_up
from acsnet.export.network import ProbabilityNetwork, use_backend
from acsnet.export.onnx_operators import DEFORM_CONV_OPSET, has_deform_conv, translations

#: Name of the description: a key in the metadata of an ONNX file, and with ``.json`` a file in a PyTorch archive.
METADATA_KEY = "acsnet"
#: Dimensions of the images that can be dynamic, by their position.
DIMENSIONS = {0: "batch", 2: "height", 3: "width"}
#: The lowest version that PyTorch's exporter writes without conversion; older runtimes can read it.
ONNX_OPSET = 18

T = TypeVar("T")
Outputs = dict[str, torch.Tensor]
Run = Callable[[torch.Tensor], Outputs]


class RefusedError(Exception):
    """A network that cannot be exported with the given dynamic dimensions, or a file that does not reproduce it."""


@dataclass(frozen=True)
class Format:
    """A format of exported files.

    Attributes:
        name: name for users.
        suffix: suffix of its files.
        check: raises InputError if a required package is missing.
        write: writes a network, given the file, an example of the input, the names of the dynamic dimensions and the
            description; changes the backend of the network's deformable convolutions; raises RefusedError.
        load: reads a file, and returns a function from images to probabilities.
    """

    name: str
    suffix: str
    check: Callable[[], None]
    write: Callable[[ProbabilityNetwork, Path, torch.Tensor, Sequence[str], Mapping[str, Any]], None]
    load: Callable[[Path, Sequence[str]], Run]


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        UnknownNameError: if there is no such format; the message lists all.
    """
    return look_up("format", name, {kind.name: kind for kind in (_ONNX, _TORCH)}, "")


def list_formats() -> tuple[str, ...]:
    """Return the names of the formats.

    Example:
        >>> from acsnet.export import list_formats
        >>> list_formats()
        ('onnx', 'torch')
    """
    return (_ONNX.name, _TORCH.name)


def _check_onnx() -> None:
    require_extra("export", "exporting to ONNX")


def _need_nothing() -> None:
    """Check nothing: torch can write this format by itself."""


def attempt(action: Callable[[], T]) -> T:
    """Call a function of another library that may fail with undocumented types of errors.

    Raises:
        RefusedError: if it fails, with the type and the first line of the error.
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
    options: dict[str, Any] = {
        "input_names": ["images"],
        "output_names": list(network.outputs),
        "dynamic_shapes": {"images": {position: name for position, name in DIMENSIONS.items() if name in dynamic}},
        "dynamo": True,
        "verbose": False,
    }

    def convert() -> torch.onnx.ONNXProgram | None:
        if has_deform_conv(network):
            use_backend(network, "auto")
            captured = _capture(network, example, dynamic)
            return torch.onnx.export(
                captured, opset_version=DEFORM_CONV_OPSET, custom_translation_table=translations(), **options
            )
        use_backend(network, "torch")
        return torch.onnx.export(network, (example,), opset_version=ONNX_OPSET, **options)

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within the libraries
        program = attempt(convert)
    assert program is not None  # always so with dynamo=True
    for node in program.model.graph.all_nodes():
        # Removes the location of each operation in the code, which names folders of this machine.
        node.metadata_props.clear()
    program.model.metadata_props[METADATA_KEY] = json.dumps(description)
    program.save(path, external_data=False)


def _capture(network: ProbabilityNetwork, example: torch.Tensor, dynamic: Sequence[str]) -> ExportedProgram:
    # PyTorch assumes that a dynamic size is at least 2 unless told otherwise.
    dimensions = {"batch": Dim("batch", min=1), "height": Dim.DYNAMIC, "width": Dim.DYNAMIC}
    shapes = {position: dimensions[name] for position, name in DIMENSIONS.items() if name in dynamic}
    return torch.export.export(network, (example,), dynamic_shapes={"images": shapes})


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
    use_backend(network, "torch")
    with torch.no_grad():
        program = attempt(lambda: _capture(network, example, dynamic))
    for node in program.graph.nodes:
        # Removes the location of each operation in the code, which names folders of this machine.
        node.meta.pop("stack_trace", None)
    program.example_inputs = None
    # To memory first: PyTorch's own writer ends the process if the disk is full.
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{METADATA_KEY}.json": json.dumps(description)})
    path.write_bytes(buffer.getbuffer())


def _load_torch(path: Path, outputs: Sequence[str]) -> Run:
    module = torch.export.load(path).module()

    def run(images: torch.Tensor) -> Outputs:
        values = module(images)
        return {name: values[name] for name in outputs}

    return run


_ONNX = Format("onnx", ".onnx", _check_onnx, _write_onnx, _load_onnx)
_TORCH = Format("torch", ".pt2", _need_nothing, _write_torch, _load_torch)
