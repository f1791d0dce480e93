"""Images decoded and resized once, kept in a memory-mapped file that any number of processes share."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from tqdm.auto import tqdm

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
from acsnet.files import explain_os_error

_FORMAT = 1
_KEPT = 12


class ImageCache:
    """The images and merged masks of some records at one size.

    The folder's name is a hash of paths, sizes and modification times of all source files: a changed source file is
    another folder. A folder is filled under a temporary name and renamed when complete, so readers see whole caches
    only, and of two writers the second finds its work done. The least recently used folders beyond a dozen are removed;
    on POSIX a process that has one mapped keeps it.

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
        parent = folder or default_folder()
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
        os.utime(self.path)


def default_folder() -> Path:
    """The folder of caches where a configuration names none."""
    return Path(os.environ.get("ACSNET_CACHE") or Path.home() / ".cache" / "acsnet")


def _fingerprint(record: Record) -> list[tuple[str, int, int]]:
    files = (record.image, *record.masks)
    return [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _build(records: Sequence[Record], size: tuple[int, int], channels: int, path: Path, progress: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=path.parent))
        try:
            _fill(records, size, channels, temporary, progress)
            _publish(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _publish(temporary: Path, path: Path) -> None:
    try:
        os.rename(temporary, path)
    except OSError:
        # Another process has finished the same cache meanwhile: its copy is used.
        if not (path / "masks.npy").exists():
            raise


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
    # A folder that another process removes at this moment is no error.
    with contextlib.suppress(FileNotFoundError):
        folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in folders[_KEPT:]:
            if path != current and (path / "images.npy").exists():
                shutil.rmtree(path, ignore_errors=True)
