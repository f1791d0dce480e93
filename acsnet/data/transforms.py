"""Augmentation: albumentations pipelines built from the configuration."""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from acsnet.config import TransformConfig
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.errors import ConfigError, UnknownNameError
from acsnet.registry import look_up

if TYPE_CHECKING:
    import albumentations


class Augmentation:
    """A pipeline for an image and its mask, the same for the same seed.

    Args:
        transforms: albumentations transforms by name with their arguments; those that hold others (``OneOf``,
            ``SomeOf``, ``Sequential``) take a list of the same form under ``transforms``.
        size: (height, width) of the images, which the pipeline has to keep.

    Raises:
        ConfigError: for an unknown transform or argument, a value out of range, or a pipeline that changes the size.
    """

    def __init__(self, transforms: Sequence[TransformConfig], size: tuple[int, int]) -> None:
        library = _import_albumentations()
        built = [
            _build(library, transform.name, transform.arguments, f"augmentation.{index}")
            for index, transform in enumerate(transforms)
        ]
        self._compose = library.Compose(built)
        shape = self(np.zeros((*size, 3), np.uint8), np.zeros(size, np.bool_), 0)[0].shape
        if shape[:2] != size:
            raise ConfigError(
                f"augmentation makes {shape[0]}x{shape[1]} of {size[0]}x{size[1]} (height x width): end it with a "
                "transform that restores the size, such as Resize"
            )

    def __call__(self, image: UInt8Array, mask: BoolArray, seed: int) -> tuple[UInt8Array, BoolArray]:
        """Augment (H, W, C) uint8 and (H, W) bool."""
        self._compose.set_random_seed(seed)
        result = self._compose(image=image, mask=mask.view(np.uint8))
        return result["image"].reshape(*result["image"].shape[:2], -1), result["mask"].astype(np.bool_)


def _import_albumentations() -> Any:
    # At import albumentations asks the network for a newer version, unless told otherwise.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


def _build(library: Any, name: str, arguments: Mapping[str, Any], where: str) -> "albumentations.BasicTransform":
    base = (library.BasicTransform, library.BaseCompose)
    known = {key: value for key, value in vars(library).items() if isinstance(value, type) and issubclass(value, base)}
    try:
        transform = look_up("transform", name, known, "see albumentations' list of transforms")
    except UnknownNameError as error:
        raise ConfigError(f"{where}.name: {error}") from error
    inner = {
        key: [
            _build(library, item.get("name", ""), {k: v for k, v in item.items() if k != "name"}, f"{where}.{key}.{i}")
            for i, item in enumerate(value)
        ]
        for key, value in arguments.items()
        if key == "transforms"
    }
    try:
        with warnings.catch_warnings():
            # An argument it does not know is no more than a warning to albumentations.
            warnings.simplefilter("error")
            return transform(**{**arguments, **inner})
    except (UserWarning, TypeError, ValueError) as error:
        raise ConfigError(f"{where} ({name}): {' '.join(str(error).split())}") from error
