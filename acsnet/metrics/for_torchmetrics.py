"""The metrics of this package as classes of torchmetrics: ``update`` per batch, ``compute`` at the end.

They can be members of a ``torchmetrics.MetricCollection``, and their states are gathered across processes. The values
are those of :func:`acsnet.evaluation.evaluate` on the same images. This module needs torchmetrics, and no other module
of the package imports it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from acsnet.errors import InputError, MissingPackageError
from acsnet.metrics.classification import classification_metrics
from acsnet.metrics.segmentation import PER_IMAGE, segmentation_metrics
from acsnet.metrics.summary import summarize_segmentation

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise MissingPackageError(
        "acsnet.metrics.for_torchmetrics needs torchmetrics: pip install 'acsnet[interop]'"
    ) from error


class SegmentationMetrics(Metric):
    """Segmentation metrics of a set of images: the means of :func:`~acsnet.metrics.segmentation_metrics` over images.

    Args:
        kwargs: arguments of ``torchmetrics.Metric``.

    Example:
        >>> import torch
        >>> from acsnet.metrics.for_torchmetrics import SegmentationMetrics
        >>> metric = SegmentationMetrics()
        >>> truth = torch.zeros(2, 1, 16, 16)
        >>> truth[:, :, 4:8, 4:8] = 1
        >>> metric.update(truth.roll(1, dims=3), truth)
        >>> metric.compute()["dice"].item()
        0.75
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None
    rows: list[torch.Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # One row per image: means of means would depend on the sizes of batches and the number of processes.
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(
        self,
        predictions: torch.Tensor | Sequence[torch.Tensor],
        truths: torch.Tensor | Sequence[torch.Tensor],
        spacings: Sequence[Sequence[float] | None] | None = None,
    ) -> None:
        """Add a batch of images.

        Args:
            predictions: predicted masks (B, H, W) or (B, 1, H, W) of 0 and 1, or a list of B masks of any sizes.
            truths: true masks, likewise.
            spacings: millimeters per pixel (vertical, horizontal) of each image, for distances in millimeters.

        Raises:
            InputError: if the numbers of masks differ, or a mask has other values or another shape.
        """
        predicted, true = _masks(predictions), _masks(truths)
        spacings = [None] * len(predicted) if spacings is None else spacings
        if not len(predicted) == len(true) == len(spacings):
            raise InputError(
                f"received {len(predicted)} predictions, {len(true)} truths and {len(spacings)} spacings: expected one "
                "of each per image"
            )
        metrics = [segmentation_metrics(*image) for image in zip(predicted, true, spacings, strict=True)]
        if metrics:
            values = [[one[name] for name in PER_IMAGE] for one in metrics]
            self.rows.append(torch.tensor(values, dtype=torch.float64, device=self.device))

    def compute(self) -> dict[str, torch.Tensor]:
        """Return the means over all images, the numbers of undefined values and the detection metrics.

        Returns:
            Scalars by the names of ``metrics.json``; those of ``detection`` with the prefix ``detection_``. A value
            that is undefined for all images is NaN.

        Raises:
            InputError: if there are no images.
        """
        if not len(self.rows):
            raise InputError("there are no images: call update before compute")
        rows = [dict(zip(PER_IMAGE, row, strict=True)) for row in dim_zero_cat(self.rows).tolist()]
        summary = summarize_segmentation(rows, [""] * len(rows))["all"]
        detection = {f"detection_{name}": value for name, value in summary.pop("detection").items()}
        return _scalars({**summary, **detection}, self.device)


class ClassificationMetrics(Metric):
    """Classification metrics of a set of images: :func:`~acsnet.metrics.classification_metrics`.

    Args:
        class_names: names of the K classes.
        kwargs: arguments of ``torchmetrics.Metric``.

    Example:
        >>> import torch
        >>> from acsnet.metrics.for_torchmetrics import ClassificationMetrics
        >>> metric = ClassificationMetrics(["benign", "malignant"])
        >>> metric.update(torch.tensor([[0.8, 0.2], [0.4, 0.6]]), torch.tensor([0, 0]))
        >>> metric.update(torch.tensor([[0.1, 0.9]]), torch.tensor([1]))
        >>> round(metric.compute()["accuracy"].item(), 3)
        0.667
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None
    probabilities: list[torch.Tensor]
    labels: list[torch.Tensor]

    def __init__(self, class_names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.class_names = tuple(class_names)
        self.add_state("probabilities", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, probabilities: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch of images.

        Args:
            probabilities: class probabilities (B, K), after the softmax.
            labels: true class indices (B,).
        """
        self.probabilities.append(probabilities.detach().to(self.device, torch.float64))
        self.labels.append(labels.detach().to(self.device))

    def compute(self) -> dict[str, torch.Tensor]:
        """Return all metrics of the set that are numbers; one that is undefined is NaN.

        Raises:
            InputError: if there are no images, or the probabilities or labels are not valid.
        """
        if not len(self.labels):
            raise InputError("there are no images: call update before compute")
        probabilities, labels = dim_zero_cat(self.probabilities), dim_zero_cat(self.labels)
        metrics = classification_metrics(labels, probabilities, self.class_names)
        nested = ("per_class", "confusion_matrix", "notes")
        return _scalars({key: value for key, value in metrics.items() if key not in nested}, self.device)


def _masks(masks: torch.Tensor | Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return masks (H, W) from masks with or without a dimension for their one channel."""
    return [mask[0] if mask.ndim == 3 and len(mask) == 1 else mask for mask in masks]


def _scalars(values: Mapping[str, float | None], device: torch.device) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor(math.nan if value is None else float(value), dtype=torch.float64, device=device)
        for name, value in values.items()
    }
