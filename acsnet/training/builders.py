"""Everything a training needs, built from the configuration and checked before it starts."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader

from acsnet.config import Config, DataConfig, LossConfig
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
    describe_split,
    load_records,
    oversample,
    split_data,
)
from acsnet.errors import ConfigError, DataError
from acsnet.labels import NORMAL
from acsnet.losses import (
    DistillationLoss,
    MultiTaskLoss,
    build_loss,
    build_weighting,
    class_weights_from_counts,
    focal_alpha_from_counts,
)
from acsnet.models import create_model, model_entry
from acsnet.models._base import check_size
from acsnet.training.initial_weights import InitialWeights, load_initial_weights
from acsnet.training.selection import SelectionFormula
from acsnet.training.teacher import Teacher, load_teacher, open_teachers
from acsnet.training.validation import metric_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """Verified and split records, and how training batches are drawn from them.

    Attributes:
        records: all of them.
        split: its parts.
        drawn: the records of an epoch: the training subset, with repetitions where it is oversampled.
        augmentation: what is done to each of them; None for nothing.
    """

    records: tuple[Record, ...]
    split: Split
    drawn: tuple[Record, ...]
    augmentation: Augmentation | None

    def class_counts(self, classes: Sequence[str]) -> list[int]:
        """How often each class is drawn in an epoch."""
        counts = Counter(record.label for record in self.drawn)
        return [counts[label] for label in classes]

    @property
    def description(self) -> dict[str, object]:
        """Names, size and hash, for the checkpoint's card."""
        names = sorted({record.dataset for record in self.records})
        return {"names": names, "n": len(self.records), "hash": dataset_hash(self.records)}


@dataclass(frozen=True)
class Loaders:
    """Batches of the training and the validation subset, and the sampler that shuffles the former."""

    train: DataLoader[Sample]
    val: DataLoader[Sample]
    val_dataset: CachedDataset
    sampler: SeededSampler


@dataclass(frozen=True)
class PreparedTraining:
    """What a training begins with, checked: nothing in the configuration or the data keeps it from starting.

    Attributes:
        formula: which epoch is the best.
        network: with its first weights.
        data: records and parts.
        loss: of the tasks that the network has.
        initial: where its first weights are from; None for the seed alone.
        teacher: whom it learns from beside the truth; None for nobody.
    """

    formula: SelectionFormula
    network: nn.Module
    data: TrainingData
    loss: MultiTaskLoss
    initial: InitialWeights | None
    teacher: Teacher | None


def prepare_training(
    config: Config, progress: bool = True, records: Sequence[Record] | None = None, begun: bool = False
) -> PreparedTraining:
    """Build and check what a training begins with.

    The network's weights are those of ``training.seed``, or of ``model.initial_weights``.

    Args:
        config: of the training.
        progress: show progress bars.
        records: of its data, where they were read before.
        begun: the weights are replaced by those of an epoch that was finished: ``model.initial_weights`` is not read.

    Raises:
        AcsnetError: for anything that would keep the training from starting.
    """
    formula = SelectionFormula(config.training.selection, metric_names(config.model.tasks))
    set_seed(config.training.seed)
    network = build_network(config)
    check_size(config.data.image_size, getattr(network, "divisor", 1))
    teachers = open_teachers(config)
    path = None if begun else config.model.initial_weights
    initial = None if path is None else load_initial_weights(network, path)
    data = load_training_data(config, load_records(config.data, progress) if records is None else records)
    if config.training.batch_size > len(data.drawn):
        raise ConfigError(
            f"training.batch_size is {config.training.batch_size}, but the training subset has {len(data.drawn)} "
            "images: lower it"
        )
    loss = build_multi_task_loss(config.loss, config.model.tasks, data.class_counts(config.data.classes))
    teacher = load_teacher(config, teachers, data.split.hash)
    return PreparedTraining(formula, network, data, loss, initial, teacher)


def load_training_data(config: Config, records: Sequence[Record]) -> TrainingData:
    """Split verified records, and build the augmentation.

    Raises:
        DataError: for data that cannot be used, or a class without training images.
        ConfigError: for an augmentation that cannot be built.
    """
    augmentation = None
    if config.augmentation:
        augmentation = Augmentation(config.augmentation, config.data.image_size, config.model.in_channels)
    split = split_data(records, config.data)
    counts = Counter(record.label for record in split.train)
    missing = [label for label in config.data.classes if label not in counts]
    if missing:
        raise DataError(
            f"no training image of class {', '.join(missing)}: add some, or leave the class out of data.classes "
            f"(there are {dict(counts)})"
        )
    drawn = split.train
    if config.data.oversample:
        drawn = tuple(split.train[index] for index in oversample([record.label for record in split.train]))
    return TrainingData(tuple(records), split, drawn, augmentation)


