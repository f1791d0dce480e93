"""Decoding of records in parallel, and fingerprints of their files."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm.auto import tqdm

from acsnet.data.frame_paths import file_of
from acsnet.data.images import BoolArray, UInt8Array, read_image, read_merged_mask
from acsnet.data.records import Record
from acsnet.errors import DataError

_Result = TypeVar("_Result")


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


def file_fingerprints(record: Record) -> list[tuple[str, int, int, int]]:
    """Return path, size, modification and change time (ns) of each file of a record, the image first.

    Raises:
        DataError: if a file does not exist.
    """
    paths = (record.image, *record.masks)
    try:
        states = [(os.path.realpath(path), file_of(path).stat()) for path in paths]
    except FileNotFoundError as error:
        raise DataError(f"there is no image {error.filename}: it was moved or removed") from None
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): check the links of its path") from None
    return [(name, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in states]
