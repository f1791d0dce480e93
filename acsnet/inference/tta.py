"""Test-time augmentation: the views of an image that a network is shown, and the mean of what it says of them.

Source: Wang, Li, Aertsen, Deprest, Ourselin, Vercauteren 2019, Neurocomputing 338.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F

from acsnet.config import TestTimeAugmentationConfig
from acsnet.models._base import MultiTaskOutput, nearest_size

Forward = Callable[[torch.Tensor], MultiTaskOutput]

_WIDTH, _HEIGHT = -1, -2


@dataclass(frozen=True)
class View:
    """One way in which an image is shown to a network.

    Attributes:
        size: (height, width) that it is resized to.
        flipped: the dimensions of (B, C, H, W) along which it is mirrored.
    """

    size: tuple[int, int]
    flipped: tuple[int, ...] = ()


def list_views(settings: TestTimeAugmentationConfig, size: tuple[int, int], divisor: int) -> tuple[View, ...]:
    """List every combination of the configured scales and flips, the image as it is first where it is among them.

    Args:
        settings: which flips and scales; with none of them there is one view.
        size: (height, width) of the network's input.
        divisor: heights and widths are rounded to multiples of it; scales that come to the same size are one.
    """
    height, width = size
    sizes = dict.fromkeys(
        size if scale == 1 else nearest_size(scale * height, scale * width, divisor) for scale in settings.scales
    )
    horizontal = ((), (_WIDTH,)) if settings.horizontal_flip else ((),)
    vertical = ((), (_HEIGHT,)) if settings.vertical_flip else ((),)
    return tuple(View(one, first + second) for one, first, second in product(sizes, vertical, horizontal))


def show(view: View, images: torch.Tensor) -> torch.Tensor:
    """Mirror images (B, C, H, W), which have the view's size already, as the view does."""
    return images.flip(view.flipped) if view.flipped else images


def bring_back(view: View, mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring a mask (B, 1, h, w) of a view back to the image as it was: mirrored again, and resized to (height, width).

    Values lie in 0..1, and stay there.
    """
    mask = show(view, mask)
    if view.size == size:
        return mask
    resized = F.interpolate(mask, size=size, mode="bilinear", align_corners=False, antialias=True)
    # Rounding may have left a value a little outside.
    return resized.clamp(0, 1)


def mean_probabilities(
    networks: Sequence[Forward],
    views: Sequence[View],
    inputs: Mapping[tuple[int, int], torch.Tensor],
    size: tuple[int, int],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Average what networks say of the views of images: probabilities, not logits.

    Args:
        networks: of the same tasks and classes.
        views: at least one.
        inputs: for each view's size, normalized images (B, C, height, width).
        size: (height, width) of the masks.

    Returns:
        Mask probabilities (B, 1, height, width) and class probabilities (B, K), None for a task that is left out.
    """
    masks, labels = [], []
    for view in views:
        images = show(view, inputs[view.size])
        for network in networks:
            mask, label, _ = network(images)
            if mask is not None:
                masks.append(bring_back(view, mask.float().sigmoid(), size))
            if label is not None:
                labels.append(label.float().softmax(1))
    return _mean(masks), _mean(labels)


def _mean(values: Sequence[torch.Tensor]) -> torch.Tensor | None:
    if not values:
        return None
    # The mean of the differences from the first: exact where all agree, without a wider type that not every device has.
    first = values[0]
    return first if len(values) == 1 else first + sum(value - first for value in values[1:]) / len(values)
