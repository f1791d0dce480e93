"""Test-time augmentation: flips and scales of the input, and the mean of the predictions for them.

Source: Wang, Li, Aertsen, Deprest, Ourselin, Vercauteren 2019, Neurocomputing 338.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch.nn import functional

from acsnet.config import TestTimeAugmentationConfig
from acsnet.data.framing import Frame
from acsnet.data.scan_region import Box
from acsnet.models._base import MultiTaskOutput, nearest_size

Forward = Callable[[torch.Tensor], MultiTaskOutput]

_WIDTH_DIM, _HEIGHT_DIM = -1, -2


@dataclass(frozen=True)
class TTATransform:
    """One combination of a scale and flips.

    Attributes:
        size: (height, width) in pixels to which the image is resized.
        flip_dims: dimensions of (B, C, H, W) along which the image is flipped.
    """

    size: tuple[int, int]
    flip_dims: tuple[int, ...] = ()


def list_tta_transforms(
    settings: TestTimeAugmentationConfig, size: tuple[int, int], divisor: int
) -> tuple[TTATransform, ...]:
    """List all combinations of the configured scales and flips, the ones without flips first for each scale.

    Args:
        settings: flips and scales; by default there is one transform, which changes nothing.
        size: (height, width) of the network's input in pixels.
        divisor: scaled heights and widths are rounded to multiples of it; scales with equal results are merged.

    Example:
        >>> from acsnet.config import TestTimeAugmentationConfig
        >>> from acsnet.inference.tta import list_tta_transforms
        >>> for transform in list_tta_transforms(TestTimeAugmentationConfig(horizontal_flip=True), (64, 96), 32):
        ...     print(transform)
        TTATransform(size=(64, 96), flip_dims=())
        TTATransform(size=(64, 96), flip_dims=(-1,))
    """
    height, width = size
    sizes = dict.fromkeys(
        size if scale == 1 else nearest_size(scale * height, scale * width, divisor) for scale in settings.scales
    )
    horizontal = ((), (_WIDTH_DIM,)) if settings.horizontal_flip else ((),)
    vertical = ((), (_HEIGHT_DIM,)) if settings.vertical_flip else ((),)
    return tuple(TTATransform(one, first + second) for one, first, second in product(sizes, vertical, horizontal))


def augment(transform: TTATransform, images: torch.Tensor) -> torch.Tensor:
    """Flip images (B, C, H, W), which already have the size of the transform."""
    return images.flip(transform.flip_dims) if transform.flip_dims else images


def deaugment(
    transform: TTATransform, mask: torch.Tensor, size: tuple[int, int], frames: Sequence[Frame] = ()
) -> torch.Tensor:
    """Undo a transform of a mask (B, 1, h, w): flip it back and resize it to (height, width).

    Args:
        transform: the transform.
        mask: probabilities in 0..1.
        size: (height, width) of the result.
        frames: frame of each image at ``size``. Where it is padded, the place of the image in the input of the
            transform is resized to that at ``size``, since the rounded places are not in proportion.

    Returns:
        Probabilities (B, 1, height, width) in 0..1.
    """
    mask = augment(transform, mask)
    if transform.size == size:
        return mask
    if any(frame.is_padded for frame in frames):
        pairs = zip(mask.split(1), frames, strict=True)
        return torch.cat([_move(one, frame.at_size(transform.size).place, frame.place, size) for one, frame in pairs])
    return _interpolate(mask, size)


def _move(mask: torch.Tensor, source: Box, target: Box, size: tuple[int, int]) -> torch.Tensor:
    """Resize a box of a mask (1, 1, h, w) to another box of an otherwise empty mask (1, 1, height, width)."""
    moved = mask.new_zeros((1, 1, *size))
    moved[..., target.slices[0], target.slices[1]] = _interpolate(
        mask[..., source.slices[0], source.slices[1]], target[2:]
    )
    return moved


def _interpolate(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    resized = functional.interpolate(mask, size=size, mode="bilinear", align_corners=False, antialias=True)
    # Rounding errors of the interpolation can leave the range.
    return resized.clamp(0, 1)


def mean_probabilities(
    networks: Sequence[Forward],
    transforms: Sequence[TTATransform],
    images_by_size: Mapping[tuple[int, int], torch.Tensor],
    size: tuple[int, int],
    frames: Sequence[Frame] = (),
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Average the probabilities (not the logits) of networks over all transforms of the images.

    Args:
        networks: networks of the same tasks and classes.
        transforms: at least one.
        images_by_size: normalized images (B, C, height, width) for the size of each transform.
        size: (height, width) of the masks.
        frames: frame of each image at ``size``, needed if images are padded.

    Returns:
        Mask probabilities (B, 1, height, width) and class probabilities (B, K), None for a missing task.
    """
    masks, labels = [], []
    for transform in transforms:
        images = augment(transform, images_by_size[transform.size])
        for network in networks:
            mask, label, _ = network(images)
            if mask is not None:
                masks.append(deaugment(transform, mask.float().sigmoid(), size, frames))
            if label is not None:
                labels.append(label.float().softmax(1))
    return _mean(masks), _mean(labels)


def _mean(values: Sequence[torch.Tensor]) -> torch.Tensor | None:
    if not values:
        return None
    # The mean of the differences from the first is exact if all are equal, without a wider type, which some devices
    # lack.
    first = values[0]
    return first if len(values) == 1 else first + sum(value - first for value in values[1:]) / len(values)
