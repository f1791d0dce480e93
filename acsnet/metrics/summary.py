"""Segmentation metrics of a set of images: means, and the number of undefined values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from acsnet.errors import InputError
from acsnet.labels import NORMAL
from acsnet.metrics.detection import LesionCounts, detection_metrics
from acsnet.metrics.segmentation import LESION_COUNTS, OVERLAPS, PER_IMAGE, UNDEFINABLE


def summarize_segmentation(
    per_image: Sequence[Mapping[str, float]], labels: Sequence[str], *, normal_class: str = NORMAL
) -> dict[str, Any]:
    """Average segmentation metrics over all images, lesion cases, normal cases, and each class.

    Args:
        per_image: result of :func:`segmentation_metrics` for each image; other keys are ignored.
        labels: true class name of each image.
        normal_class: name of the class of images without a lesion.

    Returns:
        A dictionary that can be written as JSON: `{"all": group, "lesion": group, "normal": group, "per_class":
        {name: group}}`, with the classes of `labels` in alphabetical order. Each group has the keys

        - `n`: number of images.
        - the name of each metric: its mean, or None without images.
        - `hd95_undefined`, `assd_undefined`, `hd95_mm_undefined`, `assd_mm_undefined`, `area_error_undefined` and
          `area_difference_undefined`: number of images that are not in the mean because a mask is empty or the spacing
          is unknown.
        - `detection`: :func:`~acsnet.metrics.detection_metrics` of the lesions.

    Raises:
        InputError: if the lengths differ, or if a metric of an image is missing or not a finite number. Surface
            distances and errors of the area may be NaN.

    Example:
        >>> import numpy as np
        >>> from acsnet.metrics import segmentation_metrics, summarize_segmentation
        >>> lesion, empty = np.eye(8, dtype=bool), np.zeros((8, 8), dtype=bool)
        >>> per_image = [segmentation_metrics(lesion, lesion), segmentation_metrics(lesion, empty)]
        >>> summary = summarize_segmentation(per_image, ["benign", "normal"])
        >>> summary["all"]["dice"], summary["lesion"]["dice"], summary["normal"]["hd95_undefined"]
        (0.5, 1.0, 1)
    """
    if len(per_image) != len(labels):
        raise InputError(
            f"received metrics of {len(per_image)} images and {len(labels)} labels: expected one label per image"
        )
    for index, image in enumerate(per_image):
        _check_image(index, image)

    classes = set(labels)

    def group(names: set[str]) -> dict[str, Any]:
        return _summarize_group([image for image, label in zip(per_image, labels, strict=True) if label in names])

    return {
        "all": group(classes),
        "lesion": group(classes - {normal_class}),
        "normal": group({normal_class}),
        "per_class": {name: group({name}) for name in sorted(classes)},
    }


def _check_image(index: int, image: Mapping[str, float]) -> None:
    for key in PER_IMAGE:
        if key not in image:
            raise InputError(
                f"image {index} has no {key!r}: expected the keys of segmentation_metrics, received {sorted(image)}"
            )
        undefined = key in UNDEFINABLE and math.isnan(image[key])
        if not (math.isfinite(image[key]) or undefined):
            raise InputError(f"image {index} has {key} {image[key]}: expected a finite number")


def _summarize_group(images: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"n": len(images)}
    for key in (*OVERLAPS, *UNDEFINABLE):
        defined = [image[key] for image in images if not math.isnan(image[key])]
        summary[key] = math.fsum(defined) / len(defined) if defined else None
        if key in UNDEFINABLE:
            summary[f"{key}_undefined"] = len(images) - len(defined)
    summary["detection"] = detection_metrics(
        [LesionCounts(*(int(image[key]) for key in LESION_COUNTS)) for image in images]
    )
    return summary
