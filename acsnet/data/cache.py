"""Decoded and resized images in memory-mapped files that any number of processes share."""

import contextlib
import logging
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from acsnet._utils.cache_folders import BUILDING_PREFIX, locked, remove_abandoned, remove_folder
from acsnet._utils.files import cache_folder, explain_write_error
from acsnet.data.decoding import decode_record, file_fingerprints, map_records
from acsnet.data.framing import Frame, Framing, log_crops
from acsnet.data.image_files import problem_list
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.data.records import Record, stable_hash
from acsnet.data.scan_region import SCAN_REGION_VERSION
from acsnet.errors import DataError

logger = logging.getLogger(__name__)

_FORMAT = 4
_MAX_CACHES = 12
_KEY = re.compile(r"[0-9a-f]{16}")

# Called with index, image (H, W, 3) and mask (H, W), at their original size.
Store = Callable[[int, UInt8Array, BoolArray], None]
# Returns the frame of an image, called like a Store.
_FrameImage = Callable[[int, UInt8Array, BoolArray], Frame]


class ImageCache:
    """Images and merged masks of a list of records at one size.

    The name of the folder is a hash of the content of all source files and of the framing, so a changed source file or
    framing leads to another folder. A folder is filled under a temporary name and renamed when complete: readers see
    complete caches only, and the second of two writers uses the result of the first. A cache whose files are damaged or
    have another shape is made again; it holds a checksum per image. The twelve most recently used folders are kept;
    temporary folders of killed processes are removed, as their locks are free. On POSIX, a process that has a removed
    cache mapped can still read it. A cache is pickled as its path; the process that unpickles it maps the files again.

    Args:
        records: the records to cache, in this order.
        size: (height, width).
        channels: 3 for RGB, 1 for luminance.
        folder: the folder of all caches; by default the environment variable ACSNET_CACHE, else ~/.cache/acsnet.
        progress: show a progress bar while decoding.
        fill: decodes every record and passes it to the function that it is called with; called if there is no such
            cache yet. By default each record is decoded and not verified.
        framing: how images are brought to the size; by default they are stretched. If it crops, the number of cropped
            images is logged when they are decoded, with warnings for images that are all margin and for masks that
            reach out of the crop.

    Attributes:
        images: (N, H, W, channels) uint8, memory-mapped, read-only.
        masks: (N, H, W) bool, memory-mapped, read-only.

    Raises:
        DataError: if a file cannot be read, or changes while it is read.
        DiskFullError: if the disk is full; no partial cache is left.
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
        fill: Callable[[Store], None] | None = None,
        framing: Framing | None = None,
    ) -> None:
        parent = folder or cache_folder()
        rule = framing or Framing()
        key = _key(records, size, channels, rule)
        self.path = parent / key
        shape = (len(records), *size, channels)
        if not self._is_usable(shape):
            frames: dict[int, Frame] = {}
            cut: list[int] = []

            def frame_image(index: int, image: UInt8Array, mask: BoolArray) -> Frame:
                frame = frames[index] = rule.frame(image, size)
                if frame.cuts(mask):
                    cut.append(index)
                return frame

            decode = fill or _decode_all(records, progress)

            def decode_unchanged(store: Store) -> None:
                decode(store)
                if _key(records, size, channels, rule) != key:
                    raise DataError("images or masks changed while they were read: run the command again")

            _build(self.path, shape, decode_unchanged, frame_image)
            if rule.crop_margins:
                log_crops({os.fspath(records[index].image): frames[index] for index in sorted(frames)})
            if cut:
                names = [os.fspath(records[index].image) for index in sorted(cut)]
                logger.warning("%s", problem_list("data.crop_margins leaves out lesion pixels of masks", names))
            self._open()
        _remove_old(parent, self.path)

    def _is_usable(self, shape: tuple[int, int, int, int]) -> bool:
        """Open the cache if it is there; remove it if it is damaged."""
        try:
            self._open()
            _check_arrays(self.path, self.images, self.masks, shape)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (ValueError, EOFError):
            remove_folder(self.path)
            return False
        return True

    def _open(self) -> None:
        self.images = np.load(self.path / "images.npy", mmap_mode="r")
        self.masks = np.load(self.path / "masks.npy", mmap_mode="r")
        # The time of use cannot be set if the cache belongs to another user or is mounted read-only.
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.resolve()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._open()


def _decode_all(records: Sequence[Record], progress: bool) -> Callable[[Store], None]:
    def fill(store: Store) -> None:
        map_records(lambda index: store(index, *decode_record(records[index])), len(records), progress)

    return fill


def _check_arrays(folder: Path, images: UInt8Array, masks: BoolArray, shape: tuple[int, int, int, int]) -> None:
    """Check types, shapes and checksums of a cache.

    Raises:
        ValueError: if the files are damaged.
    """
    checksums = np.load(folder / "checksums.npy")
    expected = ((images, np.uint8, shape), (masks, np.bool_, shape[:3]), (checksums, np.uint32, (shape[0], 2)))
    if any(array.dtype != kind or array.shape != size for array, kind, size in expected):
        raise ValueError(f"{folder} has arrays of another type or shape")
    for image, mask, stored in zip(images, masks, checksums, strict=True):
        if [*stored] != _checksums(image, mask):
            raise ValueError(f"{folder} has damaged pixels")


def _checksums(image: UInt8Array, mask: BoolArray) -> list[int]:
    return [zlib.crc32(np.ascontiguousarray(array).data) for array in (image, mask)]


def _key(records: Sequence[Record], size: tuple[int, int], channels: int, framing: Framing) -> str:
    content = [_FORMAT, size, channels, [file_fingerprints(record) for record in records]]
    # Caches of stretched images keep their name.
    return stable_hash(content if framing == Framing() else [*content, astuple(framing), SCAN_REGION_VERSION])


def _build(
    path: Path, shape: tuple[int, int, int, int], fill: Callable[[Store], None], frame_image: _FrameImage
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=BUILDING_PREFIX, dir=path.parent))
        try:
            with locked(temporary):
                # mkdtemp makes the folder readable by its owner only; the cache is as readable as its parent.
                temporary.chmod(path.parent.stat().st_mode & 0o777)
                _fill(temporary, shape, fill, frame_image)
                # Just made, as far as other processes can tell, until it has its name.
                os.utime(temporary)
            _publish(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        explained = explain_write_error(error, path)
        raise type(explained)(
            f"{explained}; images are cached in data.cache, or in the environment variable ACSNET_CACHE"
        ) from error


def _publish(temporary: Path, path: Path) -> None:
    if path.exists() and not _is_complete(path):
        # The rest of an interrupted removal.
        remove_folder(path)
    try:
        os.rename(temporary, path)
    except OSError:
        # Another process has completed the same cache: its copy is used.
        if not _is_complete(path):
            raise


def _is_complete(path: Path) -> bool:
    return all((path / f"{name}.npy").exists() for name in ("images", "masks", "checksums"))


def _fill(
    folder: Path, shape: tuple[int, int, int, int], fill: Callable[[Store], None], frame_image: _FrameImage
) -> None:
    count, height, width, channels = shape
    images = open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    masks = open_memmap(folder / "masks.npy", mode="w+", dtype=np.bool_, shape=(count, height, width))
    _reserve(folder / "images.npy")
    _reserve(folder / "masks.npy")

    checksums = np.zeros((count, 2), np.uint32)

    def store(index: int, image: UInt8Array, mask: BoolArray) -> None:
        frame = frame_image(index, image, mask)
        images[index] = frame.image_to_input(image, channels)
        masks[index] = frame.mask_to_input(mask)
        checksums[index] = _checksums(images[index], masks[index])

    fill(store)
    np.save(folder / "checksums.npy", checksums)
    images.flush()
    masks.flush()


def _reserve(path: Path) -> None:
    """Allocate the disk space of a file; otherwise a write to a mapped page of a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _remove_old(parent: Path, current: Path) -> None:
    # Another process may remove a folder at the same time, and folders of other users cannot be removed.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        # Only folders made by this module: the user may have chosen a folder with other content.
        folders = [path for path in parent.iterdir() if _KEY.fullmatch(path.name) and (path / "images.npy").exists()]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in folders[_MAX_CACHES:]:
            if path != current:
                remove_folder(path)
        remove_abandoned(parent)
