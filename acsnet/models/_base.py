"""The base class of the networks, their output, and the checks of their input."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError
from acsnet.labels import TASKS
from acsnet.layers import GlobalAverage, MaskWeightedAverage, NoClassLayer, class_layer
from acsnet.models._contract import check_contract, check_count, check_mask_pooling
from acsnet.models._transfer import LoadedWeights


class MultiTaskOutput(NamedTuple):
    """The output of every network: logits, on which a sigmoid or a softmax gives probabilities.

    Attributes:
        mask: mask logits (B, 1, H, W) at the size of the input, or None without the segmentation task.
        label: class logits (B, K), or None without the classification task. In a network built with
            ``num_classes=0`` it is the features (B, D) that the last layer of the classifier would take.
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
        num_classes: K, the number of classes of the class logits; 0 for the features that the last layer of the
            classifier would take.
        in_channels: number of channels of the input images.
        tasks: tasks to build, ``"segmentation"``, ``"classification"`` or both; the parts of a task that is not listed
            are not built, and its field of the output is None.
        mask_pooling: whether the classifier averages its maps twice: over the image, and weighted by the predicted
            mask; see :class:`acsnet.layers.MaskWeightedAverage`. Its first linear layer then has twice as many inputs.
        mask_pooling_gradient: whether the class loss has a gradient into the mask by these weights.

    Attributes:
        divisor: number of which height and width of the images must be multiples.
        image_size: the only (height, width) that the network takes, or None for any multiples of ``divisor``.
        supports_mask_pooling: whether the network accepts ``mask_pooling``.
        has_mask: whether segmentation is one of the tasks.
        has_label: whether classification is one of the tasks.
        loaded: tensors that :func:`~acsnet.create_model` loaded from its checkpoint; None without one.

    Raises:
        InputError: if ``num_classes`` is below 0 or ``in_channels`` below 1, or if ``tasks`` is not a sequence, is
            empty or repeats a task; if ``mask_pooling`` is true without both tasks or in a network that does not
            support it, or ``mask_pooling_gradient`` is true without it.
        UnknownNameError: for an unknown task, with near matches.
    """

    divisor = 32
    image_size: tuple[int, int] | None = None
    supports_mask_pooling = False
    loaded: LoadedWeights | None = None

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
        if not is_traced(images):
            check_images(images, self.in_channels, self.divisor, self.image_size)
        return self.forward_tasks(images)

    def class_pool(self, *strides: int) -> GlobalAverage:
        """Return the pooling of the classifier for maps of these strides, by the mask if ``mask_pooling`` is true."""
        return MaskWeightedAverage(strides, self.mask_pooling_gradient) if self.mask_pooling else GlobalAverage()

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the deepest maps of the encoder, before any decoder, pooling or classifier.

        Args:
            images: see :meth:`forward`.

        Returns:
            The maps (B, C, H/s, W/s); C and the stride s depend on the network.

        Raises:
            InputError: as in :meth:`forward`, or if the network does not say which maps these are.

        Example:
            >>> import torch
            >>> import acsnet
            >>> model = acsnet.create_model("unet", width=8, depth=3).eval()
            >>> model.forward_features(torch.zeros(2, 3, 64, 96)).shape
            torch.Size([2, 64, 8, 12])
        """
        if not is_traced(images):
            check_images(images, self.in_channels, self.divisor, self.image_size)
        return self.encode(images)[-1]

    def encode(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """Compute the maps of the encoder, finest first: by default those that the module ``encoder`` returns."""
        encoder = getattr(self, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise InputError(
                f"{type(self).__name__} has no module named encoder, so that its features are unknown: define its "
                "method encode(images), which returns maps, finest first"
            )
        return encoder(images)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer of the classifier by a new one with random weights, for other classes.

        All other layers stay as they are. The attribute ``metadata`` of a loaded network, which names the classes, is
        removed.

        Args:
            num_classes: K, the number of classes, or 0 for the features that the last layer would take.

        Raises:
            InputError: if the number is below 0, the network was built without classification, or its module
                ``cls_head`` does not end in a linear layer.

        Example:
            >>> import torch
            >>> import acsnet
            >>> model = acsnet.create_model("unet", width=4, depth=2).eval()
            >>> model.reset_classifier(2)
            >>> model(torch.zeros(1, 3, 32, 32)).label.shape, model.num_classes
            (torch.Size([1, 2]), 2)
            >>> model.reset_classifier(0)
            >>> model(torch.zeros(1, 3, 32, 32)).label.shape
            torch.Size([1, 32])
        """
        self._check_reset(num_classes)
        parent, name, module = self, "cls_head", getattr(self, "cls_head", None)
        while module is not None and not isinstance(module, nn.Linear | NoClassLayer):
            children = list(module.named_children())
            parent = module
            name, module = children[-1] if children else ("", None)
        if module is None:
            raise InputError(
                f"{type(self).__name__} has no module cls_head that ends in a linear layer: define its method "
                "reset_classifier(num_classes)"
            )
        like = next(self.parameters())
        layer = class_layer(module.in_features, num_classes).to(device=like.device, dtype=like.dtype)
        parent.register_module(name, layer.train(module.training))
        self._forget_classes(num_classes)

    def _check_reset(self, num_classes: int) -> None:
        check_count("num_classes", num_classes, least=0)
        if not self.has_label:
            raise InputError(
                f"{type(self).__name__} was built without classification and has no classifier to reset: build it with "
                "both tasks, or with tasks=['classification']"
            )

    def _forget_classes(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.__dict__.pop("metadata", None)

    @abstractmethod
    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Compute the logits of images that have been checked."""


def check_images(
    images: torch.Tensor, in_channels: int, divisor: int, only_size: tuple[int, int] | None = None
) -> None:
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
    check_size(tuple(images.shape[2:]), divisor, only_size)


def check_network_size(size: tuple[int, int], network: nn.Module) -> None:
    """Check that a network takes images of a (height, width).

    Raises:
        InputError: see :func:`check_size`.
    """
    check_size(size, getattr(network, "divisor", 1), getattr(network, "image_size", None))


def check_size(size: tuple[int, ...], divisor: int, only_size: tuple[int, int] | None = None) -> None:
    """Check that height and width are positive multiples of ``divisor``, or those of the only valid size.

    Raises:
        InputError: with the received size, the divisor and the nearest valid size, or the only valid one.
    """
    if only_size is not None and size != only_size:
        raise InputError(
            f"images are {size[0]}x{size[1]} (height x width), but the network was built for "
            f"{only_size[0]}x{only_size[1]}: resize them, or build it with image_size={list(size)}"
        )
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
