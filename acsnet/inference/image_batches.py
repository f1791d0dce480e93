"""The images that a caller gives to a predictor: one, or several."""

import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from acsnet.data.conversion import AnyImage
from acsnet.errors import DataError, InputError
from acsnet.inference.input_files import find_images

#: Several images: a folder, an iterable of images, an array (N, H, W, C) or a tensor (N, C, H, W).
Images: TypeAlias = str | os.PathLike[str] | Iterable[AnyImage] | npt.NDArray[Any] | torch.Tensor


def iterate_images(images: Images) -> Iterable[AnyImage]:
    """Return several images as an iterable of single ones.

    Raises:
        DataError: if there is no such folder, or it has no images.
        InputError: if a single image or an object of another kind was given.
    """
    if isinstance(images, str | os.PathLike):
        return _in_folder(Path(os.fsdecode(images)))
    if isinstance(images, Image.Image):
        raise _single("one Pillow image")
    if isinstance(images, np.ndarray | torch.Tensor):
        if images.ndim != 4:
            kind, shape = ("array", "(N, H, W, C)") if isinstance(images, np.ndarray) else ("tensor", "(N, C, H, W)")
            raise _single(f"one {kind} of shape {tuple(images.shape)}, several are {shape} with 1, 3 or 4 channels C")
        return images
    if isinstance(images, bytes | bytearray | Mapping | Set) or not isinstance(images, Iterable):
        raise InputError(f"the images are of type {type(images).__name__}: expected a folder or a list of images")
    return images


def _in_folder(folder: Path) -> list[AnyImage]:
    # pathlib fails on names that no file can have.
    if os.path.isdir(folder):
        return [file for file, _ in find_images([folder])]
    if not os.path.lexists(folder):
        raise DataError(f"there is no folder {folder}")
    raise _single(f"the file {folder}")


def _single(image: str) -> InputError:
    return InputError(f"the images are {image}: put a single image into a list, or call the predictor with it")


def check_single(image: object) -> None:
    """Check that an image is not a folder or several images.

    Raises:
        InputError: if it is.
    """
    several = None
    if isinstance(image, str | os.PathLike) and os.path.isdir(os.fsdecode(image)):
        several = f"the folder {os.fsdecode(image)}"
    elif isinstance(image, list | tuple):
        several = f"a {type(image).__name__}"
    elif isinstance(image, np.ndarray | torch.Tensor) and image.ndim == 4:
        several = f"a batch of shape {tuple(image.shape)}"
    if several is not None:
        raise InputError(f"the image is {several}: Predictor.predict takes several images, and returns a list")


def path_of(image: AnyImage) -> Path | None:
    """Return the path of an image that is given by path, or None."""
    return Path(os.fsdecode(image)) if isinstance(image, str | os.PathLike) else None
