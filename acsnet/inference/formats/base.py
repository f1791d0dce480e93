"""The base class of all formats of results, and the result that they write."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.inference.decision import Prediction
from acsnet.inference.lesion_shape import Lesion

RESEARCH_ONLY = "for research, not for diagnosis"


@dataclass(frozen=True)
class Result:
    """One predicted image.

    Attributes:
        file: the image, as in ``predictions.csv``; "cine.dcm#3" is a frame.
        name: the path of its results, without suffix, relative to the output folder.
        image: (H, W, 3) uint8, RGB.
        prediction: the prediction.
        lesions: the lesions of its mask, the largest first.
        rows: the rows of ``lesions.csv``, one per lesion.
    """

    file: Path
    name: Path
    image: npt.NDArray[np.uint8]
    prediction: Prediction
    lesions: Sequence[Lesion]
    rows: Sequence[dict[str, Any]]

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask (H, W); formats are written for networks with masks only."""
        assert self.prediction.mask is not None
        return self.prediction.mask


class Format(ABC):
    """A format of results, next to ``masks/``.

    Args:
        folder: the output folder.
        images: all images and the names of their results, in the order in which they are predicted.
        network: name of the network, for formats that name their origin.

    Raises:
        DataError: if one of the images cannot have results in this format; before anything is predicted.
        MissingPackageError: if a package is not installed.
    """

    #: The folder or the file in the output folder that has the results.
    place: str

    def __init__(self, folder: Path, images: Sequence[tuple[Path, Path]], network: str) -> None:
        self.folder = folder / self.place
        self.network = network

    @abstractmethod
    def add(self, result: Result) -> None:
        """Write the results of an image; called once per image, in order."""

    def finish(self, folder: Path) -> None:  # noqa: B027 - most formats have no file for all images
        """Write the files for all images into a folder."""

    def path(self, name: Path, suffix: str) -> Path:
        """Return the file of the results of an image."""
        return self.folder / name.with_name(f"{name.name}{suffix}")
