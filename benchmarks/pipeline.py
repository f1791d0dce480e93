"""The input pipeline: cached images against opening, decoding and resizing each image every time."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from acsnet.config import DataConfig, TransformConfig
from acsnet.data import Augmentation, CachedDataset, ImageCache, Record, load_records
from acsnet.data.images import read_image, read_merged_mask, resize_image, resize_mask
from acsnet.phantom import write_phantoms
from benchmarks.measure import Measurement, measure

SIZE = (256, 256)
_IMAGES_PER_ROUND = 64


def benchmark_pipeline(root: Path | None, transforms: Sequence[TransformConfig], rounds: int) -> list[Measurement]:
    """Measure loading with augmentation in one process, cached against naive; seconds are per image.

    Args:
        root: images in BUSI's layout; None for phantoms of BUSI's usual size.
        transforms: the transforms of the augmentation.
        rounds: the number of timings of each contender.
    """
    with tempfile.TemporaryDirectory() as folder:
        if root is None:
            root = Path(folder) / "phantoms"
            write_phantoms(root, {"benign": 48, "malignant": 16}, 0, (500, 600))
        records = load_records(DataConfig(root=root))
        cache = ImageCache(records, SIZE, 3, Path(folder) / "cache")
        return _measure(records, cache, transforms, rounds)


def _measure(
    records: Sequence[Record], cache: ImageCache, transforms: Sequence[TransformConfig], rounds: int
) -> list[Measurement]:
    augmentation = Augmentation(transforms, SIZE)
    dataset = CachedDataset(cache, range(len(records)), [0] * len(records), augmentation)
    order = np.random.default_rng(0).permutation(len(records))[:_IMAGES_PER_ROUND].tolist()
    runs: dict[str, Callable[[], object]] = {
        "open, decode, resize, augment": lambda: [_naive(records[i], augmentation, i) for i in order],
        "acsnet": lambda: [dataset[i, i] for i in order],
        "augmentation alone": lambda: [augmentation(_GRAY, _EMPTY, i) for i in order],
    }
    names = ", ".join(transform.name for transform in transforms)
    rows = measure("data", f"{SIZE[0]}x{SIZE[1]}, {names}", runs, rounds)
    return [replace(row, seconds=row.seconds / len(order)) for row in rows]


_GRAY = np.full((*SIZE, 3), 128, np.uint8)
_EMPTY = np.zeros(SIZE, np.bool_)


def _naive(record: Record, augmentation: Augmentation, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Load an image as the published training codes do for each image in each epoch."""
    image = read_image(record.image)
    mask = read_merged_mask(record.masks, image.shape[:2])
    augmented, augmented_mask = augmentation(resize_image(image, SIZE), resize_mask(mask, SIZE), seed)
    return torch.from_numpy(augmented), torch.from_numpy(augmented_mask)
