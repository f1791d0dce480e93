"""Examination of each image by itself: flags, histogram and description."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet._utils.threads import map_in_chunks
from acsnet.curation.duplicates.description import Description, describe
from acsnet.curation.duplicates.store import StoredDescriptions
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
        size: (height, width) in pixels; None if the image cannot be read.
        histogram: (256,) share of the pixels per gray value; zeros if the image cannot be read.
    """

    record: Record
    flags: tuple[CurationFlag, ...]
    size: tuple[int, int] | None
    histogram: npt.NDArray[np.float64]


def examine(records: Sequence[Record], progress: bool = True) -> tuple[list[Examination], StoredDescriptions]:
    """Read each image and its masks once; files that cannot be read are flagged instead of raising an error.

    Returns:
        One examination per record, and the descriptions of the images that can be read, in the same order.
    """
    examinations, descriptions = [], StoredDescriptions()
    disable_bar = None if progress else True
    with ThreadPoolExecutor() as pool:
        results = map_in_chunks(pool, _examine, records)
        for examination, description in tqdm(
            results, "examining", len(records), leave=False, unit="image", disable=disable_bar
        ):
            examinations.append(examination)
            if description is not None:
                descriptions.append(description)
    return examinations, descriptions


def _examine(record: Record) -> tuple[Examination, Description | None]:
    try:
        image = read_image(record.image)
    except DataError as error:
        return Examination(record, (CurationFlag("unreadable", str(error)),), None, np.zeros(256)), None
    mask, flags = _read_masks(record, image.shape[:2])
    if mask is not None:
        flags += mask_flags(mask, record.label)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    histogram = np.bincount(gray.ravel(), minlength=256) / gray.size
    examined = replace(record, digest=pixel_digest(image))
    return Examination(examined, flags + image_flags(image), gray.shape, histogram), describe(image, mask)


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
