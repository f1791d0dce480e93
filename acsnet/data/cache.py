"""Images decoded and resized once, kept in a memory-mapped file that any number of processes share."""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from tqdm.auto import tqdm

from acsnet._utils.files import cache_folder, explain_os_error
from acsnet.data.frame_paths import file_of
from acsnet.data.images import (
    BoolArray,
    UInt8Array,
    read_image,
    read_merged_mask,
    resize_image,
    resize_mask,
    to_channels,
)
from acsnet.data.records import Record, stable_hash
from acsnet.errors import DataError

_FORMAT = 3
_KEPT = 12
_KEY = re.compile(r"[0-9a-f]{16}")
_BUILDING = ".building-"
_ABANDONED_SECONDS = 24 * 3600


class ImageCache:
    """The images and merged masks of some records at one size.

    The folder's name is a hash of paths, sizes and modification times of all source files: a changed source file is
    another folder. A folder is filled under a temporary name and renamed when complete, so readers see whole caches
    only, and of two writers the second finds its work done. The least recently used folders beyond a dozen are removed,
    and temporary ones that a killed process left a day ago; on POSIX a process that has one mapped keeps it. A pickled
    cache is its path: a worker process maps the files anew.

    Args:
        records: what to cache, in this order.
        size: (height, width).
        channels: 3 for RGB, 1 for luminance.
        folder: where caches lie; by default the environment variable ACSNET_CACHE, else ~/.cache/acsnet.
        progress: show a progress bar while decoding.

    Attributes:
        images: (N, H, W, channels) uint8, memory-mapped, read-only.
        masks: (N, H, W) bool, memory-mapped, read-only.

    Raises:
        DataError: for a file that cannot be read.
        DiskFullError: where the disk is full; nothing is left behind.
    """

    images: UInt8Array
    masks: BoolArray

    def __init__(
        self,
        records: Sequence[Record],
        size: tuple[int, int],
        channels: int,
        folder: Path | None = None,
        progress: bool = True,
    ) -> None:
        parent = folder or cache_folder()
        key = stable_hash([_FORMAT, size, channels, [_fingerprint(record) for record in records]])
        self.path = parent / key
        try:
            self._open()
        except FileNotFoundError:
            _build(records, size, channels, self.path, progress)
            self._open()
        _remove_old(parent, self.path)

    def _open(self) -> None:
        self.images = np.load(self.path / "images.npy", mmap_mode="r")
        self.masks = np.load(self.path / "masks.npy", mmap_mode="r")
        # A cache that belongs to another user, or is mounted read-only, is used without a note of when.
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.resolve()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._open()


def _fingerprint(record: Record) -> list[tuple[str, int, int]]:
    paths = (record.image, *record.masks)
    try:
        states = [(str(path.resolve()), file_of(path).stat()) for path in paths]
        return [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    except FileNotFoundError as error:
        raise DataError(f"there is no image {error.filename}: it was moved or removed") from None


def _build(records: Sequence[Record], size: tuple[int, int], channels: int, path: Path, progress: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=path.parent))
        # Others who may read the parent may read the cache: mkdtemp alone keeps it to its maker.
        temporary.chmod(path.parent.stat().st_mode & 0o777)
        try:
            _fill(records, size, channels, temporary, progress)
            _publish(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _publish(temporary: Path, path: Path) -> None:
    if path.exists() and not _is_whole(path):
        # What is left of a removal that was interrupted.
        _remove(path)
    try:
        os.rename(temporary, path)
    except OSError:
        # Another process has finished the same cache meanwhile: its copy is used.
        if not _is_whole(path):
            raise


def _is_whole(path: Path) -> bool:
    return (path / "images.npy").exists() and (path / "masks.npy").exists()


def _fill(records: Sequence[Record], size: tuple[int, int], channels: int, folder: Path, progress: bool) -> None:
    shape = (len(records), *size)
    images = open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(*shape, channels))
    masks = open_memmap(folder / "masks.npy", mode="w+", dtype=np.bool_, shape=shape)
    _reserve(folder / "images.npy")
    _reserve(folder / "masks.npy")

    def decode(index: int) -> None:
        image = read_image(records[index].image)
        mask = read_merged_mask(records[index].masks, image.shape[:2])
        images[index] = to_channels(resize_image(image, size), channels)
        masks[index] = resize_mask(mask, size)

    with ThreadPoolExecutor() as pool:
        work = pool.map(decode, range(len(records)))
        for _ in tqdm(
            work,
            total=len(records),
            desc="decoding images",
            unit="image",
            leave=False,
            disable=None if progress else True,
        ):
            pass
    images.flush()
    masks.flush()


def _reserve(path: Path) -> None:
    """Claim a file's space: without it, a write into a mapped page of a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _remove_old(parent: Path, current: Path) -> None:
    # A folder that another process removes at this moment, or that belongs to another user, is no error.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        # Only what this module made: the user may have named a folder that holds other things.
        folders = [path for path in parent.iterdir() if _KEY.fullmatch(path.name) and _is_whole(path)]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in folders[_KEPT:]:
            if path != current:
                _remove(path)
        for path in parent.glob(f"{_BUILDING}*"):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    # It vanishes at once and then goes file by file, so that nobody opens half a cache.
    hidden = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=path.parent))
    # Another process may have been faster.
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, hidden / path.name)
    shutil.rmtree(hidden, ignore_errors=True)
