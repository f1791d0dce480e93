"""The base class of the networks, their output, and the checks of their input."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.labels import TASKS
from acsnet.layers import GlobalAverage, MaskWeightedAverage
from acsnet.models._contract import check_contract, check_mask_pooling


class MultiTaskOutput(NamedTuple):
    """The output of every network: logits, on which a sigmoid or a softmax gives probabilities.

    Attributes:
        mask: mask logits (B, 1, H, W) at the size of the input, or None without the segmentation task.
        label: class logits (B, K), or None without the classification task.
        aux: further mask logits for deep supervision, finest first; often empty.

    Example:
        >>> import torch
        >>> import acsnet
        >>> model = acsnet.create_model("unet", tasks=["classification"], width=8).eval()
        >>> output = model(torch.zeros(2, 3, 32, 32))
        >>> output.label.shape, output.mask, output.aux
        (torch.Size([2, 3]), None, ())
    """

    mask: torch.Tensor | None
    label: torch.Tensor | None
    aux: tuple[torch.Tensor, ...] = ()


class MultiTaskModel(nn.Module, ABC):
    """Base class of the networks: checks the input, then calls :meth:`forward_tasks`.

    A subclass accepts the arguments below as ``**contract`` and passes them on, so that they are documented only here;
    see :class:`~acsnet.models.Contract`.

    Args:
        num_classes: K, the number of classes of the class logits.
        in_channels: number of channels of the input images.
        tasks: tasks to build, ``"segmentation"``, ``"classification"`` or both; the parts of a task that is not listed
            are not built, and its field of the output is None.
        mask_pooling: whether the classifier averages its maps twice: over the image, and weighted by the predicted
            mask; see :class:`acsnet.layers.MaskWeightedAverage`. Its first linear layer then has twice as many inputs.
        mask_pooling_gradient: whether the class loss has a gradient into the mask by these weights.

    Attributes:
        divisor: number of which height and width of the images must be multiples.
        supports_mask_pooling: whether the network accepts ``mask_pooling``.
        has_mask: whether segmentation is one of the tasks.
        has_label: whether classification is one of the tasks.

    Raises:
        InputError: if ``num_classes`` or ``in_channels`` is below 1, or if ``tasks`` is not a sequence, is empty or
            repeats a task; if ``mask_pooling`` is true without both tasks or in a network that does not support it, or
            ``mask_pooling_gradient`` is true without it.
        UnknownNameError: for an unknown task, with near matches.
    """

    divisor = 32
    supports_mask_pooling = False

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        tasks: Sequence[str] = TASKS,
        mask_pooling: bool = False,
        mask_pooling_gradient: bool = False,
    ) -> None:
        super().__init__()
        check_contract(num_classes, in_channels, tasks)
        check_mask_pooling(type(self).__name__, self.supports_mask_pooling, tasks, mask_pooling, mask_pooling_gradient)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.tasks = tuple(tasks)
        self.has_mask = "segmentation" in tasks
        self.has_label = "classification" in tasks
        self.mask_pooling = mask_pooling
        self.mask_pooling_gradient = mask_pooling_gradient

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """Compute the logits of a batch of images.

        Args:
            images: floating-point tensor (B, in_channels, H, W), H and W multiples of ``divisor``.

        Raises:
            InputError: if rank, dtype, number of channels or size of the images is not valid. This is not checked
                during compilation, export and tracing, where sizes are symbols.
        """
        if not _is_traced(images):
            check_images(images, self.in_channels, self.divisor)
        return self.forward_tasks(images)

    def class_pool(self, *strides: int) -> GlobalAverage:
        """Return the pooling of the classifier for maps of these strides, by the mask if ``mask_pooling`` is true."""
        return MaskWeightedAverage(strides, self.mask_pooling_gradient) if self.mask_pooling else GlobalAverage()

    @abstractmethod
    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Compute the logits of images that have been checked."""


def _is_traced(images: object) -> bool:
    return torch.compiler.is_compiling() or isinstance(images, torch.fx.Proxy)


def check_images(images: torch.Tensor, in_channels: int, divisor: int) -> None:
    """Check a batch of images before it enters a network.

    Raises:
        InputError: with the received and the expected shape, dtype, number of channels or size.
    """
    if images.ndim != 4:
        raise InputError(f"images have shape {tuple(images.shape)}: expected (batch, {in_channels}, height, width)")
    if images.shape[1] != in_channels:
        raise InputError(
            f"images have {images.shape[1]} channels, but the network was built with in_channels={in_channels}"
        )
    if not images.is_floating_point():
        raise InputError(
            f"expected images of a floating-point type, got {images.dtype}: divide by 255 and normalize first"
        )
    check_size(tuple(images.shape[2:]), divisor)


def check_size(size: tuple[int, ...], divisor: int) -> None:
    """Check that height and width are positive multiples of ``divisor``.

    Raises:
        InputError: with the received size, the divisor and the nearest valid size.
    """
    if any(length % divisor or length == 0 for length in size):
        height, width = nearest_size(size[0], size[1], divisor)
        raise InputError(
            f"images are {size[0]}x{size[1]} (height x width), but the network needs multiples of {divisor}; "
            f"the nearest valid size is {height}x{width}"
        )


def nearest_size(height: float, width: float, divisor: int) -> tuple[int, int]:
    """Return the positive multiples of ``divisor`` that are nearest to a height and a width."""
    return _nearest_multiple(height, divisor), _nearest_multiple(width, divisor)


def _nearest_multiple(length: float, divisor: int) -> int:
    return max(1, round(length / divisor)) * divisor
