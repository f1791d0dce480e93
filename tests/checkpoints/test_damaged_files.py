"""Files that were damaged after they were written, and headers that no writer makes."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

import acsnet
from acsnet import create_model, load_model
from acsnet.checkpoints import (
    CheckpointMetadata,
    is_pickled,
    load_weights,
    read_header,
    read_metadata,
    read_tensor_list,
    read_weights,
    rewrite_metadata,
    safetensors_file,
    save_checkpoint,
    weights_sha256,
)
from acsnet.checkpoints.safetensors_file import SHA256_KEY
from acsnet.errors import CheckpointError
from acsnet.experiments.ensembling import save_ensemble
from acsnet.training.initial_weights import load_initial_weights

REPOSITORY = Path(__file__).resolve().parents[2]
ARGUMENTS: dict[str, Any] = {"in_channels": 1, "width": 4, "depth": 2}
METADATA: dict[str, Any] = {
    "model": "unet",
    "arguments": ARGUMENTS,
    "class_names": ("benign", "malignant", "normal"),
    "input_size": (32, 32),
    "mean": (0.3,),
    "std": (0.2,),
}


def write(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_checkpoint(path, create_model("unet", **ARGUMENTS).state_dict(), CheckpointMetadata(**METADATA))
    return path


def parts(path: Path) -> tuple[dict[str, Any], bytearray]:
    """The header and the bytes of the tensors."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), bytearray(content[end:])


def join(path: Path, header: Any, data: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def zeros(data: bytearray) -> None:
    data[1000:9000] = bytes(8000)


def first_bit(data: bytearray) -> None:
    data[0] ^= 1


def last_bit(data: bytearray) -> None:
    data[-1] ^= 128


def two_blocks(data: bytearray) -> None:
    data[0:512], data[4096:4608] = data[4096:4608], data[0:512]


def save_other_metadata(path: Path) -> Path:
    rewrite_metadata(write(path), path, CheckpointMetadata(**METADATA, split_hash="abc"))
    return path


def save_an_ensemble(path: Path) -> Path:
    save_ensemble(path, [write(path.with_name(f"member{seed}.safetensors"), seed) for seed in range(2)])
    return path


def save_for_the_hub(path: Path) -> Path:
    saved = acsnet.save_pretrained(load_model(write(path)), path.parent / "hub")
    return saved / "model.safetensors"


WRITERS: list[Callable[[Path], Path]] = [write, save_other_metadata, save_an_ensemble, save_for_the_hub]
DAMAGES = [zeros, first_bit, last_bit, two_blocks]


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tensors_are_not_loaded(
    tmp_path: Path, writer: Callable[[Path], Path], damage: Callable[[bytearray], None]
) -> None:
    path = writer(tmp_path / "own.safetensors")
    written = weights_sha256(path)
    assert load_model(path).metadata.model == "unet"
    header, data = parts(path)
    damage(data)
    join(path, header, data)
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert str(caught.value) == (
        f"{path} is damaged: the SHA-256 of its tensors is {weights_sha256(path)}, but {written!r} was written; copy "
        "it again from its source"
    )


READERS: list[Callable[[Path, Path], Any]] = [
    lambda path, _: read_weights(path),
    lambda path, _: create_model("unet", checkpoint=path, **ARGUMENTS),
    lambda path, _: load_weights(create_model("unet", **ARGUMENTS), path),
    lambda path, _: load_initial_weights(create_model("unet", **ARGUMENTS), path),
    lambda path, _: acsnet.Predictor.from_checkpoint(path),
    lambda path, out: save_ensemble(out, [path], {}, {}),
    lambda path, out: rewrite_metadata(path, out, CheckpointMetadata(**METADATA)),
]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_weights_notices(tmp_path: Path, reader: Callable[[Path, Path], Any]) -> None:
    path, out = write(tmp_path / "own.safetensors"), tmp_path / "out.safetensors"
    reader(path, out)
    out.unlink(missing_ok=True)
    header, data = parts(path)
    zeros(data)
    with pytest.raises(CheckpointError, match=r"own\.safetensors is damaged: the SHA-256 of its tensors is "):
        reader(join(path, header, data), out)
    assert not out.exists()


def test_the_metadata_of_a_damaged_file_is_readable(tmp_path: Path) -> None:
    path = write(tmp_path / "own.safetensors")
    header, data = parts(path)
    first_bit(data)
    assert read_metadata(join(path, header, data)).model == "unet"


@pytest.mark.parametrize("value", ["", "0" * 64, "\x1b[31m" * 1000])
def test_another_digest_is_damage_as_well(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "own.safetensors")
    header, data = parts(path)
    header["__metadata__"][SHA256_KEY] = value
    with pytest.raises(CheckpointError, match=r"own\.safetensors is damaged: ") as caught:
        load_model(join(path, header, data))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_file_without_digest_is_loaded(tmp_path: Path) -> None:
    """Earlier versions wrote none."""
    path = write(tmp_path / "own.safetensors")
    header, data = parts(path)
    del header["__metadata__"][SHA256_KEY]
    assert load_model(join(path, header, data)).metadata.model == "unet"
    rewrite_metadata(path, path, CheckpointMetadata(**METADATA))
    assert read_header(path)[SHA256_KEY] == weights_sha256(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.float64])
