"""Dataset, oversampling, sampler and loader: from cached images to batches."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, TypedDict

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from acsnet.data.cache import ImageCache
from acsnet.data.transforms import Augmentation


class Sample(TypedDict):
    """One image, or a batch of them with a leading dimension.

    ``image`` (H, W, C) uint8, ``mask`` (1, H, W) bool, ``label`` () int64.
    """

    image: torch.Tensor
    mask: torch.Tensor
    label: torch.Tensor


class CachedDataset(Dataset[Sample]):
    """Dataset of selected images of a cache.

    An item is indexed by ``(index, seed)``. The seed determines the augmentation, so an item does not depend on the
    worker or process that makes it.

    Args:
        cache: decoded images.
        indices: positions in the cache.
        labels: class index of each position.
        augmentation: augmentation of each item, or None.
        plain: number of items, the first ones, that are not augmented.
    """

    def __init__(
        self,
        cache: ImageCache,
        indices: Sequence[int],
        labels: Sequence[int],
        augmentation: Augmentation | None = None,
        plain: int = 0,
    ) -> None:
        self._cache = cache
        self._indices = list(indices)
        self._labels = list(labels)
        self._augmentation = augmentation
        self._plain = plain

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        index, seed = item
        image = np.array(self._cache.images[self._indices[index]])
        mask = np.array(self._cache.masks[self._indices[index]])
        if self._augmentation is not None and index >= self._plain:
            image, mask = self._augmentation(image, mask, seed)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(image)),
            mask=torch.from_numpy(np.ascontiguousarray(mask))[None],
            label=torch.tensor(self._labels[index]),
        )


def oversample(labels: Sequence[str], rule: Literal["largest_class", "aumente2025"] = "largest_class") -> list[int]:
    """Repeat the images of small classes, without randomness.

    Args:
        labels: class of each image.
        rule: with ``"largest_class"`` each image of a class with ``n`` images is repeated ``round(largest / n)`` times,
            where ``largest`` is the size of the largest class. With ``"aumente2025"`` it is repeated
            ``max(2, round(total / n))`` times (the deterministic oversampling of Aumente-Maestro et al. 2025, as their
            code has it), where ``total`` is the number of all images; the largest class is repeated, too.

    Returns:
        Positions in ``labels``, in rounds, so that repetitions of an image are far apart.

    Example:
        >>> oversample(["benign", "benign", "benign", "normal"])
        [0, 1, 2, 3, 3, 3]
        >>> oversample(["benign", "benign", "benign", "normal"], "aumente2025")
        [0, 1, 2, 3, 0, 1, 2, 3, 3, 3]
    """
    counts = Counter(labels)
    largest = max(counts.values(), default=0)
    if rule == "largest_class":
        factors = {label: round(largest / count) for label, count in counts.items()}
    else:
        factors = {label: max(2, round(len(labels) / count)) for label, count in counts.items()}
    rounds = range(max(factors.values(), default=0))
    return [index for turn in rounds for index, label in enumerate(labels) if turn < factors[label]]


class SeededSampler(Sampler[tuple[int, int]]):
    """Sampler of ``(index, seed)``, shuffled or in order, that depends on the seed and the epoch only.

    That makes resuming exact: epoch 7 is the same whether epochs 1 to 6 ran in this process or in another one.

    Args:
        length: length of the dataset.
        seed: seed of the run.
        shuffle: draw the images in a new random order each epoch.

    Example:
        >>> sampler = SeededSampler(3, seed=0, shuffle=False)
        >>> [index for index, _ in sampler]
        [0, 1, 2]
    """

    def __init__(self, length: int, seed: int, shuffle: bool) -> None:
        self._length = length
        self._seed = seed
        self._shuffle = shuffle
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng([self._seed, self.epoch])
        order = random.permutation(self._length) if self._shuffle else np.arange(self._length)
        seeds = random.integers(2**31, size=self._length)
        return iter([(int(index), int(seed)) for index, seed in zip(order, seeds, strict=True)])


def build_loader(
    dataset: CachedDataset, sampler: SeededSampler, batch_size: int, workers: int, drop_last: bool
) -> DataLoader[Sample]:
    """Build a loader of batches of :class:`Sample`."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
