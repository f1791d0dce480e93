"""Segmentation metrics of a test set: means over its images, with what is undefined counted apart."""

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
    """Average the metrics of many images: over all, lesion cases, normal cases, and each class.

    `per_image` holds what :func:`segmentation_metrics` gives, an entry an image; further keys are ignored. `labels`
    holds the true class name of each image. The result, fit for JSON, is `{"all": group, "lesion": group, "normal":
    group, "per_class": {name: group}}`, with the classes that occur in order of their names. A group has `n`
    (images), the mean of each metric, `detection` (:func:`~acsnet.metrics.detection_metrics` of its lesions), and
    `hd95_undefined`, `assd_undefined`, `hd95_mm_undefined`, `assd_mm_undefined`, `area_error_undefined` and
    `area_difference_undefined`: the number of images left out of that mean because a mask was empty or the spacing
    is not known. A mean over no image is None.

    Raises:
        InputError: the lengths differ, or an image lacks a metric or has one that is not a finite number (NaN is
            allowed for surface distances and errors of the area).
    """
    if len(per_image) != len(labels):
        raise InputError(
            f"received metrics of {len(per_image)} images and {len(labels)} labels: expected one label an image"
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
                f"image {index} has no {key!r}: expected what segmentation_metrics gives, received {sorted(image)}"
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
