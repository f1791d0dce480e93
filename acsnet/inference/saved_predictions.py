"""Saved predictions of a test: one mask and one probability map per image, in the folder of the results."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acsnet._utils.file_kinds import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from acsnet._utils.files import write_png
from acsnet.data import Record
from acsnet.data.frame_paths import split_frame_name
from acsnet.errors import DataError
from acsnet.inference.decision import Prediction

# Most file systems allow 255 bytes; the suffix of the results is added.
_MAX_NAME_BYTES = 255 - len(".png")
_HASH_DIGITS = 12


def mask_path(folder: str | Path, dataset: str, image: str) -> Path:
    """Return the path of the final mask of an image: a gray PNG at the size of the image, values 0 and 255.

    Args:
        folder: folder with the results of the test.
        dataset: dataset of the record.
        image: name of the image, as in ``cases.csv``.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.inference import mask_path
        >>> mask_path(Path("results"), "busi", "benign/benign (1).png").as_posix()
        'results/masks/busi/benign/benign (1).png'
    """
    folder = Path(folder)
    return _path(folder / "masks", dataset, image)


def probability_path(folder: str | Path, dataset: str, image: str) -> Path:
    """Return the path of the mask probability of an image, times 255 and rounded; otherwise like :func:`mask_path`."""
    folder = Path(folder)
    return _path(folder / "probabilities", dataset, image)


def result_name(image: Path, frame: int | None = None) -> Path:
    """Return the name of an image's results: without the suffix of its format, with the frame if there is one.

    Other dots are part of the name, as in "1.2.840.10008". A name that is too long for a file system once the suffix of
    the results is added is cut, and ends in a hash.

    Args:
        image: name of the image; that of a DICOM or TIFF file or a video may end in the frame, as in "cine.dcm#3".
        frame: the frame, if the name does not have it.
    """
    file, named = split_frame_name(image)
    name = file.with_suffix("") if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES else file
    number = named if frame is None else frame
    return name.with_name(_shorten(name.name if number is None else f"{name.name}_{number}"))


def _shorten(name: str) -> str:
    """Return a name to which file systems let the suffix of a result be added: a long one ends in a hash."""
    if len(os.fsencode(name)) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:_HASH_DIGITS]
    start = os.fsencode(name)[: _MAX_NAME_BYTES - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{start}-{digest}"


def check_unique_names(records: Sequence[Record]) -> None:
    """Check that the saved predictions of all records have different paths.

    Raises:
        DataError: if two records would have the same path; the message names the first two.
    """
    names: dict[Path, str] = {}
    for record in records:
        path = mask_path(Path(), record.dataset, record.name)
        if names.setdefault(path, record.name) != record.name:
            raise DataError(
                f"{names[path]} and {record.name} of {record.dataset} would both be saved as {path}: rename one, or "
                "test without saving predictions"
            )


def save_prediction(folder: Path, record: Record, prediction: Prediction) -> None:
    """Write the mask and the mask probability of an image; nothing for a network without masks.

    Raises:
        DiskFullError: if the disk is full.
    """
    if prediction.mask is None or prediction.mask_probability is None:
        return
    write_png(mask_path(folder, record.dataset, record.name), prediction.mask.astype(np.uint8) * np.uint8(255))
    gray = np.rint(prediction.mask_probability * 255).astype(np.uint8)
    write_png(probability_path(folder, record.dataset, record.name), gray)


def _path(folder: Path, dataset: str, image: str) -> Path:
    name = _make_relative(dataset) / _make_relative(str(result_name(Path(image))))
    return folder / name.with_name(f"{name.name}.png")


def _make_relative(name: str) -> Path:
    """Return a name as a path that stays within its folder: tables may name images by any path."""
    path = Path(name)
    return Path(*(part for part in path.parts if part not in (path.anchor, "..")))
