"""Location of released files: next to the index in a clone and in a wheel, otherwise downloaded once into the cache.

Lists of released splits are always next to the index.
"""

import os
import urllib.parse
from pathlib import Path

from filelock import FileLock

from acsnet._utils.download import fetch, file_sha256
from acsnet._utils.files import cache_folder
from acsnet._utils.naming import look_up
from acsnet.checkpoints.index import ReleasedCheckpoint, index_folder, read_index
from acsnet.errors import CheckpointError

_SPLIT_SUFFIX = ".csv"


def is_path(name_or_path: str | Path) -> bool:
    """Return whether a checkpoint or a split is given by path rather than by released name.

    A text with a path separator or a suffix is a path; released names have neither. Files and folders of the current
    folder do not matter, so that a released name means the same everywhere.

    Example:
        >>> is_path("acsnet_busi"), is_path("./acsnet_busi"), is_path("best.safetensors")
        (False, True, True)
    """
    text = str(name_or_path)
    separators = {"/", os.sep, os.altsep or os.sep}
    return bool(Path(text).suffix) or any(separator in text for separator in separators)


def resolve_split(name_or_path: str | Path) -> Path:
    """Return the file of a split list: a path unchanged, or the list of a released split.

    Raises:
        UnknownNameError: if the name is not released; the message lists near matches.
        CheckpointError: if there is no release index.
    """
    path = Path(name_or_path)
    if is_path(path):
        return path
    lists = {file.stem: file for file in index_folder().glob(f"*{_SPLIT_SUFFIX}")}
    return look_up("released split", path.name, lists, how_to_give_path(path) or "the path of a list ends in .csv")


def how_to_give_path(name: str | Path) -> str:
    """Return how to write an existing path that looks like a released name, or "" if there is none."""
    if not os.path.exists(name):
        return ""
    kind = "folder" if os.path.isdir(name) else "file"
    return f"for the {kind} of this name in the current folder write ./{name}"


def locate_released_file(name: str, entry: ReleasedCheckpoint) -> Path:
    """Return the file of a released checkpoint, downloading it if necessary; its content is not checked.

    Raises:
        CheckpointError: if the file is missing and the index has no address to download it from.
        DownloadError: if it cannot be downloaded.
        DiskFullError: if there is no space for it.
    """
    path = _path_next_to_index(entry)
    if path.is_file():
        return path
    path = _path_in_cache(entry)
    if not path.is_file():
        _download(name, entry, path)
    return path


def released_on_disk() -> list[str]:
    """Return the sorted names of the released checkpoints whose files are on this machine, and need no download.

    Raises:
        CheckpointError: if the index is missing or invalid.
    """
    released = read_index().checkpoints.items()
    return sorted(
        name for name, entry in released if _path_next_to_index(entry).is_file() or _path_in_cache(entry).is_file()
    )


def entry_of_file(path: Path) -> ReleasedCheckpoint | None:
    """Return the index entry of a file in one of the folders of released files, or None for any other file.

    Raises:
        CheckpointError: if the file is in such a folder and the index is missing or invalid.
    """
    try:
        folder = path.resolve().parent
    except (OSError, ValueError):  # no file can have this name
        return None
    if folder != index_folder().resolve() and folder.parent != (cache_folder() / "checkpoints").resolve():
        return None
    for entry in read_index().checkpoints.values():
        if path.resolve() in (_path_next_to_index(entry).resolve(), _path_in_cache(entry).resolve()):
            return entry
    return None


def check_released_file(path: str | Path, entry: ReleasedCheckpoint) -> str:
    """Check the size and the SHA-256 of a released file, the size first.

    Returns:
        The SHA-256 in hexadecimal digits.

    Raises:
        CheckpointError: if the file is missing, truncated or modified.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: copy it from the release")
    size = path.stat().st_size
    remedy = "remove it, and copy or download it again"
    if size != entry.size:
        raise CheckpointError(
            f"{path} is truncated or not the released file: it is {size} bytes, not {entry.size}; {remedy}"
        )
    digest = file_sha256(path)
    if digest != entry.sha256:
        raise CheckpointError(f"{path} is not the released file: its SHA-256 is {digest}, not {entry.sha256}; {remedy}")
    return digest


def _path_next_to_index(entry: ReleasedCheckpoint) -> Path:
    return index_folder() / entry.file


def _path_in_cache(entry: ReleasedCheckpoint) -> Path:
    # One folder per content: a later version of the file has the same name.
    return cache_folder() / "checkpoints" / entry.sha256[:16] / entry.file


def _download(name: str, entry: ReleasedCheckpoint, path: Path) -> None:
    address = read_index().address
    if not address:
        raise CheckpointError(
            f"the file of {name} is missing, looked for as {_path_next_to_index(entry)} and {path}: install acsnet "
            f"again, whose wheel has it, or copy checkpoints/{entry.file} of the repository to one of these places"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes that start together download it once.
    with FileLock(path.parent / ".lock"):
        if not path.is_file():
            fetch(f"{address.rstrip('/')}/{urllib.parse.quote(entry.file)}", path, entry.sha256, max_bytes=entry.size)
