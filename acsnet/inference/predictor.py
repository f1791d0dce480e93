"""The predictor: images in, masks and classes at the size of the images out."""

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acsnet._utils.devices import choose_device
from acsnet.checkpoints import Checkpoint, CheckpointMetadata, OperatingPoint
from acsnet.config import EvaluationConfig
from acsnet.data.conversion import AnyImage, as_rgb
from acsnet.data.spacing import Spacing, declared_spacing
from acsnet.errors import CheckpointError, InputError
from acsnet.inference.decision import Decision, Prediction, Probabilities
from acsnet.inference.image_batches import Images, check_single, iterate_images, path_of
from acsnet.inference.preprocessing import frame_images, prepare_for_inference, prepare_images
from acsnet.inference.tta import list_tta_transforms, mean_probabilities
from acsnet.inference.uncertainty import label_entropy, mask_entropy
from acsnet.labels import Task
from acsnet.metrics._distances import check_spacing
from acsnet.models import MultiTaskOutput, load_model
from acsnet.models._contract import check_count
from acsnet.models._loading import check_metadata, check_network, metadata_of
from acsnet.models.ensemble import tasks_of

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Predictor:
    """Runs a trained network, or the networks of an ensemble, on images.

    Args:
        model: a network, from ``acsnet.load_model`` or built otherwise. If it has the attribute ``members``, the
            probabilities of these networks are averaged. :meth:`from_checkpoint` takes the name or the path of one.
        metadata: input size, framing, channels, normalization and classes; by default the attribute ``metadata`` that
            ``load_model`` sets on the network.
        device: device to run on, such as "cpu" or "cuda:1"; by default a GPU if there is one.
        evaluation: test-time augmentation, threshold, post-processing, refining, classes and operating point; by
            default those of the metadata.
        precision: ``"float32"``, in which metrics are computed, or ``"bfloat16"`` or ``"float16"`` for speed on devices
            with fast 16-bit arithmetic. The weights of ``model`` are converted in place.
        operating_point: name of an operating point of the metadata, such as ``"specificity_90"``, instead of that of
            ``evaluation``. Its temperature, its threshold of the probability of "malignant" and its mask threshold are
            used; :meth:`with_threshold` sets another mask threshold.

    Attributes:
        evaluation: the settings; at an operating point with its mask threshold.
        tta_transforms: transforms of test-time augmentation, whose predictions are averaged.
        decide: a :class:`~acsnet.inference.Decision`: computes a :class:`~acsnet.inference.Prediction` from
            :class:`~acsnet.inference.Probabilities`.

    Raises:
        InputError: if the model is not a network, it has no metadata and none is given, the device is not there, the
            precision is unknown, the threshold is not a number, refining is on and there is no class "normal", or the
            metadata has no operating points.
        UnknownNameError: if a class of ``evaluation.classes`` or the operating point is unknown.

    Example:
        >>> import acsnet
        >>> import numpy as np
        >>> import torch
        >>> from acsnet.checkpoints import CheckpointMetadata
        >>> from acsnet.phantom import make_phantom
        >>> predictor = acsnet.Predictor.from_checkpoint("acsnet_busi")  # doctest: +SKIP
        >>> metadata = CheckpointMetadata(
        ...     model="unet", arguments={"width": 4, "depth": 2}, class_names=("benign", "malignant", "normal"),
        ...     input_size=(32, 32), mean=(0.33,), std=(0.2,),
        ... )
        >>> predictor = acsnet.Predictor(acsnet.create_model("unet", width=4, depth=2), metadata)
        >>> image = np.dstack([make_phantom("malignant", seed=0, size=(96, 128)).image] * 3)
        >>> prediction = predictor(image)
        >>> prediction.mask.shape, sorted(prediction.probabilities)
        ((96, 128), ['benign', 'malignant', 'normal'])
        >>> len(predictor.predict([image, image[..., 0], torch.zeros(3, 64, 48)]))
        3
    """

    def __init__(
        self,
        model: nn.Module,
        metadata: CheckpointMetadata | None = None,
        device: torch.device | str | None = None,
        evaluation: EvaluationConfig | None = None,
        precision: str = "float32",
        operating_point: str | None = None,
    ) -> None:
        check_network(model)
        self.metadata = metadata_of(model) if metadata is None else check_metadata(metadata)
        self.evaluation = _at_operating_point(self.metadata, evaluation or self.metadata.evaluation, operating_point)
        self.device = choose_device(device)
        if precision not in _DTYPES:
            raise InputError(f"precision is {precision!r}: choose {', '.join(_DTYPES)}")
        self.decide = self._build_decision()
        self._dtype = _DTYPES[precision]
        self.model = prepare_for_inference(model.to(self.device), self._dtype)
        networks = list(getattr(self.model, "members", [self.model]))
        self._networks = [partial(self._run, network) for network in networks]
        self._tasks = tasks_of(self.model)
        divisor = math.lcm(*(getattr(network, "divisor", 1) for network in networks))
        self.tta_transforms = list_tta_transforms(
            self.evaluation.test_time_augmentation, self.metadata.input_size, divisor
        )
        self._check_scales([getattr(network, "image_size", None) for network in networks])
        self._warn_of_other_classes()

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path | Checkpoint,
        device: torch.device | str | None = None,
        evaluation: EvaluationConfig | None = None,
        precision: str = "float32",
        operating_point: str | None = None,
    ) -> "Predictor":
        """Load a checkpoint and return a predictor for it.

        Args:
            checkpoint: a released name, a path or the id of a repository on the Hugging Face Hub, as in
                ``acsnet.load_model``.
            device: see the class.
            evaluation: see the class.
            precision: see the class.
            operating_point: see the class.

        Raises:
            CheckpointError, UnknownNameError, DownloadError: see ``acsnet.load_model`` and the class.
            InputError: see the class.
        """
        return cls(
            load_model(checkpoint),
            device=device,
            evaluation=evaluation,
            precision=precision,
            operating_point=operating_point,
        )

    def with_threshold(self, threshold: float) -> "Predictor":
        """Return a predictor with another mask threshold that shares the networks of this one."""
        other = copy.copy(self)
        other.evaluation = self.evaluation.model_copy(update={"threshold": threshold})
        other.decide = other._build_decision()
        return other

    def _build_decision(self) -> Decision:
        return Decision(self.metadata.class_names, self.evaluation, self.metadata.operating_points)

    def _check_scales(self, only_sizes: Sequence[tuple[int, int] | None]) -> None:
        """Check that networks that are built for one size of images get no other."""
        only = next(filter(None, only_sizes), None)
        if only is not None and any(transform.size != only for transform in self.tta_transforms):
            scales = list(self.evaluation.test_time_augmentation.scales)
            raise InputError(
                f"evaluation.test_time_augmentation.scales is {scales}, but the network takes images of "
                f"{only[0]}x{only[1]} (height x width) only: set it to [1]"
            )

    def _warn_of_other_classes(self) -> None:
        points = self.metadata.operating_points
        if points is not None and self.operating_point is not None and {*points.classes} != {*self.class_names}:
            logger.warning(
                "the operating point was chosen on probabilities of %s, not of %s: its sensitivity and specificity do "
                "not carry over",
                ", ".join(points.classes),
                ", ".join(self.class_names),
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The evaluated classes in the order of the network: ``evaluation.classes``, or all."""
        return self.decide.class_names

    @property
    def operating_point(self) -> OperatingPoint | None:
        """The operating point at which classes are decided, or None for the most probable class."""
        return self.decide.operating_point

    @property
    def supports_uncertainty(self) -> bool:
        """Whether predictions have uncertainties, which need test-time augmentation or an ensemble."""
        return len(self.tta_transforms) * len(self._networks) > 1

    @property
    def supports_mask_uncertainty(self) -> bool:
        """Whether predictions have the uncertainty of a mask."""
        return self.supports_uncertainty and "segmentation" in self._tasks

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the networks."""
        return self._tasks

    @property
    def supports_classification(self) -> bool:
        """Whether predictions have a class."""
        return "classification" in self._tasks

    def __call__(self, image: AnyImage, spacing: Spacing | None = None) -> Prediction:
        """Predict one image.

        Args:
            image: the path of a file, a Pillow image, a NumPy array (H, W) or (H, W, C), or a PyTorch tensor (H, W) or
                (C, H, W), without normalization; see :func:`acsnet.data.as_rgb`.
            spacing: millimeters per pixel, (vertical, horizontal), for the lengths of ``Prediction.lesions``; by
                default that of the header of a DICOM file.

        Raises:
            DataError, InputError: if the file cannot be read, the image is of another kind (see
                :func:`acsnet.data.as_rgb`), or the spacing is not two numbers above 0.
        """
        check_single(image)
        _check_spacing(spacing)
        return self._predict_batch([image], ["the image"], spacing)[0]

    def predict(self, images: Images, batch_size: int = 8, spacing: Spacing | None = None) -> list[Prediction]:
        """Predict any number of images.

        If they are more than one batch, all of them are read once before the first is predicted, so that a broken one
        is reported at once.

        Args:
            images: a folder, whose images are those of :func:`find_images`; a list or another iterable of images of any
                kinds and sizes, as in :meth:`__call__`; or one array (N, H, W, C) or tensor (N, C, H, W).
            batch_size: number of images per forward pass.
            spacing: as in :meth:`__call__`, the same for all images; by default each DICOM file has its own.

        Returns:
            One prediction per image, in order. ``path`` of a prediction is the file of the image.

        Raises:
            DataError, InputError: if there are no images, one of them cannot be read or is of another kind, or the
                batch size is below 1; see also :meth:`__call__`.
        """
        check_count("batch_size", batch_size)
        _check_spacing(spacing)
        listed = [*iterate_images(images)]
        if not listed:
            raise InputError("there are no images: expected at least one")
        if len(listed) > batch_size:
            for index, image in enumerate(listed):
                as_rgb(image, f"image {index}")
        return [*self.predict_each(listed, batch_size, spacing)]

    def predict_each(self, images: Images, batch_size: int = 8, spacing: Spacing | None = None) -> Iterator[Prediction]:
        """Predict images one batch after the other, for more of them than memory can hold; see :meth:`predict`.

        Args:
            images: as in :meth:`predict`; an iterator is read batch by batch.
            batch_size: number of images per forward pass.
            spacing: as in :meth:`predict`.

        Returns:
            An iterator over the predictions, in order. A broken image is an error when its batch is reached.
        """
        check_count("batch_size", batch_size)
        _check_spacing(spacing)
        return self._predict_batches(iter(iterate_images(images)), batch_size, spacing)

    def _predict_batches(
        self, images: Iterator[AnyImage], batch_size: int, spacing: Spacing | None
    ) -> Iterator[Prediction]:
        first = 0
        while batch := [*islice(images, batch_size)]:
            names = [f"image {first + index}" for index in range(len(batch))]
            yield from self._predict_batch(batch, names, spacing)
            first += len(batch)

    def _predict_batch(
        self, images: Sequence[AnyImage], names: Sequence[str], spacing: Spacing | None
    ) -> list[Prediction]:
        pixels = [as_rgb(image, name) for image, name in zip(images, names, strict=True)]
        predictions = [self.decide(probabilities) for probabilities in self.probabilities(pixels)]
        paths = [path_of(image) for image in images]
        spacings = [spacing or (None if path is None else declared_spacing(path)) for path in paths]
        return [
            replace(prediction, path=path, spacing=own)
            for prediction, path, own in zip(predictions, paths, spacings, strict=True)
        ]

    def probabilities(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Probabilities]:
        """Compute probabilities of a batch of RGB images, averaged over networks and test-time augmentation.

        Args:
            images: (H, W, 3) uint8 each, of any sizes, as :func:`acsnet.data.as_rgb` returns them.

        Returns:
            Probabilities per image, at the size of the image.
        """
        return [self.to_image(probabilities) for probabilities in self.probabilities_at_input_size(images)]

    @torch.inference_mode()
    def probabilities_at_input_size(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Probabilities]:
        """Compute probabilities like :meth:`probabilities`, at the input size of the network, without uncertainties.

        If images are cropped or padded, the mask is that of the input; ``frame`` maps it to the image.

        Raises:
            InputError: if there are no images, or if one is not an RGB array of uint8.
            CheckpointError: if probabilities are not finite.
        """
        frames = frame_images(images, self.metadata)
        images_by_size = {
            size: prepare_images(images, self.metadata, self.device, size, frames)
            for size in dict.fromkeys(transform.size for transform in self.tta_transforms)
        }
        mask, label = mean_probabilities(
            self._networks, self.tta_transforms, images_by_size, self.metadata.input_size, frames
        )
        masks = [None] * len(images) if mask is None else mask.cpu().numpy()[:, 0]
        labels = [None] * len(images) if label is None else label.cpu().numpy()
        _check_finite(self.metadata.network_names, mask, label)
        return [
            Probabilities(mask, label, frame=frame) for mask, label, frame in zip(masks, labels, frames, strict=True)
        ]

    def _run(self, network: nn.Module, images: torch.Tensor) -> MultiTaskOutput:
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            return network(images)

    def to_image(self, probabilities: Probabilities) -> Probabilities:
        """Map the mask probability at the input size to the size of the image, and compute uncertainties.

        Args:
            probabilities: probabilities of one image from :meth:`probabilities_at_input_size`.
        """
        mask, label, frame = probabilities.mask, probabilities.label, probabilities.frame
        if mask is not None and frame is not None:
            mask = frame.to_image(mask)
        if not self.supports_uncertainty:
            return Probabilities(mask, label, frame=frame)
        return Probabilities(
            mask,
            label,
            None if mask is None else mask_entropy(mask),
            None if label is None else label_entropy(label),
            frame,
        )


def _check_spacing(spacing: Spacing | None) -> None:
    if spacing is not None:
        check_spacing(spacing)


def _check_finite(name: str, *outputs: torch.Tensor | None) -> None:
    broken = [output for output in outputs if output is not None and not bool(output.isfinite().all())]
    if broken:
        raise CheckpointError(
            f"the probabilities of {name} are not finite: the checkpoint is damaged, or its training diverged; use "
            "another checkpoint"
        )


def _at_operating_point(
    metadata: CheckpointMetadata, evaluation: EvaluationConfig, operating_point: str | None
) -> EvaluationConfig:
    """Return the settings at an operating point, with its mask threshold."""
    if operating_point is not None:
        evaluation = evaluation.model_copy(update={"operating_point": operating_point})
    points = metadata.operating_points
    if evaluation.operating_point is None or points is None or points.mask_threshold is None:
        return evaluation
    return evaluation.model_copy(update={"threshold": points.mask_threshold})
