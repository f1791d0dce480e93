"""Batches of images and true masks at their original sizes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet.data import Record
from acsnet.data.images import read_image, read_merged_mask


@dataclass(frozen=True)
class Batch:
    """A batch of records with their images and true masks, at the sizes of the images.

    Attributes:
        records: the records.
        images: RGB images, (H, W, 3) uint8 each.
        masks: true masks, (H, W) bool each.
    """

    records: Sequence[Record]
    images: Sequence[npt.NDArray[np.uint8]]
    masks: Sequence[npt.NDArray[np.bool_]]


def read_batches(records: Sequence[Record], batch_size: int, title: str, progress: bool) -> Iterator[Batch]:
    """Read records in order, batch by batch, each only when it is requested.

    Args:
        records: the records.
        batch_size: number of images per batch.
        title: title of the progress bar.
        progress: show a progress bar.

    Raises:
        DataError: if an image or a mask cannot be read.
    """
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(records), desc=title, unit="image", disable=None if progress else True) as bar,
    ):
        for start in range(0, len(records), batch_size):
            chunk = records[start : start + batch_size]
            images, masks = zip(*pool.map(_read, chunk), strict=True)
            yield Batch(chunk, images, masks)
            bar.update(len(chunk))


def _read(record: Record) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    image = read_image(record.image)
    return image, read_merged_mask(record.masks, image.shape[:2])
