"""Preparation of a training: every part is built and checked before anything is written."""

import logging
from dataclasses import dataclass

from accelerate.utils import set_seed
from torch import nn

from acsnet.config import Config
from acsnet.data import CachedRecords, list_records, load_cached_records
from acsnet.errors import ConfigError
from acsnet.layers import PretrainedWeights, pretrained_weights
from acsnet.layers.encoder_weights import IMAGENET
from acsnet.losses import MultiTaskLoss
from acsnet.models._base import check_network_size
from acsnet.training.builders import build_augmentation, build_loss, build_model
from acsnet.training.data import TrainingData, build_data
from acsnet.training.freezing import Freezing
from acsnet.training.initial_weights import InitialWeights, load_initial_weights
from acsnet.training.normalization import resolve_normalization
from acsnet.training.optimization import build_optimizer
from acsnet.training.protocol import check_protocol_data
from acsnet.training.selection import SelectionScore
from acsnet.training.teacher import Teacher, load_teacher, open_teachers
from acsnet.training.trackers import check_trackers
from acsnet.training.validation import metric_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedTraining:
    """The checked parts of a training, which :class:`~acsnet.training.Trainer` is built from.

    Attributes:
        config: the configuration, with the normalization of the encoder's weights if it has no own one.
        selection: score of an epoch.
        network: the model with its initial weights.
        data: records, split and cached images.
        loss: loss of the tasks of the model.
        pretrained: origin of the pretrained weights of each encoder; none if they are random.
        initial: origin of the initial weights, or None if they are random.
        teacher: teacher model for distillation, or None.
    """

    config: Config
    selection: SelectionScore
    network: nn.Module
    data: TrainingData
    loss: MultiTaskLoss
    pretrained: tuple[PretrainedWeights, ...]
    initial: InitialWeights | None
    teacher: Teacher | None

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the normalization of images."""
        mean, std = self.config.data.mean, self.config.data.std
        assert mean is not None  # the configuration of a prepared training is complete
        assert std is not None
        return mean, std


def prepare_training(
    config: Config, progress: bool = True, images: CachedRecords | None = None, resuming: bool = False
) -> PreparedTraining:
    """Build and check the parts of a training.

    The images are decoded once, into the cache, if they are not there. The weights of the model depend on
    ``training.seed``, or come from ``model.initial_weights``.

    Args:
        config: the configuration.
        progress: show progress bars.
        images: records and cache of the configured data if they are loaded already.
        resuming: do not load ``model.encoder_weights`` and ``model.initial_weights``, because the weights of a finished
            epoch will replace them.

    Raises:
        AcsnetError: for every problem that would keep the training from starting.
    """
    classes, tasks = config.data.classes, config.model.tasks
    if config.evaluation.operating_point is not None:
        raise ConfigError(
            f"evaluation.operating_point is {config.evaluation.operating_point}, but a new network has no operating "
            "points: set it to null, and choose them after training by acsnet calibrate"
        )
    check_trackers(config.training.trackers)
    if config.model.encoder_weights == IMAGENET and images is None:
        # Missing data is found before weights are downloaded.
        list_records(config.data)
    selection = SelectionScore(config.training.selection, metric_names(tasks))
    set_seed(config.training.seed)
    model = config.model.model_copy(update={"encoder_weights": None}) if resuming else config.model
    network = build_model(model, classes)
    # Built again for the device of the training: here, mistakes are found before any image is decoded.
    build_optimizer(network, nn.Module(), config.optimizer)
    Freezing(network, config.training.freeze)
    pretrained = pretrained_weights(network)
    path = None if resuming else config.model.initial_weights
    initial = None if path is None else load_initial_weights(network, path)
    config = resolve_normalization(config, pretrained, initial)
    check_network_size(config.data.image_size, network)
    teachers = open_teachers(config)
    augmentation = build_augmentation(config.augmentation, config.data.image_size, config.model.in_channels)
    if config.protocol is not None:
        # Before any image is decoded.
        check_protocol_data(config, list_records(config.data))
    if images is None:
        images = load_cached_records(config.data, config.model.in_channels, progress)
    data = build_data(config.data, images, augmentation)
    if config.training.batch_size > len(data.drawn):
        raise ConfigError(
            f"training.batch_size is {config.training.batch_size}, but the training subset has {len(data.drawn)} "
            "images: lower it"
        )
    loss = build_loss(config.loss, tasks, data.class_counts(classes))
    teacher = load_teacher(config, teachers, data.split.hash)
    return PreparedTraining(config, selection, network, data, loss, pretrained, initial, teacher)


def log_initial_weights(initial: InitialWeights, data: TrainingData) -> None:
    """Log the loaded weights, and warn if they were trained on images that are validated or tested here."""
    logger.info("%s", initial.summary)
    if initial.dataset_hash == data.description["hash"] and initial.split_hash != data.split.hash:
        logger.warning(
            "the initial weights were trained on the same images with another split (%s, here %s): validation and test "
            "images may have been trained on",
            initial.split_hash,
            data.split.hash,
        )
