"""The normalization of images: explicit, or the one that the first weights were trained with."""

from collections.abc import Sequence

from acsnet.config import Config
from acsnet.layers import PretrainedWeights
from acsnet.training.initial_weights import InitialWeights

# Mean and standard deviation of the pixels of BUSI, for networks with random weights (He et al. 2024).
DEFAULT_MEAN = (0.330,)
DEFAULT_STD = (0.204,)


def resolve_normalization(
    config: Config, pretrained: Sequence[PretrainedWeights], initial: InitialWeights | None = None
) -> Config:
    """Return a configuration with values for ``data.mean`` and ``data.std``.

    Values of the configuration remain. Missing ones are those that the first weights were trained with: those of
    ``model.initial_weights``, else those of the encoder, else 0.330 and 0.204 for random weights.

    Args:
        config: the configuration.
        pretrained: origin of the weights of the encoders of its network; the first one counts.
        initial: the loaded initial weights. They do not count if they have another number of channels.
    """
    channels = config.model.in_channels
    if initial is not None and initial.normalization is not None and len(initial.normalization[0]) in (1, channels):
        return with_normalization(config, *initial.normalization)
    mean, std = pretrained[0].normalization(channels) if pretrained else (DEFAULT_MEAN, DEFAULT_STD)
    return with_normalization(config, mean, std)


def with_normalization(config: Config, mean: Sequence[float] | None, std: Sequence[float] | None) -> Config:
    """Return a configuration whose missing ``data.mean`` and ``data.std`` have the given values."""
    found = {"mean": mean if config.data.mean is None else config.data.mean}
    found["std"] = std if config.data.std is None else config.data.std
    return config.model_copy(update={"data": config.data.model_copy(update=found)})
