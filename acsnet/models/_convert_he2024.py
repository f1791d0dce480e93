"""Conversion of weights of the publication's own ACSNet code (He et al. 2024) to the network of this package.

Only the names of the publication's parts are known: ``base`` (the encoder: stem, layer1 to layer4 of a ResNet-18),
``g1`` to ``g5`` (gates, finest first), ``sa1`` and ``sa2`` (deformable spatial attention), ``conv2`` to ``conv5``,
``up1`` to ``up4``, ``out`` and ``classfer``. Tensors are therefore assigned by part, and within a part by shape and
order, assuming that layers are declared in the order of their use. The conversion has not been tested on a published
file, since none was available. Check the masks of an imported network before you use it: layers with the same shape,
such as the two attention maps, or the channel attentions on layer4 and on the decoder, differ only in their order.

A safetensors file does not preserve the order of declaration. The conversion that :func:`import_acsnet_file` describes
stores it in the metadata as ``order``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from acsnet.checkpoints import CheckpointMetadata, read_header, read_weights, save_checkpoint
from acsnet.errors import CheckpointError
from acsnet.models.acsnet import ACSNet

# Parts that are identified by their names: theirs -> ours.
_BY_NAME = {
    "base": "encoder.network",
    **{f"g{level + 1}": f"gates.{level}" for level in range(5)},
    "out": "seg_head",
    "classfer": "cls_head",
}
# Parts that are identified by their shapes, in any numbering.
_BY_SHAPE = (
    (("sa1", "sa2"), ("decode3.1", "decode2.1")),
    (("conv2", "conv3", "conv4", "conv5"), ("decode3.0", "decode2.0", "decode1", "decode0")),
    (("up1", "up2", "up3", "up4"), ("join3", "join2", "join1", "join0")),
)
# Counters of batches do not affect predictions, and old files do not have them.
_COUNTER = "num_batches_tracked"
_PICKLED = (".pt", ".pth", ".bin", ".pkl", ".ckpt", ".tar")
_ORDER = "order"
_CONVERT = (
    "convert the original in a separate process, which reads tensors only, with these three lines of Python: "
    "import torch; from safetensors.torch import save_file / "
    "weights = torch.load({name!r}, map_location='cpu', weights_only=True) / "
    "save_file({{key: value.clone() for key, value in weights.items()}}, {converted!r}, {{'order': ' '.join(weights)}})"
)

Tensors = Mapping[str, torch.Tensor]
Signature = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class _Layer:
    """The tensors of one module by the last component of their names."""

    name: str
    tensors: dict[str, torch.Tensor]

    @property
    def signature(self) -> Signature:
        """Names and shapes; those of a 1x1 convolution and of a linear layer are equal."""
        shapes = ((leaf, _shape(tensor)) for leaf, tensor in self.tensors.items() if leaf != _COUNTER)
        return tuple(sorted(shapes))


def import_acsnet_weights(
    state_dict: Tensors,
    model: ACSNet,
    ignore: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Load a complete state dict of the publication's code into a network; see the module for the limitations.

    Args:
        state_dict: tensors by their names in the publication's code; if all names start with ``module.``, this prefix
            is removed.
        model: an ACSNet with the published widths and encoder, and the same number of classes.
        ignore: prefixes of names to ignore, for example ``base_model.``.
        renamed: their layer -> ours, for example ``{"classfer.fc1": "cls_head.classify.0"}``, for layers that shape and
            order do not identify.

    Returns:
        For each loaded tensor, our name -> theirs.

    Raises:
        CheckpointError: with the tensors that match no layer, the layers that no tensor matches, and the layers whose
            assignment is ambiguous. The network does not change.
    """
    theirs = _layers(_without_ignored(state_dict, ignore))
    ours = _layers(model.state_dict())
    pairs, problems = _renamed_pairs(theirs, ours, renamed or {})
    for layer, place in pairs:
        del theirs[layer.name], ours[place.name]
    for part, module in _parts(theirs, ours):
        found, more = _match(part, _within(theirs, part), module, _within(ours, module))
        pairs += found
        problems += more
        for name in [name for name in theirs if _is_within(name, part)]:
            del theirs[name]
        for name in [name for name in ours if _is_within(name, module)]:
            del ours[name]
    problems += [f"{name} belongs to no part of the network" for name in theirs]
    problems += [f"no tensor matches {name}" for name in ours]
    if problems:
        raise CheckpointError(f"the weights do not match ACSNet: {'; '.join(problems)}")
    return _load(model, pairs)


