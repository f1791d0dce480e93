"""Examination of each image by itself: description, flags and histogram."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet.curation.duplicates.description import Description, describe
from acsnet.curation.findings import CurationFlag
from acsnet.curation.flags.image import image_flags
from acsnet.curation.flags.mask import mask_flags
from acsnet.data.images import BoolArray, pixel_digest, read_image, read_mask
from acsnet.data.records import Record
from acsnet.errors import DataError


@dataclass(frozen=True)
class Examination:
    """The result for one image.

    Attributes:
        record: the record, with ``digest`` filled in; ``digest`` is "" if the image cannot be read.
        flags: flags of the image and of its masks.
        description: features for the comparison with other images; None if the image cannot be read.
        histogram: (256,) share of the pixels per gray value; zeros if the image cannot be read.
    """

    record: Record
    flags: tuple[CurationFlag, ...]
    description: Description | None
    histogram: npt.NDArray[np.float64]


def examine(records: Sequence[Record], progress: bool = True) -> list[Examination]:
    """Read each image and its masks once; files that cannot be read are flagged instead of raising an error."""
    with ThreadPoolExecutor() as pool:
        examinations = pool.map(_examine, records)
        disable_bar = None if progress else True
        return list(tqdm(examinations, "examining", len(records), leave=False, unit="image", disable=disable_bar))


def _examine(record: Record) -> Examination:
    try:
        image = read_image(record.image)
    except DataError as error:
        return Examination(record, (CurationFlag("unreadable", str(error)),), None, np.zeros(256))
    mask, flags = _read_masks(record, image.shape[:2])
    if mask is not None:
        flags += mask_flags(mask, record.label)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    histogram = np.bincount(gray.ravel(), minlength=256) / gray.size
    return Examination(
        replace(record, digest=pixel_digest(image)), flags + image_flags(image), describe(image, mask), histogram
    )


def _read_masks(record: Record, size: tuple[int, ...]) -> tuple[BoolArray | None, tuple[CurationFlag, ...]]:
    """Return the merged mask, or None if any mask file is unusable, and the flags that name the reasons."""
    merged = np.zeros(size, np.bool_)
    flags: list[CurationFlag] = []
    for path in record.masks:
        try:
            mask = read_mask(path)
        except DataError as error:
            flags.append(CurationFlag("unreadable", str(error)))
            continue
        if mask.shape == size:
            merged |= mask
        else:
            sizes = f"{mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]} (width x height)"
            flags.append(CurationFlag("mask-size", f"{path.name} is {sizes}"))
    return (None if flags else merged), tuple(flags)
