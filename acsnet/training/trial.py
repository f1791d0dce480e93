"""A trial step: the configured network takes the configured batch, forward and backward, before anything is written."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from acsnet.config import Config
from acsnet.data import Sample
from acsnet.errors import ConfigError


def trial_batch(config: Config, processes: int, device: torch.device) -> Sample:
    """Return a batch of noise with the shapes and types of one process's share of a training batch."""
    images, size = config.training.batch_size // processes, config.data.image_size
    noise = torch.randint(0, 256, (images, *size, config.model.in_channels), dtype=torch.uint8)
    return Sample(
        image=noise.to(device),
        mask=(noise[..., 0] > 127)[:, None].to(device),
        label=(torch.arange(images) % len(config.data.classes)).to(device),
    )


@contextmanager
def trial(network: nn.Module, config: Config) -> Iterator[None]:
    """Undo the effects of a step on the buffers of a network, and explain its failure in one line.

    Args:
        network: the network; batch normalization changes its running statistics in a step.
        config: the configuration, for the message.

    Raises:
        ConfigError: if the step fails for any reason.
    """
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        yield
    # torch raises RuntimeError, ValueError, TypeError, IndexError and AssertionError for shapes that do not fit.
    except Exception as error:
        height, width = config.data.image_size
        place = f"{config.training.batch_size} images of {height}x{width}"
        if isinstance(error, torch.OutOfMemoryError):
            raise ConfigError(
                f"a training step of {config.model.name} with {place} does not fit into memory: lower "
                "training.batch_size or data.image_size"
            ) from error
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"{config.model.name} cannot be trained with {place}: {first_line}; change data.image_size, "
            "training.batch_size or model.arguments"
        ) from error
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
