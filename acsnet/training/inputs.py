"""Everything a training needs, built from the configuration and checked before it starts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.utils.data import DataLoader

from acsnet.config import Config, LossConfig
from acsnet.data import (
    Augmentation,
    CachedDataset,
    ImageCache,
    Record,
    Sample,
    SeededSampler,
    Split,
    build_loader,
    dataset_hash,
    load_records,
    split_records,
)
from acsnet.errors import ConfigError, DataError
from acsnet.losses import MultiTaskLoss, build_balance, build_loss
from acsnet.registry import create_model


@dataclass(frozen=True)
class TrainingData:
    """Verified and split records, and how training batches are augmented."""

    records: tuple[Record, ...]
    split: Split
    augmentation: Augmentation | None

    @property
    def description(self) -> dict[str, object]:
        """Names, size and hash, for the checkpoint's card."""
        names = sorted({record.dataset for record in self.records})
        return {"names": names, "n": len(self.records), "hash": dataset_hash(self.records)}


@dataclass(frozen=True)
class Loaders:
    """Batches of the training and the validation part, and the sampler that shuffles the former."""

    train: DataLoader[Sample]
    val: DataLoader[Sample]
    val_dataset: CachedDataset
    sampler: SeededSampler


def load_training_data(config: Config, progress: bool) -> TrainingData:
    """Read, verify and split the data, and build the augmentation.

    Raises:
        DataError: for data that cannot be used, or a class without training images.
        ConfigError: for an augmentation that cannot be built.
    """
    augmentation = Augmentation(config.augmentation, config.data.image_size) if config.augmentation else None
    records = load_records(config.data, progress)
    split = split_records(records, config.data.folds)
    counts = Counter(record.label for record in split.train)
    missing = [label for label in config.data.classes if label not in counts]
    if missing:
        raise DataError(
            f"no training image of class {', '.join(missing)}: add some, or leave the class out of data.classes "
            f"(there are {dict(counts)})"
        )
    return TrainingData(tuple(records), split, augmentation)


def build_loaders(config: Config, data: TrainingData, progress: bool) -> Loaders:
    """Decode the images into the cache where they are not, and build the loaders.

    Raises:
        ConfigError: where the training part has fewer images than a batch.
    """
    settings = config.data
    cache = ImageCache(data.records, settings.image_size, config.model.in_channels, settings.cache, progress)
    positions = {record.image: index for index, record in enumerate(data.records)}

    def dataset(part: Sequence[Record], augmentation: Augmentation | None) -> CachedDataset:
        labels = [settings.classes.index(record.label) for record in part]
        return CachedDataset(cache, [positions[record.image] for record in part], labels, augmentation)

    batch_size = config.training.batch_size
    if batch_size > len(data.split.train):
        raise ConfigError(
            f"training.batch_size is {batch_size}, but the training part has {len(data.split.train)} images: lower it"
        )
    sampler = SeededSampler(len(data.split.train), config.training.seed, shuffle=True)
    train = build_loader(
        dataset(data.split.train, data.augmentation), sampler, batch_size, settings.workers, drop_last=True
    )
    val_dataset = dataset(data.split.val, None)
    in_order = SeededSampler(len(val_dataset), config.training.seed, shuffle=False)
    val = build_loader(val_dataset, in_order, batch_size, settings.workers, drop_last=False)
    return Loaders(train, val, val_dataset, sampler)


def build_network(config: Config) -> nn.Module:
    """Build the configured network with a class for each of the data's.

    Raises:
        AcsnetError: for whatever of the configuration the network cannot take.
    """
    settings = config.model
    return create_model(
        settings.name,
        num_classes=len(config.data.classes),
        in_channels=settings.in_channels,
        encoder_weights=settings.encoder_weights,
        tasks=settings.tasks,
        **settings.arguments,
    )


def build_multi_task_loss(config: LossConfig, tasks: Sequence[str]) -> MultiTaskLoss:
    """Build the loss of the tasks that the network has.

    Raises:
        UnknownNameError: for an unknown loss.
        InputError: for arguments that a loss does not take.
    """
    terms = {
        "segmentation": [(term.name, term.weight, term.arguments) for term in config.segmentation],
        "classification": [(term.name, term.weight, term.arguments) for term in config.classification],
    }
    arguments = {"segmentation_share": config.segmentation_share} if config.balance == "fixed" else {}
    return MultiTaskLoss(
        build_loss("segmentation", terms["segmentation"]) if "segmentation" in tasks else None,
        build_loss("classification", terms["classification"]) if "classification" in tasks else None,
        build_balance(config.balance, arguments),
        config.deep_supervision,
    )
