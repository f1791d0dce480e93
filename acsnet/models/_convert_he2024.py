"""Conversion of checkpoints of the ACSNet publication's own code (He et al. 2024) to this package's network.

The architecture is the same; the names, two orders and one convention differ:

- Gates are numbered from the coarsest map there and from the finest here.
- A decoder level concatenates ``[gated skip, upsampled]`` there and ``[upsampled, gated skip]`` here, so the first
  convolution of each level has the halves of its input channels swapped.
- The deformable convolution there may order its 18 offset channels as nine row offsets followed by nine column
  offsets; here rows and columns alternate per tap, as in torchvision.
- ``base_model`` is a second reference to the encoder plus the ImageNet classifier, and is skipped.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from pydantic import ValidationError

from acsnet._utils.naming import look_up
from acsnet.checkpoints import CheckpointMetadata, describe_invalid, is_pickled, read_weights, save_checkpoint
from acsnet.errors import CheckpointError, InputError
from acsnet.models.acsnet import ACSNet

OffsetOrder = Literal["rows-then-columns", "interleaved"]
Weights = Mapping[str, torch.Tensor]

_SKIPPED = "base_model."
_CLASSIFIER = "classfer.fc.2.weight"

_ENCODER = {"layer0.0": "conv1", "layer0.1": "bn1", "layer1.1": "layer1"} | {
    f"layer{stage}": f"layer{stage}" for stage in (2, 3, 4)
}
_GATE = {
    "gate.0": "score.0.0",
    "gate.1": "score.0.1",
    "gate.3": "score.1",
    "output.0": "merge.0",
    "output.1": "merge.1",
}
_DOUBLE = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1"}
_ATTENTION = {
    f"{theirs}.{layer}": f"{ours}.{place}"
    for theirs, ours in (("dcn1", "gather"), ("dcn2", "merge"))
    for layer, place in (("0.conv", "0"), ("0.p_conv", "0.offset"), ("0.m_conv", "0.modulation"), ("1", "1"))
} | {"conv1.0": "average_map", "conv2.0": "maximum_map"}
_HEAD = {f"{attention}.linear.{layer}": f"{place}.weigh.{layer}"
         for attention, place in (("ca1", "fine"), ("ca2", "coarse"), ("ca3", "decoder")) for layer in (0, 2)} | {
    "fc.0": "classify.0", "fc.2": "classify.2",
}  # fmt: skip
# Their module, our module, and the layers within them; gates and decoder levels are numbered from the coarsest there.
_MODULES: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("", "encoder.network", _ENCODER),
    *((f"g{number}", f"gates.{5 - number}", _GATE) for number in range(1, 6)),
    *((f"up{number}", f"join{4 - number}", {"0": "reduce.0"}) for number in range(1, 5)),
    ("conv2", "decode3.0", _DOUBLE),
    ("conv3", "decode2.0", _DOUBLE),
    ("conv4", "decode1", _DOUBLE),
    ("conv5", "decode0", {"0": "0", "2": "2.0", "3": "2.1"}),
    ("sa1", "decode3.1", _ATTENTION),
    ("sa2", "decode2.1", _ATTENTION),
    ("out", "seg_head", {"1": "0", "2": "1.0", "4": "1.2"}),
    ("classfer", "cls_head", _HEAD),
)
# The convolutions that receive a concatenation of the skip and the upsampled map.
_SWAPPED = ("conv2.0.weight", "conv3.0.weight", "conv4.0.weight", "conv5.0.weight")


def convert_he2024(state_dict: Weights, offset_order: OffsetOrder = "rows-then-columns") -> dict[str, torch.Tensor]:
    """Convert a state dict of the publication's code to one of :class:`~acsnet.models.ACSNet`.

    Args:
        state_dict: the 388 tensors of the publication's network; ``module.`` in front of every key is removed, and
            ``base_model.*`` may be missing.
        offset_order: how the deformable convolution of the file orders its offset channels. The operator that the
            publication's code calls has all row offsets first (``rows-then-columns``); torchvision's and mmcv's
            operators alternate rows and columns (``interleaved``).

    Returns:
        A state dict that :meth:`torch.nn.Module.load_state_dict` of ``ACSNet(num_classes=K)`` takes as a whole.

    Raises:
        UnknownNameError: for an unknown offset order.
        CheckpointError: naming every missing, unexpected and misshapen key, with the expected shape; in short if the
            weights have nothing in common with that code.
    """
    look_up("offset order", offset_order, dict.fromkeys(get_args(OffsetOrder)), "")
    theirs = _without_prefix(state_dict)
    expected = _expected_shapes(_class_count(theirs))
    _check(theirs, {key: shape for key, (_, shape) in expected.items()})
    converted = {}
    for key, (place, _) in expected.items():
        tensor = theirs[key]
        if key in _SWAPPED:
            tensor = torch.cat(tensor.chunk(2, dim=1)[::-1], dim=1)
        if ".p_conv." in key and offset_order == "rows-then-columns":
            tensor = torch.stack(tensor.chunk(2), dim=1).flatten(0, 1)
        converted[place] = tensor
    return converted


def import_he2024_file(
    path: Path,
    out: Path,
    class_names: Sequence[str],
    offset_order: OffsetOrder = "rows-then-columns",
    mean: float = 0.330,
    std: float = 0.204,
) -> CheckpointMetadata:
    """Convert a safetensors file of the publication's code to a checkpoint of this package.

    Args:
        path: the safetensors file.
        out: the checkpoint to write.
        class_names: the classes in the order of the logits.
        offset_order: see :func:`convert_he2024`.
        mean: mean of the gray values, 0 to 1, that the network was trained with; the default is BUSI's.
        std: their standard deviation.

    Returns:
        The metadata of the checkpoint.

    Raises:
        CheckpointError: for a pickled file, which is never opened (the message says how to convert it), for a file
            that cannot be read or does not fit.
        InputError: if the number of class names is not the number of the file's classes, or if a name, the mean or the
            standard deviation is not valid.
        DiskFullError: if the disk is full.
    """
    if is_pickled(path):
        raise CheckpointError(
            f"{path} is a pickled file, which may run code and is never opened here: convert it in a process of its "
            "own by: import torch; from safetensors.torch import save_file; "
            f"w = torch.load({path.name!r}, map_location='cpu', weights_only=True); "
            f"save_file({{k: v.clone() for k, v in w.items()}}, {path.with_suffix('.safetensors').name!r})"
        )
    weights = convert_he2024(read_weights(path), offset_order)
    classes = len(weights["cls_head.classify.2.bias"])
    if len(class_names) != classes:
        raise InputError(f"{path} has {classes} classes, got {len(class_names)} names: {', '.join(class_names)}")
    try:
        metadata = CheckpointMetadata(
            model="acsnet",
            arguments={"in_channels": 3, "tasks": ["segmentation", "classification"]},
            class_names=tuple(class_names),
            input_size=(256, 256),
            mean=(mean,),
            std=(std,),
            # The publication's code saves the best epoch on the fold that it tests.
            selected_on="test",
        )
    except ValidationError as error:
        raise InputError(f"the metadata of {out} would not be valid: {describe_invalid(error)}") from error
    save_checkpoint(out, weights, metadata)
    return metadata


def _without_prefix(state_dict: Weights) -> dict[str, torch.Tensor]:
    prefix = "module." if all(key.startswith("module.") for key in state_dict) else ""
    stripped = {key.removeprefix(prefix): value for key, value in state_dict.items()}
    return {key: value for key, value in stripped.items() if not key.startswith(_SKIPPED)}


def _class_count(theirs: Weights) -> int:
    # Without the last layer any count serves: the check names the layer as missing.
    return len(theirs[_CLASSIFIER]) if _CLASSIFIER in theirs and theirs[_CLASSIFIER].ndim == 2 else 2


def _expected_shapes(num_classes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Their keys -> our keys and the shapes."""
    with torch.device("meta"):
        ours = ACSNet(num_classes=num_classes).state_dict()
    places = dict(_layers())
    expected = {}
    for key, tensor in ours.items():
        module, _, name = key.rpartition(".")
        expected[f"{places[module]}.{name}"] = (key, tuple(tensor.shape))
    return expected