def test_tensors_of_every_type_and_rank_have_a_digest(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {"z": torch.ones(3, 2).to(dtype), "a": torch.zeros(()).to(dtype), "b": torch.zeros(0, 4).to(dtype)}
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {**tensors, "x": torch.ones(1)}, CheckpointMetadata(**METADATA))
    weights = read_weights(path)
    assert all(torch.equal(weights[key], value) for key, value in tensors.items())
    assert read_header(path)[SHA256_KEY] == weights_sha256(path)


def test_the_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides the memory map of the tensors, only the header is read."""
    path = write(tmp_path / "own.safetensors")
    ends: list[int] = []
    skip = safetensors_file._skip_header

    def record(file: Any) -> Any:
        header = skip(file)
        ends.append(file.tell())
        return header

    monkeypatch.setattr(safetensors_file, "_skip_header", record)
    read_weights(path)
    assert ends == [path.stat().st_size - len(parts(path)[1])]


# --- crafted headers -------------------------------------------------------------------------------------------------


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "length", [2**64 - 1, 2**63, 2**40, 200_000_000, 1000], ids=["all", "half", "tera", "200 MB", "short"]
)
@pytest.mark.parametrize("read", [read_metadata, read_weights, load_model, read_tensor_list])
def test_an_absurd_length_of_the_header(tmp_path: Path, length: int, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "crafted.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"a":{}}')
    with pytest.raises(CheckpointError, match=r"crafted\.safetensors is truncated or not a safetensors file \(.+\): "):
        read(path)


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(), "b": entry()},
        {"a": entry(), "b": entry(offsets=(4, 12))},
        {"a": entry(offsets=(8, 16))},
        {"a": entry(offsets=(8, 0))},
        {"a": entry(offsets=(-8, 0))},
        {"a": entry(offsets=(0, 2**64))},
        {"a": entry(offsets=(0, 2**62))},
        {"a": entry(dtype="F99")},
        {"a": entry(dtype="object")},
        {"a": entry(shape=(2**40, 2**40))},
        {"a": entry(shape=(2**62, 4))},
        {"a": entry(shape=(2**70,))},
        {"a": entry(shape=(-2,))},
        {"a": entry(shape=(1.5,))},
        {"a": entry(shape=(10**9, 10**3))},
        {"a": entry(shape=(3,))},
        {"a": {"dtype": "F32", "shape": [2]}},
        {"a": 3},
        [entry()],
        b'{"a":' * 100_000,
        b'{"a": NaN}',
        b"\xff\xfe{}",
    ],
)
def test_a_header_that_no_writer_makes(tmp_path: Path, header: Any) -> None:
    path = join(tmp_path / "crafted.safetensors", header, bytes(8))
    for read in (read_metadata, read_weights, read_tensor_list, load_model):
        with pytest.raises(
            CheckpointError, match=r"crafted\.safetensors is truncated or not a safetensors file"
        ) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "shown"), [((0,), r"\(0,\)"), ((0, 2**31), r"\(0, 2147483648\)"), ((2**62, 0), r"\(\d+, 0\)")]
)
def test_a_tensor_without_bytes_does_not_match(tmp_path: Path, shape: tuple[int, ...], shown: str) -> None:
    path = write(tmp_path / "own.safetensors")
    header, data = parts(path)
    first = min((key for key in header if key != "__metadata__"), key=lambda key: header[key]["data_offsets"])
    header[first].update(entry(shape=shape, offsets=(0, 0)))
    moved = join(path, header, data)
    with pytest.raises(CheckpointError):
        load_model(moved)
    header = {"__metadata__": header["__metadata__"], "weight": entry(shape=shape, offsets=(0, 0))}
    with pytest.raises(CheckpointError, match=r"does not match the architecture of UNet: .* 1 unexpected \(weight\)"):
        load_model(join(path, header, b""))
    assert read_tensor_list(path)["weight"].shape == shape
    network = torch.nn.Linear(1, 1, bias=False)
    with pytest.raises(CheckpointError, match=rf"weight is {shown} and should be \(1, 1\)"):
        load_weights(network, path)


@pytest.mark.parametrize("dtype", ["I32", "BOOL", "U8", "I64"])
def test_whole_numbers_are_not_weights(tmp_path: Path, dtype: str) -> None:
    size = {"I32": 4, "BOOL": 1, "U8": 1, "I64": 8}[dtype]
    path = join(tmp_path / "a.safetensors", {"weight": entry(dtype, (1, 1), (0, size))}, bytes(size))
    message = (
        rf"does not match the architecture of Linear: weight has values of type {dtype} instead of torch\.float32$"
    )
    with pytest.raises(CheckpointError, match=message):
        load_weights(torch.nn.Linear(1, 1, bias=False), path)


@pytest.mark.parametrize("name", ["a", "\x1b[31m", "a\nb"])
@pytest.mark.parametrize("error", [RuntimeError("no\nkernel"), TypeError("F4"), SafetensorError("slice")])
def test_tensors_that_this_pytorch_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    class File:
        def __enter__(self) -> "File":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def metadata(self) -> None:
            return None

        def get_tensor(self, name: str) -> torch.Tensor:
            raise error

    path = join(tmp_path / "a.safetensors", {name: entry()}, bytes(8))
    monkeypatch.setattr(safetensors_file, "_open", lambda _: File())
    with pytest.raises(
        CheckpointError, match=r"a\.safetensors: the tensor .+ cannot be read \(.+\): copy the"
    ) as caught:
        read_weights(path)
    assert str(caught.value).isprintable()


def test_the_released_files_load() -> None:
    for name in acsnet.list_checkpoints():
        assert load_model(REPOSITORY / "checkpoints" / f"{name}.safetensors").metadata.class_names


@pytest.mark.parametrize("read", [read_metadata, read_weights, load_model, read_tensor_list])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("folder", "it is a directory"),
        ("pipe", "it is a named pipe"),
        ("device", "it is a device"),
        ("link", "it is a link to nothing, which does not exist"),
    ],
)
def test_what_is_not_a_file_is_named(tmp_path: Path, kind: str, reason: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "best.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": "/dev/zero", "link": "nothing"}[kind])
    with pytest.raises(CheckpointError, match=rf"there is no checkpoint .*best\.safetensors \({reason}\): give the pa"):
        read(path)
    assert not is_pickled(path)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_opened_is_neither_missing_nor_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = write(tmp_path / "best.safetensors")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=rf"best\.safetensors cannot be read \({os.strerror(number)}\): check"):
        read_metadata(path)