def log_initial_weights(initial: InitialWeights, data: TrainingData) -> None:
    """Log what the network has of a checkpoint, and whether that has seen images that are kept from training here."""
    logger.info("%s", initial.summary)
    if initial.dataset_hash == data.description["hash"] and initial.split_hash != data.split.hash:
        logger.warning(
            "the initial weights were trained on the same images with another split (%s, here %s): validation and test "
            "images may have been trained on",
            initial.split_hash,
            data.split.hash,
        )


def log_split(split: Split, config: DataConfig) -> None:
    """Log the parts as a table, and how many test images have a copy in training where the configuration allows it."""
    logger.info("%s", describe_split(split, config.classes))
    if config.split_file is None and not config.folds.grouped and any(record.group for record in split.subset("all")):
        logger.warning(
            "data.folds.grouped is false: %d of %d test images have a copy, or another image of their group, in "
            "training",
            split.leaked,
            len(split.test),
        )


def build_loaders(config: Config, data: TrainingData, progress: bool) -> Loaders:
    """Decode the images into the cache where they are not, and build the loaders."""
    settings = config.data
    cache = ImageCache(data.records, settings.image_size, config.model.in_channels, settings.cache, progress)
    positions = {record.image: index for index, record in enumerate(data.records)}

    def dataset(part: Sequence[Record], augmentation: Augmentation | None) -> CachedDataset:
        labels = [settings.classes.index(record.label) for record in part]
        return CachedDataset(cache, [positions[record.image] for record in part], labels, augmentation)

    batch_size = config.training.batch_size
    sampler = SeededSampler(len(data.drawn), config.training.seed, shuffle=True)
    train = build_loader(dataset(data.drawn, data.augmentation), sampler, batch_size, settings.workers, drop_last=True)
    val_dataset = dataset(data.split.val, None)
    in_order = SeededSampler(len(val_dataset), config.training.seed, shuffle=False)
    val = build_loader(val_dataset, in_order, batch_size, settings.workers, drop_last=False)
    return Loaders(train, val, val_dataset, sampler)


def build_network(config: Config) -> nn.Module:
    """Build the configured network with a class for each of the data's.

    Raises:
        AcsnetError: for whatever of the configuration the network cannot take.
    """
    return create_model(
        config.model.name,
        num_classes=len(config.data.classes),
        encoder_weights=config.model.encoder_weights,
        **network_arguments(config),
    )


def network_arguments(config: Config) -> dict[str, Any]:
    """The network's arguments but for name, classes and pre-trained weights: what a checkpoint's card keeps of them.

    A network that joins the tasks by the normal class (it takes ``normal_index``) is told by the names of the classes.

    Raises:
        ConfigError: where such a network is to be trained without a class "normal".
    """
    settings = config.model
    arguments = {"in_channels": settings.in_channels, "tasks": list(settings.tasks), **settings.arguments}
    if len(settings.tasks) == 2 and model_entry(settings.name).needs_normal_class:
        if NORMAL not in config.data.classes:
            raise ConfigError(
                f"model {settings.name} needs a class {NORMAL!r}, data.classes has {', '.join(config.data.classes)}: "
                "add it, or choose another network"
            )
        arguments.setdefault("normal_index", config.data.classes.index(NORMAL))
    return arguments


def build_multi_task_loss(config: LossConfig, tasks: Sequence[str], class_counts: Sequence[int]) -> MultiTaskLoss:
    """Build the loss of the tasks that the network has.

    Args:
        config: of the loss.
        tasks: of the network.
        class_counts: how often each class is drawn, for weights that are ``balanced``.

    Raises:
        UnknownNameError: for an unknown loss.
        InputError: for arguments that a loss does not take.
    """
    terms = {
        "segmentation": [(term.name, term.weight, term.arguments) for term in config.segmentation],
        "classification": [(t.name, t.weight, _with_weights(t.arguments, class_counts)) for t in config.classification],
    }
    arguments = {"segmentation_weight": config.segmentation_weight} if config.weighting == "fixed" else {}
    distillation = None
    if config.distillation is not None:
        distillation = DistillationLoss(config.distillation.weight, config.distillation.temperature)
    return MultiTaskLoss(
        build_loss("segmentation", terms["segmentation"]) if "segmentation" in tasks else None,
        build_loss("classification", terms["classification"]) if "classification" in tasks else None,
        build_weighting(config.weighting, arguments),
        config.deep_supervision,
        distillation,
    )


# Arguments of classification losses that may be "balanced", and how they come from the classes' counts.
_BALANCED: dict[str, Callable[[Sequence[int]], torch.Tensor]] = {
    "class_weights": class_weights_from_counts,
    "alpha": focal_alpha_from_counts,
}


def _with_weights(arguments: Mapping[str, Any], class_counts: Sequence[int]) -> dict[str, Any]:
    return {
        name: _BALANCED[name](class_counts).tolist() if name in _BALANCED and value == "balanced" else value
        for name, value in arguments.items()
    }