def _layers() -> Iterator[tuple[str, str]]:
    """Our layers and theirs, down to the modules that hold tensors."""
    stages = [f"layer{stage}" for stage in (2, 3, 4)]
    for module, place, layers in _MODULES:
        for layer, inner in layers.items():
            theirs = f"{module}.{layer}" if module else layer
            if module or theirs in ("layer0.0", "layer0.1"):
                yield f"{place}.{inner}", theirs
            elif theirs in ("layer1.1", *stages):
                yield from ((f"{place}.{inner}.{block}", f"{theirs}.{block}") for block in _block_layers(theirs))


def _block_layers(stage: str) -> Iterator[str]:
    """List the layers of a stage of a ResNet-18: two basic blocks, with a 1x1 shortcut from the second stage on."""
    for block in (0, 1):
        yield from (f"{block}.{layer}" for layer in ("conv1", "bn1", "conv2", "bn2"))
    if stage != "layer1.1":
        yield from ("0.downsample.0", "0.downsample.1")


def _check(theirs: Weights, expected: Mapping[str, tuple[int, ...]]) -> None:
    if theirs.keys().isdisjoint(expected):
        raise CheckpointError(
            f"none of the {len(theirs)} tensors ({', '.join(list(theirs)[:3])}, ...) has a name of the ACSNet "
            "publication's code, such as layer0.0.weight: expected a checkpoint of that code"
        )
    missing = [f"{key} {shape}" for key, shape in expected.items() if key not in theirs]
    unexpected = [f"{key} {tuple(value.shape)}" for key, value in theirs.items() if key not in expected]
    misshapen = [
        f"{key} is {tuple(theirs[key].shape)}, expected {shape}"
        for key, shape in expected.items()
        if key in theirs and tuple(theirs[key].shape) != shape
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    problems = [f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in groups if keys]
    if problems:
        raise CheckpointError(
            f"the weights are not those of the ACSNet publication's code ({len(expected)} tensors besides "
            f"{_SKIPPED}*): {'; '.join(problems)}"
        )
