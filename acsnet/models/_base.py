"""The contract of every network of the zoo."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.models._hub import HubModel
from acsnet.models._registry import check_contract


class MultiTaskOutput(NamedTuple):
    """What every network returns.

    Attributes:
        mask: mask logits (B, 1, H, W) at the size of the input, or None without the segmentation task.
        label: class logits (B, K), or None without the classification task.
        aux: further mask logits for deep supervision, finest first; often empty.
    """

    mask: torch.Tensor | None
    label: torch.Tensor | None
    aux: tuple[torch.Tensor, ...] = ()


class MultiTaskModel(HubModel, nn.Module, ABC):
    """Base of the networks: checks the input, then calls :meth:`forward_tasks`.

    Args:
        num_classes: K.
        in_channels: channels of the input.
        tasks: which of ``"segmentation"`` and ``"classification"`` are built.

    Attributes:
        divisor: heights and widths have to be multiples of it.

    Raises:
        InputError, UnknownNameError: see :func:`acsnet.models._registry.check_contract`.
    """

    divisor = 32

    def __init__(self, num_classes: int, in_channels: int, tasks: Sequence[str]) -> None:
        super().__init__()
        check_contract(num_classes, in_channels, tasks)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.tasks = tuple(tasks)

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """(B, in_channels, H, W), floating -> :class:`MultiTaskOutput`.

        Raises:
            InputError: for another rank, dtype, number of channels or a size the network cannot take; not checked
                while compiling, exporting or tracing, where sizes are symbols.
        """
        if not _is_traced(images):
            check_images(images, self.in_channels, self.divisor)
        return self.forward_tasks(images)

    @abstractmethod
    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """The network itself, on input that has been checked."""


def _is_traced(images: object) -> bool:
    return torch.compiler.is_compiling() or isinstance(images, torch.fx.Proxy)


def check_images(images: torch.Tensor, in_channels: int, divisor: int) -> None:
    """Check a batch of images at the door.

    Raises:
        InputError: saying what was received, what is needed and, for a size, which valid one is nearest.
    """
    if images.ndim != 4:
        raise InputError(f"images have shape {tuple(images.shape)}, needed is (batch, {in_channels}, height, width)")
    if images.shape[1] != in_channels:
        raise InputError(
            f"images have {images.shape[1]} channels, the network was built with in_channels={in_channels}"
        )
    if not images.is_floating_point():
        raise InputError(f"images are {images.dtype}, needed is a floating type: divide by 255 and normalize first")
    check_size(tuple(images.shape[2:]), divisor)


def check_size(size: tuple[int, ...], divisor: int) -> None:
    """Check that height and width are positive multiples of ``divisor``.

    Raises:
        InputError: with the received size, the divisor and the nearest valid size.
    """
    if any(length % divisor or length == 0 for length in size):
        height, width = nearest_size(size[0], size[1], divisor)
        raise InputError(
            f"images are {size[0]}x{size[1]} (height x width), which the network cannot take: both have to be "
            f"multiples of {divisor}; the nearest valid size is {height}x{width}"
        )


def nearest_size(height: float, width: float, divisor: int) -> tuple[int, int]:
    """The positive multiples of ``divisor`` that are nearest to a height and a width."""
    return _nearest(height, divisor), _nearest(width, divisor)


def _nearest(length: float, divisor: int) -> int:
    return max(1, round(length / divisor)) * divisor
