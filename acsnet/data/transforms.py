"""Augmentation pipelines of albumentations and this package's transforms, built from the configuration."""

import os
import random
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from acsnet._utils.extras import explain_missing
from acsnet._utils.naming import look_up
from acsnet.config import TransformConfig
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import albumentations

# A transform that is applied at random may show its faults only after several trials.
_TRIALS = 16


class Augmentation:
    """An augmentation pipeline for an image and its mask; the same seed gives the same result.

    Args:
        transforms: Names and arguments of transforms of albumentations, :mod:`acsnet.data.ultrasound_transforms` or
            :mod:`acsnet.data.screen_transforms`. Transforms that contain others (``OneOf``, ``SomeOf``,
            ``Sequential``) take a list of the same form as ``transforms``.
        size: (height, width) of the images; the pipeline must not change it.
        channels: Number of channels of the images; some transforms accept color images only.

    Raises:
        ConfigError: If a transform or argument is unknown, a value is out of range, or the pipeline fails or changes
            the size, channels or type of an image.

    Example:
        >>> import numpy as np
        >>> from acsnet.config import TransformConfig
        >>> from acsnet.data import Augmentation
        >>> flip = TransformConfig.model_validate({"name": "HorizontalFlip", "p": 1.0})
        >>> augmentation = Augmentation([flip], size=(2, 3))
        >>> image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
        >>> mask = np.array([[True, False, False], [False, False, False]])
        >>> flipped_image, flipped_mask = augmentation(image, mask, seed=0)
        >>> bool((flipped_image == image[:, ::-1]).all()), flipped_mask[0].tolist()
        (True, [False, False, True])
    """

    def __init__(self, transforms: Sequence[TransformConfig], size: tuple[int, int], channels: int = 3) -> None:
        library = _import_albumentations()
        known = _known_transforms(library)
        built = [
            _build(known, transform.name, transform.arguments, f"augmentation.{index}")
            for index, transform in enumerate(transforms)
        ]
        self._compose = library.Compose(built)
        self._try(np.zeros((*size, channels), np.uint8), np.zeros(size, np.bool_))

    def __call__(self, image: UInt8Array, mask: BoolArray, seed: int) -> tuple[UInt8Array, BoolArray]:
        """Return the augmented image and mask.

        Args:
            image: (H, W, C) uint8.
            mask: (H, W) bool.
            seed: Seed of the random numbers.

        Raises:
            ConfigError: If the size, channels or type of the image change.
        """
        # Not set_random_seed, which starts every transform with the same numbers: one draw would decide about all of
        # them, and weak and strong values would come together.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result = self._compose(image=image, mask=mask.view(np.uint8))
        changed = result["image"]
        _check_type(changed)
        changed = changed.reshape(*changed.shape[:2], -1)
        _check_shape(image.shape, changed.shape)
        return changed, result["mask"].astype(np.bool_)

    def _try(self, image: UInt8Array, mask: BoolArray) -> None:
        try:
            for seed in range(_TRIALS):
                self(image, mask, seed)
        except ConfigError:
            raise
        except Exception as error:
            # Transforms raise errors of any type: each has its own requirements on size, channels and arguments.
            height, width, channels = image.shape
            raise ConfigError(
                f"augmentation cannot be applied to images of {height}x{width} with {channels} channels: "
                f"{type(error).__name__}: {_one_line(error)}"
            ) from error


def _check_type(image: object) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise ConfigError(
            f"augmentation turns uint8 pixels into {kind}: remove Normalize, ToFloat and the like, since images are "
            "normalized by data.mean and data.std afterwards"
        )


def _check_shape(before: Sequence[int], after: Sequence[int]) -> None:
    if after[:2] != before[:2]:
        raise ConfigError(
            f"augmentation changes the size from {before[0]}x{before[1]} to {after[0]}x{after[1]} (height x width): "
            "end it with a transform that restores the size, such as Resize"
        )
    if after[2] != before[2]:
        raise ConfigError(
            f"augmentation changes the number of channels from {before[2]} to {after[2]}: remove transforms that "
            "change it, or set model.in_channels"
        )


def _import_albumentations() -> Any:
    # Without this variable, albumentations asks the network for updates when it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    with explain_missing("augmentation"):
        import albumentations

    return albumentations


def _known_transforms(library: Any) -> dict[str, Any]:
    # This import loads albumentations.
    from acsnet.data import screen_transforms, ultrasound_transforms

    base = (library.BasicTransform, library.BaseCompose)
    theirs = {key: value for key, value in vars(library).items() if isinstance(value, type) and issubclass(value, base)}
    return theirs | ultrasound_transforms.TRANSFORMS | screen_transforms.TRANSFORMS


def _build(
    known: Mapping[str, Any], name: str, arguments: Mapping[str, Any], where: str
) -> "albumentations.BasicTransform":
    try:
        transform = look_up(
            "transform",
            name,
            known,
            "see albumentations' list of transforms, and acsnet.data.ultrasound_transforms and screen_transforms",
        )
    except UnknownNameError as error:
        raise ConfigError(f"{where}.name: {error}") from error
    _check_probability(arguments, where)
    inner = {
        key: _build_inner(known, value, f"{where}.{key}") for key, value in arguments.items() if key == "transforms"
    }
    try:
        with warnings.catch_warnings():
            # albumentations only warns about unknown arguments. Its other warnings are advice.
            warnings.simplefilter("ignore", UserWarning)
            warnings.filterwarnings("error", message=r".* not valid for transform", category=UserWarning)
            return transform(**{**arguments, **inner})
    except (UserWarning, TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"{where} ({name}): {_one_line(error)}") from error


def _build_inner(known: Mapping[str, Any], items: object, where: str) -> list[Any]:
    if not isinstance(items, list | tuple) or not items or not all(isinstance(item, Mapping) for item in items):
        raise ConfigError(f"{where} is {items!r}: expected a list of transforms, as in [{{name: HorizontalFlip}}]")
    return [
        _build(known, item.get("name", ""), {k: v for k, v in item.items() if k != "name"}, f"{where}.{index}")
        for index, item in enumerate(items)
    ]


def _check_probability(arguments: Mapping[str, Any], where: str) -> None:
    # OneOf, SomeOf and Sequential take any number.
    p = arguments.get("p", 1.0)
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ConfigError(f"{where}.p is {p!r}: expected a probability between 0 and 1")


def _one_line(error: BaseException) -> str:
    # albumentations passes on pydantic's messages: drop their remarks on pydantic's types.
    lines = [re.sub(r" \[type=.*", "", line) for line in str(error).splitlines()]
    text = " ".join(" ".join(line for line in lines if "errors.pydantic.dev" not in line).split())
    return text or type(error).__name__
