"""Tested images, their counts and the common steps of the metrics of publications."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import BoolArray
from acsnet.labels import Task


class PublishedCase(NamedTuple):
    """One tested image. Each field of a task that the network does not have is None.

    Attributes:
        label: the true class.
        predicted: the predicted class.
        probability: the mask probability (H, W) at the input size of the network, 0 to 1.
        mask: the final mask (H, W) at the input size, after thresholding, postprocessing and refining.
        truths: the true masks of the image, one per lesion, in the order of their files, at the size of the image;
            empty for an image without a mask.
    """

    label: str
    predicted: str | None
    probability: npt.NDArray[np.float32] | None
    mask: BoolArray | None
    truths: Sequence[BoolArray]


class Counts(NamedTuple):
    """The numbers that are left of one image.

    Attributes:
        label: the true class.
        predicted: the predicted class, or None.
        pixels: numbers of the mask by their names; empty for a network without masks.
    """

    label: str
    predicted: str | None
    pixels: Mapping[str, float]


Values = dict[str, float | None]


@dataclass(frozen=True)
class PublishedMetrics:
    """The metrics of one publication.

    Attributes:
        title: the publication, for tables.
        tasks: the tasks that a network needs. A publication that also reports networks of one task needs none.
        dice, iou, accuracy, f1: the names of these metrics; "" if the publication has none.
        how: how the metrics are counted, in one line.
        count_pixels: returns the numbers of the mask of one image.
        summarize_pixels: returns the metrics of the masks of all images.
        summarize_classes: returns the metrics of the classes of all images.
        combine: returns metrics of both tasks from the metrics of each.
    """

    title: str
    tasks: frozenset[Task]
    dice: str
    iou: str
    accuracy: str
    f1: str
    how: str
    count_pixels: Callable[[PublishedCase], Mapping[str, float]]
    summarize_pixels: Callable[[Sequence[Counts], Sequence[str]], Values]
    summarize_classes: Callable[[Sequence[Counts], Sequence[str]], Values]
    combine: Callable[[Values], Values] = lambda values: {}

    def count(self, case: PublishedCase) -> Counts:
        """Return the numbers that the metrics need of one image."""
        return Counts(case.label, case.predicted, {} if case.mask is None else self.count_pixels(case))

    def summarize(self, counts: Sequence[Counts], class_names: Sequence[str]) -> Values:
        """Return the metrics of all images.

        Args:
            counts: the numbers of each image; at least one image.
            class_names: the classes, whose names are part of the names of metrics per class.

        Returns:
            The value of each metric, None where it is undefined. Metrics of a missing task are left out.
        """
        values: Values = {}
        if counts[0].pixels:
            values |= self.summarize_pixels(counts, class_names)
        if counts[0].predicted is not None:
            values |= self.summarize_classes(counts, class_names)
        if counts[0].pixels and counts[0].predicted is not None:
            values |= self.combine(values)
        return values


def area(mask: BoolArray) -> int:
    """Return the number of pixels of a mask."""
    return int(np.count_nonzero(mask))


def mask_of(case: PublishedCase) -> BoolArray:
    """Return the final mask of a case of a network with masks."""
    assert case.mask is not None
    return case.mask


def resize_nearest(truths: Sequence[BoolArray], shape: tuple[int, ...]) -> BoolArray:
    """Resize the union of masks with the nearest pixel, as OpenCV finds it."""
    if not truths:
        return np.zeros(shape, np.bool_)
    union: npt.NDArray[Any] = np.logical_or.reduce(truths).astype(np.uint8)
    return cv2.resize(union, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST) > 0


def label_pairs(counts: Sequence[Counts]) -> tuple[list[str], list[str | None]]:
    """Return true and predicted classes."""
    return [own.label for own in counts], [own.predicted for own in counts]


def mean_or_none(values: Iterable[float]) -> float | None:
    """Return the mean, or None without values."""
    known = [*values]
    return float(np.mean(known)) if known else None
