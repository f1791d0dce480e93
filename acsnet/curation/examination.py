"""The look at each image by itself: what it is known by, and what is odd about it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet.curation.description import Description, describe
from acsnet.curation.findings import Flag
from acsnet.curation.image_flags import image_flags
from acsnet.curation.mask_flags import mask_flags
from acsnet.data.images import BoolArray, pixel_digest, read_image, read_mask
from acsnet.data.records import Record
from acsnet.errors import DataError


@dataclass(frozen=True)
class Examination:
    """What is found on one image.

    Attributes:
        record: with ``digest`` filled in; "" where the image cannot be read.
        flags: what is odd.
        description: what it is compared by; None where it cannot be read.
        histogram: (256,) share of pixels of each gray value; zeros where it cannot be read.
    """

    record: Record
    flags: tuple[Flag, ...]
    description: Description | None
    histogram: npt.NDArray[np.float64]


def examine(records: Sequence[Record], progress: bool = True) -> list[Examination]:
    """Read each image and its masks once; what cannot be read is flagged, not raised."""
    hidden = None if progress else True
    with ThreadPoolExecutor() as pool:
        work = pool.map(_examine, records)
        return list(tqdm(work, "examining", len(records), leave=False, unit="image", disable=hidden))


def _examine(record: Record) -> Examination:
    try:
        image = read_image(record.image)
    except DataError as error:
        return Examination(record, (Flag("unreadable", str(error)),), None, np.zeros(256))
    mask, flags = _read_masks(record, image.shape[:2])
    if mask is not None:
        flags += mask_flags(mask, record.label)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    histogram = np.bincount(gray.ravel(), minlength=256) / gray.size
    return Examination(
        replace(record, digest=pixel_digest(image)), flags + image_flags(image), describe(image, mask), histogram
    )


def _read_masks(record: Record, size: tuple[int, ...]) -> tuple[BoolArray | None, tuple[Flag, ...]]:
    """The merged mask, or None where any of its files is of no use, and flags that say why."""
    merged = np.zeros(size, np.bool_)
    flags: list[Flag] = []
    for path in record.masks:
        try:
            mask = read_mask(path)
        except DataError as error:
            flags.append(Flag("unreadable", str(error)))
            continue
        if mask.shape == size:
            merged |= mask
        else:
            sizes = f"{mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]} (width x height)"
            flags.append(Flag("mask-size", f"{path.name} is {sizes}"))
    return (None if flags else merged), tuple(flags)
