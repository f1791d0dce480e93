"""Reading and writing of checkpoint files: safetensors with metadata in the header. Nothing is ever unpickled.

The header also has the SHA-256 of the tensors, so that a file that was damaged later is not taken for a trained
network. Files of other programs, and checkpoints of earlier versions, have none.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from acsnet._utils.file_kinds import file_fault
from acsnet._utils.files import whole_file
from acsnet._utils.state_dicts import describe_differences
from acsnet.checkpoints.metadata import METADATA_KEY, CheckpointMetadata, parse_metadata
from acsnet.errors import CheckpointError

#: Entry of the header: SHA-256 of the bytes after the header, in hexadecimal digits.
SHA256_KEY = "acsnet_tensors_sha256"
# A safetensors file starts with the length of its JSON header, 8 bytes, little-endian; the tensors follow the header.
_LENGTH_BYTES = 8
_ALIGNMENT_BYTES = 8
_CHUNK_BYTES = 1 << 20
_PICKLED_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar")
# torch.save writes zip archives, and wrote plain pickles of these protocols before version 1.6.
_PICKLED_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# What the dtypes of safetensors have in their names if they are floating-point types.
_FLOATING = ("F", "BF")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the header of a safetensors file describes it.

    Attributes:
        dtype: name of its type in safetensors, such as ``F32``.
        shape: its shape.
    """

    dtype: str
    shape: tuple[int, ...]


def save_checkpoint(path: str | Path, state_dict: dict[str, torch.Tensor], metadata: CheckpointMetadata) -> None:
    """Write weights and metadata to a checkpoint file, with the SHA-256 of the weights.

    The file appears under its name only once it is complete; an existing file is overwritten.

    Args:
        path: the file to write, ``.safetensors``.
        state_dict: the weights.
        metadata: the metadata.

    Raises:
        CheckpointError: if the metadata is not valid, so that the file could not be read.
        DiskFullError: if the disk is full.
    """
    path = Path(path)
    # Clones: safetensors refuses tensors that share storage and does not store memory formats.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    content = memoryview(save(tensors))
    begin = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header, data = json.loads(bytes(content[_LENGTH_BYTES:begin])), content[begin:]
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(_encode_header(path, header, metadata, hashlib.sha256(data).hexdigest()))
        file.write(data)


def rewrite_metadata(path: str | Path, target: str | Path, metadata: CheckpointMetadata) -> None:
    """Copy a checkpoint file with other metadata; the bytes of its tensors are copied unchanged.

    The file appears under its name only once it is complete; an existing file is overwritten, which may be the
    checkpoint itself.

    Args:
        path: the checkpoint.
        target: the file to write, ``.safetensors``.
        metadata: the new metadata.

    Raises:
        CheckpointError: if the checkpoint is missing, truncated, damaged or not safetensors, or the metadata is not
            valid.
        DiskFullError: if the disk is full.
    """
    path = Path(path)
    target = Path(target)
    sha256 = weights_sha256(path)
    _check_sha256(path, read_header(path), sha256)
    with path.open("rb") as source, whole_file(target) as temporary, temporary.open("wb") as copy:
        copy.write(_encode_header(target, _skip_header(source), metadata, sha256))
        shutil.copyfileobj(source, copy, _CHUNK_BYTES)


def _encode_header(path: Path, header: dict[str, Any], metadata: CheckpointMetadata, sha256: str) -> bytes:
    """Return the first bytes of a file: the length of the header, and the header with its text entries replaced."""
    texts = {METADATA_KEY: metadata.model_dump_json(), SHA256_KEY: sha256}
    # Copies of metadata with other values are not validated, and what is written has to be readable.
    parse_metadata(texts, path)
    content = json.dumps({**header, "__metadata__": texts}, separators=(",", ":")).encode("utf-8")
    content += b" " * (-len(content) % _ALIGNMENT_BYTES)
    return len(content).to_bytes(_LENGTH_BYTES, "little") + content


def weights_sha256(path: str | Path) -> str:
    """Return the SHA-256 of the tensors of a safetensors file, which does not depend on its metadata.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors.
    """
    path = Path(path)
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


def read_header(path: str | Path) -> dict[str, str]:
    """Read the text entries in the header of a safetensors file; an empty dictionary if it has none.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors.
    """
    path = Path(path)
    return _open(path).metadata() or {}


def read_metadata(path: str | Path) -> CheckpointMetadata:
    """Read the metadata of a checkpoint file, without its weights.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors, or if its metadata is missing, invalid
            or of a newer format.
    """
    path = Path(path)
    return parse_metadata(read_header(path), path)