def import_acsnet_file(
    path: Path,
    out: Path,
    class_names: Sequence[str],
    ignore: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Convert a safetensors file of the publication's code to a checkpoint of this package.

    Args:
        path: path of the safetensors file.
        out: path of the checkpoint to write.
        class_names: names of the classes in the order of the class logits.
        ignore: see :func:`import_acsnet_weights`.
        renamed: see :func:`import_acsnet_weights`.

    Returns:
        For each tensor, our name -> theirs.

    Raises:
        CheckpointError: if the file is pickled or does not state the order of its tensors (with instructions for the
            conversion), if it cannot be read, or if it does not match the network.
        DiskFullError: if there is no space left on the disk.
    """
    if path.suffix.lower() in _PICKLED or _is_pickled(path):
        how = _CONVERT.format(name=path.name, converted=path.with_suffix(".safetensors").name)
        raise CheckpointError(f"{path} is a pickled file, which can run arbitrary code and is never opened: {how}")
    model = ACSNet(num_classes=len(class_names))
    names = import_acsnet_weights(_in_order(path), model, ignore, renamed)
    metadata = CheckpointMetadata(
        model="acsnet",
        arguments={"in_channels": model.in_channels, "tasks": list(model.tasks)},
        class_names=tuple(class_names),
        # As published.
        input_size=(256, 256),
        mean=(0.330,),
        std=(0.204,),
    )
    save_checkpoint(out, model.state_dict(), metadata)
    return names


def _is_pickled(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4)
    # torch.save writes zip archives, and before 1.6 plain pickles.
    return start == b"PK\x03\x04" or start[:1] == b"\x80"


def _in_order(path: Path) -> Tensors:
    weights, order = read_weights(path), read_header(path).get(_ORDER, "").split()
    if sorted(order) != sorted(weights):
        how = _CONVERT.format(name=f"{path.stem}.pth", converted=path.name)
        raise CheckpointError(f"{path} does not state the order in which its tensors were declared: {how}")
    return {name: weights[name] for name in order}


def _without_ignored(state_dict: Tensors, ignore: Sequence[str]) -> Tensors:
    names = list(state_dict)
    prefix = "module." if all(name.startswith("module.") for name in names) else ""
    stripped = {name.removeprefix(prefix): value for name, value in state_dict.items()}
    return {name: value for name, value in stripped.items() if not name.startswith(tuple(ignore))}


def _layers(state_dict: Tensors) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    for key, tensor in state_dict.items():
        name, _, leaf = key.rpartition(".")
        layers.setdefault(name, _Layer(name, {})).tensors[leaf] = tensor
    return layers


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _is_within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _within(layers: Mapping[str, _Layer], part: str) -> list[_Layer]:
    return [layer for name, layer in layers.items() if _is_within(name, part)]


def _renamed_pairs(
    theirs: Mapping[str, _Layer], ours: Mapping[str, _Layer], renamed: Mapping[str, str]
) -> tuple[list[tuple[_Layer, _Layer]], list[str]]:
    pairs, problems = [], []
    for name, place in renamed.items():
        if name not in theirs or place not in ours:
            problems.append(
                f"{name} cannot be assigned to {place}: there is no layer {place if name in theirs else name}"
            )
        elif theirs[name].signature != ours[place].signature:
            problems.append(f"{_describe(theirs[name])} cannot be assigned to {_describe(ours[place])}")
        else:
            pairs.append((theirs[name], ours[place]))
    return pairs, problems


def _parts(theirs: Mapping[str, _Layer], ours: Mapping[str, _Layer]) -> Iterator[tuple[str, str]]:
    """Yield each of their parts with the corresponding module of ours."""
    for part, module in _BY_NAME.items():
        if _within(theirs, part) and _within(ours, module):
            yield part, module
    for parts, modules in _BY_SHAPE:
        remaining = [module for module in modules if _within(ours, module)]
        for part in parts:
            signatures = _count(_within(theirs, part))
            matching = [module for module in remaining if _count(_within(ours, module)) == signatures]
            # Parts without a match are reported later, tensor by tensor.
            if matching and signatures:
                remaining.remove(matching[0])
                yield part, matching[0]


def _count(layers: Sequence[_Layer]) -> Counter[Signature]:
    return Counter(layer.signature for layer in layers)


def _match(
    part: str, theirs: Sequence[_Layer], module: str, ours: Sequence[_Layer]
) -> tuple[list[tuple[_Layer, _Layer]], list[str]]:
    """Pair the layers of a part and of a module that have the same signature, in their order."""
    there, here = _count(theirs), _count(ours)
    if there != here:
        extra = [_describe(layer) for layer in theirs if there[layer.signature] > here[layer.signature]]
        missing = [_describe(layer) for layer in ours if here[layer.signature] > there[layer.signature]]
        return [], [f"{part} has {', '.join(extra) or 'nothing'} where {module} has {', '.join(missing) or 'nothing'}"]
    pairs, problems = [], []
    for signature in here:
        mine = [(layer, _landmarks(ours, layer)) for layer in ours if layer.signature == signature]
        other = [(layer, _landmarks(theirs, layer)) for layer in theirs if layer.signature == signature]
        pairs += [(layer, place) for (layer, _), (place, _) in zip(other, mine, strict=True)]
        if len(mine) > 1 and [landmarks for _, landmarks in mine] != [landmarks for _, landmarks in other]:
            names = ", ".join(layer.name for layer, _ in other)
            places = ", ".join(place.name for place, _ in mine)
            problems.append(
                f"the assignment of {names} to {places} is ambiguous, since their shapes are equal and their order "
                "differs: set it by renamed"
            )
    return pairs, problems


def _landmarks(layers: Sequence[_Layer], layer: _Layer) -> frozenset[Signature]:
    """Return the signatures of the preceding layers that are unique within the part."""
    counts = _count(layers)
    before = layers[: layers.index(layer)]
    return frozenset(other.signature for other in before if counts[other.signature] == 1)


def _describe(layer: _Layer) -> str:
    shapes = ", ".join(f"{leaf} {tuple(tensor.shape)}" for leaf, tensor in layer.tensors.items() if leaf != _COUNTER)
    return f"{layer.name} ({shapes})"


def _load(model: ACSNet, pairs: Sequence[tuple[_Layer, _Layer]]) -> dict[str, str]:
    weights, names = {}, {}
    for layer, place in pairs:
        for leaf in place.tensors.keys() & layer.tensors.keys():
            key = f"{place.name}.{leaf}"
            weights[key] = layer.tensors[leaf].reshape(place.tensors[leaf].shape)
            names[key] = f"{layer.name}.{leaf}"
    # Counters can be missing; all other tensors were compared.
    model.load_state_dict(weights, strict=False)
    return names
