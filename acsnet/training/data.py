"""Training data: split records, augmentation and batches."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import DataLoader

from acsnet.config import DataConfig, TrainingConfig
from acsnet.data import (
    Augmentation,
    CachedDataset,
    CachedRecords,
    ImageCache,
    Record,
    Sample,
    SeededSampler,
    Split,
    build_loader,
    dataset_hash,
    describe_split,
    oversample,
    split_data,
)
from acsnet.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """Verified records with their split, and the images of an epoch.

    Attributes:
        records: all records.
        split: their training, validation and test subsets.
        drawn: the records of an epoch: the training subset, with repetitions if it is oversampled, or if every image is
            shown once without augmentation.
        plain: number of drawn records, the first ones, that are not augmented.
        augmentation: augmentation of the drawn images, or None.
        cache: decoded images of ``records``.
    """

    records: tuple[Record, ...]
    split: Split
    drawn: tuple[Record, ...]
    plain: int
    augmentation: Augmentation | None
    cache: ImageCache

    def class_counts(self, classes: Sequence[str]) -> list[int]:
        """Count the images of each class in an epoch."""
        counts = Counter(record.label for record in self.drawn)
        return [counts[label] for label in classes]

    @property
    def description(self) -> dict[str, object]:
        """Names, size and hash of the dataset, for the metadata of the checkpoint."""
        names = sorted({record.dataset for record in self.records})
        return {"names": names, "n": len(self.records), "hash": dataset_hash(self.records)}


@dataclass(frozen=True)
class Loaders:
    """Loaders of the training and the validation subset, and the sampler that shuffles the former."""

    train: DataLoader[Sample]
    val: DataLoader[Sample]
    val_dataset: CachedDataset
    sampler: SeededSampler


def build_data(config: DataConfig, images: CachedRecords, augmentation: Augmentation | None) -> TrainingData:
    """Split cached records, and oversample the training subset if configured.

    Raises:
        DataError: if the records cannot be split, or a class has no training image.
    """
    split = split_data(images.records, config)
    counts = Counter(record.label for record in split.train)
    missing = [label for label in config.classes if label not in counts]
    if missing:
        raise DataError(
            f"no training image of class {', '.join(missing)}: add some, or leave the class out of data.classes "
            f"(there are {dict(counts)})"
        )
    drawn = split.train
    if config.oversample:
        positions = oversample([record.label for record in split.train], config.oversample)
        drawn = tuple(split.train[index] for index in positions)
    plain = len(drawn) if config.plain_copies else 0
    return TrainingData(tuple(images.records), split, drawn[:plain] + drawn, plain, augmentation, images.cache)


def build_loaders(data: TrainingData, config: DataConfig, training: TrainingConfig) -> Loaders:
    """Build the loaders of the training and the validation subset."""
    positions = {record.image: index for index, record in enumerate(data.records)}

    def dataset(records: Sequence[Record], augmentation: Augmentation | None, plain: int = 0) -> CachedDataset:
        labels = [config.classes.index(record.label) for record in records]
        return CachedDataset(data.cache, [positions[record.image] for record in records], labels, augmentation, plain)

    sampler = SeededSampler(len(data.drawn), training.seed, shuffle=True)
    train_dataset = dataset(data.drawn, data.augmentation, data.plain)
    train = build_loader(train_dataset, sampler, training.batch_size, config.workers, drop_last=True)
    val_dataset = dataset(data.split.val, None)
    in_order = SeededSampler(len(val_dataset), training.seed, shuffle=False)
    val = build_loader(val_dataset, in_order, training.batch_size, config.workers, drop_last=False)
    return Loaders(train, val, val_dataset, sampler)


def log_split(split: Split, config: DataConfig) -> None:
    """Log the subsets as a table, and how many test images have a copy in training if the configuration allows it."""
    # One message per line: a line break within a message is escaped.
    for line in describe_split(split, config.classes).splitlines():
        logger.info("%s", line)
    if split.is_validated_on_test:
        logger.warning(
            "data.folds.validation is test: the best epoch is selected on the test subset, so the metrics of its test "
            "are too good; they are marked with it"
        )
    if config.split_file is None and not config.folds.grouped and any(record.group for record in split.subset("all")):
        logger.warning(
            "data.folds.grouped is false: %d of %d test images have a copy, or another image of their group, in "
            "training",
            split.leaked,
            len(split.test),
        )
