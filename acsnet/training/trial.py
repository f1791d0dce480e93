"""A trial step: the configured network takes a batch of noise, forward and backward, before anything is written."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from acsnet.config import Config
from acsnet.data import Sample
from acsnet.errors import ConfigError

# A step on fewer pixels fits into the memory of every computer, about 4 GB.
_MAX_SMALL_PIXELS = 1 << 20


def trial_batch(config: Config, processes: int, device: torch.device) -> Sample:
    """Return a batch of noise with the types and the shapes of one process's share of a training batch.

    On a CPU, a small batch is two images only: a whole step takes seconds there, and what else a network refuses, it
    refuses for two images as for more. A compiled step would be compiled twice.
    """
    images, size = config.training.batch_size // processes, config.data.image_size
    is_small = images * size[0] * size[1] <= _MAX_SMALL_PIXELS
    if device.type == "cpu" and is_small and not config.training.compile:
        images = min(images, 2)
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
