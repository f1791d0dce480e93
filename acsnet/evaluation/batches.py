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
        masks: true masks, (H, W) bool each: the union of the masks of an image.
        lesion_masks: the masks of each image, in the order of their files; none for an image without a mask file.
    """

    records: Sequence[Record]
    images: Sequence[npt.NDArray[np.uint8]]
    masks: Sequence[npt.NDArray[np.bool_]]
    lesion_masks: Sequence[Sequence[npt.NDArray[np.bool_]]]


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
            images, masks, lesion_masks = zip(*pool.map(_read, chunk), strict=True)
            yield Batch(chunk, images, masks, lesion_masks)
            bar.update(len(chunk))


def _read(record: Record) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], list[npt.NDArray[np.bool_]]]:
    image = read_image(record.image)
    size = image.shape[:2]
    lesion_masks = [read_merged_mask([path], size) for path in record.masks]
    merged = np.logical_or.reduce(lesion_masks) if lesion_masks else np.zeros(size, np.bool_)
    return image, merged, lesion_masks
