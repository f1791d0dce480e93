"""The data of the examples: images, masks and classes of a dataset as tensors."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from acsnet.data import Record, as_rgb, read_busi
from acsnet.data.images import read_merged_mask, resize_image, resize_mask, to_network_input
from acsnet.labels import CLASS_NAMES
from acsnet.phantom import write_phantoms

SIZE = (64, 64)
MEAN, STD = (0.33,), (0.204,)


class Lesions(Dataset[dict[str, torch.Tensor]]):
    """Images (3, H, W), masks (1, H, W) and labels of records.

    Args:
        records: images with masks and labels.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        record = self.records[index]
        image = as_rgb(record.image)
        mask = read_merged_mask(record.masks, image.shape[:2])
        pixels = torch.from_numpy(resize_image(image, SIZE))[None]
        return {
            "images": to_network_input(pixels, MEAN, STD)[0],
            "masks": torch.from_numpy(resize_mask(mask, SIZE))[None].float(),
            "labels": torch.tensor(CLASS_NAMES.index(record.label)),
        }


def make_lesions(folder: Path, images_per_class: int) -> tuple[Lesions, Lesions]:
    """Write phantoms to a folder, and return those for training and for validation."""
    write_phantoms(folder, dict.fromkeys(CLASS_NAMES, images_per_class), size=SIZE, vary_size=False, progress=False)
    records = read_busi(folder)
    return Lesions(records[::2]), Lesions(records[1::2])
