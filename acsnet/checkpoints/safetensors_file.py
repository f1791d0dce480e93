"""Reading and writing of checkpoint files: safetensors with metadata in the header. Nothing is ever unpickled."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from acsnet._utils.files import whole_file
from acsnet._utils.state_dicts import describe_differences
from acsnet.checkpoints.metadata import METADATA_KEY, CheckpointMetadata, parse_metadata
from acsnet.errors import CheckpointError

# A safetensors file starts with the length of its JSON header, 8 bytes, little-endian; the tensors follow the header.
_LENGTH_BYTES = 8
_ALIGNMENT_BYTES = 8
_CHUNK_BYTES = 1 << 20


def save_checkpoint(path: Path, state_dict: dict[str, torch.Tensor], metadata: CheckpointMetadata) -> None:
    """Write weights and metadata to a checkpoint file.

    The file appears under its name only once it is complete; an existing file is overwritten.

    Args:
        path: the file to write, ``.safetensors``.
        state_dict: the weights.
        metadata: the metadata.

    Raises:
        DiskFullError: if the disk is full.
    """
    # Clones: safetensors refuses tensors that share storage and does not store memory formats.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={METADATA_KEY: metadata.model_dump_json()}))


def rewrite_metadata(path: Path, target: Path, metadata: CheckpointMetadata) -> None:
    """Copy a checkpoint file with other metadata; the bytes of its tensors are copied unchanged.

    The file appears under its name only once it is complete; an existing file is overwritten, which may be the
    checkpoint itself.

    Args:
        path: the checkpoint.
        target: the file to write, ``.safetensors``.
        metadata: the new metadata.

    Raises:
        CheckpointError: if the checkpoint is missing, truncated or not safetensors.
        DiskFullError: if the disk is full.
    """
    _open(path)  # checks the file, also its length
    with path.open("rb") as source, whole_file(target) as temporary, temporary.open("wb") as copy:
        header = _skip_header(source)
        header["__metadata__"] = {METADATA_KEY: metadata.model_dump_json()}
        content = json.dumps(header, separators=(",", ":")).encode("utf-8")
        content += b" " * (-len(content) % _ALIGNMENT_BYTES)
        copy.write(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
        shutil.copyfileobj(source, copy, _CHUNK_BYTES)


def weights_sha256(path: Path) -> str:
    """Return the SHA-256 of the tensors of a safetensors file, which does not depend on its metadata.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors.
    """
    _open(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        _skip_header(file)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _skip_header(file: BinaryIO) -> dict[str, Any]:
    """Read the header of a checked safetensors file; the tensors are next."""
    header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little")))
    return header


def read_header(path: Path) -> dict[str, str]:
    """Read the text entries in the header of a safetensors file; an empty dictionary if it has none.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors.
    """
    return _open(path).metadata() or {}


def read_metadata(path: Path) -> CheckpointMetadata:
    """Read the metadata of a checkpoint file, without its weights.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors, or if its metadata is missing, invalid
            or of a newer format.
    """
    return parse_metadata(read_header(path), path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors.
    """
    with _open(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a safetensors file is not a mapping)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the tensors of a safetensors file into a network: all of them, or none if any does not fit.

    Half-precision tensors are converted to the precision of the network.

    Raises:
        CheckpointError: if the file cannot be read, or if its keys or shapes differ from the network's; the message
            names the missing, unexpected and misshapen tensors.
    """
    weights = read_weights(path)
    differences = describe_differences(model.state_dict(), weights)
    if differences:
        raise CheckpointError(
            f"{path} does not match the architecture of {type(model).__name__}: {'; '.join(differences)}"
        )
    model.load_state_dict(weights)


def _open(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: give the path of a .safetensors file")
    try:
        return safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({error}): copy it again; pickled files (.pt, .pth) are "
            "never opened"
        ) from error