def read_tensor_list(path: str | Path) -> dict[str, StoredTensor]:
    """Read names, types and shapes of the tensors of a safetensors file, without their values.

    Raises:
        CheckpointError: if the file is missing, truncated or not safetensors.
    """
    path = Path(path)
    return {name: StoredTensor(entry["dtype"], tuple(entry["shape"])) for name, entry in _entries(path).items()}


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the header's entries of the tensors, in the order of their bytes."""
    _open(path)
    with path.open("rb") as file:
        header = _skip_header(file)
    header.pop("__metadata__", None)
    return dict(sorted(header.items(), key=lambda item: item[1]["data_offsets"]))


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors file, and compare them with their SHA-256 if the header has it.

    Raises:
        CheckpointError: if the file is missing, truncated, damaged or not safetensors.
    """
    path = Path(path)
    digest, weights = hashlib.sha256(), {}
    names = list(_entries(path))
    with _open(path) as file:
        header = file.metadata() or {}
        for name in names:
            try:
                weights[name] = file.get_tensor(name)
            except (SafetensorError, RuntimeError, TypeError, ValueError, OverflowError) as error:
                raise CheckpointError(
                    f"{path}: the tensor {name!r} cannot be read ({' '.join(str(error).split())}): copy the file again"
                ) from error
            if SHA256_KEY in header:
                # In the order of the bytes in the file, so that it is read once.
                digest.update(weights[name].reshape(-1).view(torch.uint8).numpy())
    _check_sha256(path, header, digest.hexdigest())
    return weights


def check_weights(path: str | Path) -> None:
    """Check that the tensors of a safetensors file are those that were written; a file without their SHA-256 passes.

    Raises:
        CheckpointError: if the file is missing, truncated, damaged or not safetensors.
    """
    path = Path(path)
    _check_sha256(path, read_header(path), weights_sha256(path))


def _check_sha256(path: Path, header: Mapping[str, str], sha256: str) -> None:
    expected = header.get(SHA256_KEY, sha256)
    if sha256 != expected:
        raise CheckpointError(
            f"{path} is damaged: the SHA-256 of its tensors is {sha256}, but {expected[:64]!r} was written; copy it "
            "again from its source"
        )


def check_tensors(expected: Mapping[str, torch.Tensor], path: str | Path, network: str) -> None:
    """Check that a safetensors file has the tensors of a network, by its header alone.

    Args:
        expected: state dict of the network; on the meta device it takes no memory.
        path: the file.
        network: name of the network's class, for the message.

    Raises:
        CheckpointError: if the file cannot be read, or if its names, shapes or types differ from the network's; the
            message names the missing, unexpected and misshapen tensors.
    """
    path = Path(path)
    found = read_tensor_list(path)
    differences = describe_differences(expected, found)
    for name, tensor in found.items():
        if name in expected and tensor.dtype.startswith(_FLOATING) != expected[name].is_floating_point():
            differences.append(f"{name} has values of type {tensor.dtype} instead of {expected[name].dtype}")
            break
    if differences:
        raise CheckpointError(f"{path} does not match the architecture of {network}: {'; '.join(differences)}")


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load the tensors of a safetensors file into a network: all of them, or none if any does not fit.

    Half-precision tensors are converted to the precision of the network.

    Raises:
        CheckpointError: if the file cannot be read or is damaged, or if it does not match; see :func:`check_tensors`.
    """
    path = Path(path)
    check_tensors(model.state_dict(), path, type(model).__name__)
    model.load_state_dict(read_weights(path))


def _open(path: Path) -> Any:
    _check_readable(path)
    try:
        return safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        if is_pickled(path):
            raise CheckpointError(
                f"{path} is a pickled file (.pt, .pth), which may run code, and is not opened: give best.safetensors "
                "of the run, or for weights of the published ACSNet see acsnet import-weights --help"
            ) from error
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({' '.join(str(error).split())}): copy it again"
        ) from error


def _check_readable(path: Path) -> None:
    """Check that a file can be opened: safetensors says of every file which it cannot open that it does not exist.

    Raises:
        CheckpointError: if it cannot; the message says why.
    """
    # Unlike Path.is_file, this does not raise for a name that no file can have.
    if not os.path.isfile(path):
        fault = file_fault(path) if os.path.lexists(path) else None
        raise CheckpointError(
            f"there is no checkpoint {path}{f' ({fault})' if fault else ''}: give the path of a .safetensors file"
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): check its permissions, the disk and the limit of open files"
        ) from error


def is_pickled(path: str | Path) -> bool:
    """Return whether a file is pickled, by its suffix or its first bytes; it is not unpickled."""
    path = Path(path)
    if path.suffix.lower() in _PICKLED_SUFFIXES:
        return True
    try:
        if file_fault(path) is not None:
            return False
        with path.open("rb") as file:
            return file.read(4).startswith(_PICKLED_STARTS)
    except OSError:
        return False
