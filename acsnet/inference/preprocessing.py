"""Preparation of networks and images for inference."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acsnet.checkpoints import CheckpointMetadata
from acsnet.data.framing import Frame, Framing
from acsnet.data.images import to_network_input
from acsnet.errors import InputError


def prepare_for_inference(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Set a network to evaluation mode and to the channels-last memory format, and convert its weights.

    For a 16-bit type, the weights of convolutions and linear layers are converted, and the network has to run under
    ``torch.autocast`` of that type, which would otherwise convert them for each batch. Weights and running averages of
    normalizations stay as they are: autocast computes normalizations in float32.

    Args:
        model: the network, changed in place.
        dtype: the type of the weights.

    Returns:
        The same network.
    """
    model = model.eval().to(memory_format=torch.channels_last)
    if dtype.itemsize < 4:
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data = parameter.data.to(dtype)
    return model


def matching_autocast(model: nn.Module) -> AbstractContextManager[object]:
    """Return the context in which a network of :func:`prepare_for_inference` has to run.

    It is autocast of the 16-bit type of the network's weights, or a context without effect if there are none.
    """
    for parameter in model.parameters():
        if parameter.dtype in (torch.bfloat16, torch.float16):
            return torch.autocast(parameter.device.type, dtype=parameter.dtype)
    return nullcontext()


def frame_images(images: Sequence[npt.NDArray[np.uint8]], metadata: CheckpointMetadata) -> list[Frame]:
    """Return the mapping between each image and the input of a network.

    Args:
        images: RGB images, (H, W, 3) uint8 each, of any sizes.
        metadata: metadata of the network: input size and framing.

    Raises:
        InputError: if there are no images, or if one is not an RGB array of uint8.
    """
    _check_arrays(images)
    framing = Framing.of(metadata)
    return [framing.frame(image, metadata.input_size) for image in images]


def _check_arrays(images: Any) -> None:
    """Check images that may come from other code, where floats and 16 bits are usual."""
    if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[-1] == 3:
        raise InputError(f"the images are one array of shape {images.shape}: put a single image into a list")
    if not isinstance(images, Sequence | np.ndarray):
        raise InputError(f"the images are of type {type(images).__name__}: expected a list of RGB arrays (H, W, 3)")
    if not len(images):
        raise InputError("there are no images: expected at least one RGB array (H, W, 3) of uint8")
    for index, image in enumerate(images):
        if isinstance(image, np.ma.MaskedArray):
            raise InputError(f"image {index} is a masked array: fill what is masked by image.filled(0)")
        is_image = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.size
        if not is_image or image.shape[2] != 3:
            kind, shape = getattr(image, "dtype", type(image).__name__), getattr(image, "shape", None)
            raise InputError(
                f"image {index} is {kind} of shape {shape}: expected a non-empty RGB array (H, W, 3) of uint8; "
                "acsnet.data.as_rgb converts images of other kinds"
            )


def prepare_images(
    images: Sequence[npt.NDArray[np.uint8]],
    metadata: CheckpointMetadata,
    device: torch.device | str,
    size: tuple[int, int] | None = None,
    frames: Sequence[Frame] | None = None,
) -> torch.Tensor:
    """Crop, resize, convert and normalize images as in the training of a network.

    Args:
        images: RGB images, (H, W, 3) uint8 each, of any sizes.
        metadata: metadata of the network: input size, framing, channels and normalization.
        device: device of the result.
        size: (height, width) in pixels, by default the input size of the metadata.
        frames: frame of each image, by default from :func:`frame_images`.

    Returns:
        (B, C, height, width) float32, channels last in memory.
    """
    frames = frame_images(images, metadata) if frames is None else frames
    sized = frames if size is None else [frame.at_size(size) for frame in frames]
    resized = [frame.image_to_input(image, metadata.in_channels) for frame, image in zip(sized, images, strict=True)]
    return to_network_input(torch.from_numpy(np.stack(resized)).to(device), metadata.mean, metadata.std)
