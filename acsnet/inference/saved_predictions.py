"""Where the predictions of a test are kept: a mask and a probability map an image, below the folder of the results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acsnet._utils.files import write_png
from acsnet.data import Record
from acsnet.data.frame_paths import split_frame
from acsnet.data.images import IMAGE_SUFFIXES
from acsnet.errors import DataError
from acsnet.inference.decision import Prediction


def mask_path(folder: Path, dataset: str, image: str) -> Path:
    """Where the final mask of an image is kept: a gray PNG at the image's own size, 0 or 255.

    Args:
        folder: with the results of the test.
        dataset: of the record.
        image: its name, as in ``cases.csv``.
    """
    return _path(folder / "masks", dataset, image)


def probability_path(folder: Path, dataset: str, image: str) -> Path:
    """Where the mask probability of an image is kept, times 255 and rounded; else as :func:`mask_path`."""
    return _path(folder / "probabilities", dataset, image)


def result_name(image: Path) -> Path:
    """The name of an image's results: its own without the suffix of an image, and with its frame where it has one.

    Other dots belong to the name, as in "1.2.840.10008".
    """
    file, frame = split_frame(image)
    name = file.with_suffix("") if file.suffix.lower() in IMAGE_SUFFIXES else file
    return name if frame is None else name.with_name(f"{name.name}_{frame}")


def check_kept_names(records: Sequence[Record]) -> None:
    """Check that every record's prediction has a file of its own.

    Raises:
        DataError: naming the first two that would have the same.
    """
    names: dict[Path, str] = {}
    for record in records:
        path = mask_path(Path(), record.dataset, record.name)
        if names.setdefault(path, record.name) != record.name:
            raise DataError(
                f"{names[path]} and {record.name} of {record.dataset} would both be kept as {path}: give them other "
                "names, or test without keeping predictions"
            )


def keep_prediction(folder: Path, record: Record, prediction: Prediction) -> None:
    """Write mask and mask probability of an image, each whole or not at all; of a network without masks nothing.

    Raises:
        DiskFullError: where there is no space left.
    """
    if prediction.mask is None or prediction.mask_probability is None:
        return
    write_png(mask_path(folder, record.dataset, record.name), prediction.mask.astype(np.uint8) * np.uint8(255))
    gray = np.rint(prediction.mask_probability * 255).astype(np.uint8)
    write_png(probability_path(folder, record.dataset, record.name), gray)


def _path(folder: Path, dataset: str, image: str) -> Path:
    name = _inside(dataset) / _inside(str(result_name(Path(image))))
    return folder / name.with_name(f"{name.name}.png")


def _inside(name: str) -> Path:
    """A name as a path that never leaves the folder it is put in: tables may name images by any path."""
    path = Path(name)
    return Path(*(part for part in path.parts if part not in (path.anchor, "..")))
