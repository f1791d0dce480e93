"""Decoding of records in parallel, and fingerprints of their files."""

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm.auto import tqdm

from acsnet._utils.file_kinds import check_file
from acsnet.data.frame_paths import split_frame
from acsnet.data.images import BoolArray, UInt8Array, read_image, read_merged_mask
from acsnet.data.records import Record
from acsnet.errors import DataError

_Result = TypeVar("_Result")
_BLOCK_BYTES = 1 << 20


def decode_record(record: Record) -> tuple[UInt8Array, BoolArray]:
    """Decode the image and the merged mask of a record.

    Returns:
        The image (H, W, 3) uint8 and the mask (H, W) bool.

    Raises:
        DataError: if a file cannot be read, or a mask differs in size from its image.
    """
    image = read_image(record.image)
    return image, read_merged_mask(record.masks, image.shape[:2])


def map_records(function: Callable[[int], _Result], count: int, progress: bool) -> list[_Result]:
    """Call a function with the index of each record on several threads, and return the results in order.

    Args:
        function: decodes the record at an index; decoding releases the interpreter lock.
        count: number of records.
        progress: show a progress bar.
    """
    with ThreadPoolExecutor() as pool:
        results = pool.map(function, range(count))
        # None: the bar is shown on a terminal only.
        disable = None if progress else True
        return list(tqdm(results, total=count, desc="decoding images", unit="image", leave=False, disable=disable))


def file_fingerprints(record: Record) -> list[tuple[str, int | None]]:
    """Return the hash of the content of each file of a record, and the frame in it; the image first.

    Sizes and times are not enough: copying tools keep them, and clocks are coarse.

    Raises:
        DataError: if a file does not exist or cannot be read.
    """
    prints: list[tuple[str, int | None]] = []
    for path in (record.image, *record.masks):
        file, frame = split_frame(path)
        try:
            prints.append((_content_hash(file), frame))
        except FileNotFoundError:
            raise DataError(f"there is no image {file}: it was moved or removed") from None
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error.strerror}): check that you may read it") from None
    return prints


# Hashes of this process by device, number, size and times of the file.
_known_hashes: dict[tuple[int, ...], str] = {}
# A file that is written again within a tick of the clock of its file system, at most two seconds, keeps its time.
_CLOCK_TICK_NS = 2 * 10**9


def _content_hash(file: Path) -> str:
    state = os.stat(file)
    check_file(file)
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if key in _known_hashes:
        return _known_hashes[key]
    now = time.time_ns()
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    if now - max(state.st_mtime_ns, state.st_ctime_ns) > _CLOCK_TICK_NS:
        _known_hashes[key] = digest.hexdigest()
    return digest.hexdigest()
