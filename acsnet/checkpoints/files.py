"""The files of released checkpoints: beside the code in a clone, else fetched once; their SHA-256 is always checked.

The lists of the splits they were trained on are small and lie beside the index, in a wheel too.
"""

import os
import urllib.parse
from pathlib import Path

from filelock import FileLock

from acsnet._utils.download import fetch, file_sha256
from acsnet._utils.files import cache_folder
from acsnet._utils.naming import look_up
from acsnet.checkpoints.index import ReleasedCheckpoint, index_folder, read_index, released_checkpoint
from acsnet.errors import CheckpointError

_SUFFIX = ".safetensors"
_SPLIT_SUFFIX = ".csv"


def resolve_checkpoint(path_or_name: str | Path) -> Path:
    """Give the file of a checkpoint: of a path the path, of a released name its file, fetched where it is not here.

    An existing file, or a text with a separator or the suffix ``.safetensors``, is a path; anything else is a name.
    The SHA-256 of a released file is checked, whichever of the two it is given by.

    Raises:
        UnknownNameError: for a name that is not released, with near matches.
        CheckpointError: for a released file that is truncated, another or not to be had, or a broken index.
        DownloadError: where it cannot be fetched.
        DiskFullError: where there is no space left for it.
    """
    path, text = Path(path_or_name), str(path_or_name)
    if path.is_file() or is_path(text):
        _check_if_released(path)
        return path
    return released_path(text)


def is_path(text: str) -> bool:
    """Whether a text looks like a path rather than a released name."""
    separators = {"/", os.sep, os.altsep or os.sep}
    return text.endswith((_SUFFIX, _SPLIT_SUFFIX)) or any(separator in text for separator in separators)


def resolve_split(path_or_name: str | Path) -> Path:
    """Give the file of a split's list: of a path the path, of a released name the file beside the index.

    Raises:
        UnknownNameError: for a name that is not released, with near matches.
        CheckpointError: where there is no index.
    """
    path = Path(path_or_name)
    if path.is_file() or is_path(str(path)):
        return path
    lists = {file.stem: file for file in index_folder().glob(f"*{_SPLIT_SUFFIX}")}
    return look_up("released split", path.name, lists, "the path of a list ends in .csv")


def released_path(name: str) -> Path:
    """Give the checked file of a released checkpoint, fetched where it is not here; errors as above."""
    entry = released_checkpoint(name)
    beside, cached = _beside(entry), _cached(entry)
    if beside.is_file():
        path = beside
    else:
        path = cached
        if not cached.is_file():
            _fetch(name, entry, cached)
    check_released_file(path, entry)
    return path


def check_released_file(path: Path, entry: ReleasedCheckpoint) -> None:
    """Check that a file is the released one.

    Raises:
        CheckpointError: where it is missing, or its size or SHA-256 is another.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no {path}: copy it from the release")
    size = path.stat().st_size
    remedy = "remove it, and copy or fetch it again"
    if size != entry.size:
        raise CheckpointError(
            f"{path} is truncated or not the released file: it has {size} bytes, not {entry.size}; {remedy}"
        )
    digest = file_sha256(path)
    if digest != entry.sha256:
        raise CheckpointError(f"{path} is not the released file: its SHA-256 is {digest}, not {entry.sha256}; {remedy}")


def _beside(entry: ReleasedCheckpoint) -> Path:
    return index_folder() / entry.file


def _cached(entry: ReleasedCheckpoint) -> Path:
    # A folder a content: a later version of the file under the same name is another file.
    return cache_folder() / "checkpoints" / entry.sha256[:16] / entry.file


def _check_if_released(path: Path) -> None:
    """Check a file that lies where released ones do; any other is the user's own."""
    folder = path.resolve().parent
    if folder != index_folder().resolve() and folder.parent != (cache_folder() / "checkpoints").resolve():
        return
    for entry in read_index().checkpoints.values():
        if path.resolve() in (_beside(entry).resolve(), _cached(entry).resolve()):
            check_released_file(path, entry)


def _fetch(name: str, entry: ReleasedCheckpoint, path: Path) -> None:
    address = read_index().address
    if not address:
        raise CheckpointError(
            f"the file of {name} is not here ({_beside(entry)}), and the index names no address to fetch it from: take "
            "a clone of the repository that has it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes that start together fetch it once.
    with FileLock(path.parent / ".lock"):
        if not path.is_file():
            fetch(f"{address.rstrip('/')}/{urllib.parse.quote(entry.file)}", path, entry.sha256, max_bytes=entry.size)
