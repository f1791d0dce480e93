"""A trained network as people use it: images in, masks and classes at the images' own size out."""

import copy
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acsnet.checkpoints.metadata import CheckpointMetadata
from acsnet.config import EvaluationConfig
from acsnet.data.images import read_image
from acsnet.errors import InputError
from acsnet.inference.decision import Decision, Prediction, Probabilities
from acsnet.inference.preprocessing import prepare_for_inference, prepare_images
from acsnet.inference.tta import list_views, mean_probabilities
from acsnet.inference.uncertainty import label_entropy, mask_entropy
from acsnet.models import TASKS, MultiTaskOutput, load_model

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Predictor:
    """Runs a network, or the several networks of an ensemble, that has a checkpoint card.

    Args:
        model: a network, from ``acsnet.load_model`` or built otherwise; one with the attribute ``members`` stands for
            these networks, whose probabilities are averaged.
        card: what was done to its input in training; by default the card that ``load_model`` left on it.
        device: where to run; by default a GPU where there is one.
        evaluation: test-time augmentation, threshold, post-processing and refining; by default the card's.
        precision: ``"float32"``, in which figures are measured, or ``"bfloat16"`` or ``"float16"`` for speed on a
            device that multiplies them fast. The weights of ``model`` are converted.

    Attributes:
        views: of each image that the networks are shown.
        decide: makes a :class:`~acsnet.inference.Prediction` of the :class:`~acsnet.inference.Probabilities` of an
            image; takes a ``threshold`` other than the configured one.

    Raises:
        InputError: for another precision, a threshold that is no number, or refining without a class "normal".
    """

    def __init__(
        self,
        model: nn.Module,
        metadata: CheckpointMetadata | None = None,
        device: torch.device | str | None = None,
        evaluation: EvaluationConfig | None = None,
        precision: str = "float32",
    ) -> None:
        self.metadata: CheckpointMetadata = metadata or model.metadata  # type: ignore[assignment]
        self.evaluation = evaluation or self.metadata.evaluation
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if precision not in _DTYPES:
            raise InputError(f"precision is {precision!r}: choose {', '.join(_DTYPES)}")
        self.decide = Decision(self.metadata.class_names, self.evaluation)
        self._dtype = _DTYPES[precision]
        self.model = prepare_for_inference(model.to(self.device), self._dtype)
        networks = list(getattr(self.model, "members", [self.model]))
        self._networks = [partial(self._run, network) for network in networks]
        self._tasks = tuple(getattr(networks[0], "tasks", TASKS))
        divisor = math.lcm(*(getattr(network, "divisor", 1) for network in networks))
        self.views = list_views(self.evaluation.test_time_augmentation, self.metadata.input_size, divisor)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: torch.device | str | None = None,
        evaluation: EvaluationConfig | None = None,
        precision: str = "float32",
    ) -> "Predictor":
        """Load a checkpoint, by path or released name, and make a predictor of it; arguments as of the class.

        Raises:
            CheckpointError, UnknownNameError, DownloadError: see ``acsnet.load_model``.
        """
        return cls(load_model(path), device=device, evaluation=evaluation, precision=precision)

    def with_threshold(self, threshold: float) -> "Predictor":
        """The same predictor, sharing its networks, with another mask threshold."""
        other = copy.copy(self)
        other.evaluation = self.evaluation.model_copy(update={"threshold": threshold})
        other.decide = Decision(self.metadata.class_names, other.evaluation)
        return other

    @property
    def knows_uncertainty(self) -> bool:
        """Whether there are several opinions of an image: views, networks or both."""
        return len(self.views) * len(self._networks) > 1

    @property
    def has_mask_uncertainty(self) -> bool:
        """Whether predictions have a mask's uncertainty."""
        return self.knows_uncertainty and "segmentation" in self._tasks

    @property
    def has_classes(self) -> bool:
        """Whether predictions have a class."""
        return "classification" in self._tasks

    def __call__(self, image: str | Path | npt.NDArray[np.uint8]) -> Prediction:
        """Predict one image: a file, or an RGB array (H, W, 3) uint8.

        Raises:
            DataError: for a file that cannot be read.
        """
        return self.predict([image if isinstance(image, np.ndarray) else read_image(Path(image))])[0]

    def predict(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Predict a batch of RGB images (H, W, 3) uint8 of any sizes."""
        return [self.decide(probabilities) for probabilities in self.probabilities(images)]

    @torch.inference_mode()
    def probabilities(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Probabilities]:
        """What the networks say of a batch of RGB images (H, W, 3) uint8 of any sizes, averaged over the views."""
        inputs = {
            size: prepare_images(images, self.metadata, self.device, size)
            for size in dict.fromkeys(view.size for view in self.views)
        }
        mask, label = mean_probabilities(self._networks, self.views, inputs, self.metadata.input_size)
        masks = [None] * len(images) if mask is None else mask.cpu().numpy()[:, 0]
        labels = [None] * len(images) if label is None else label.cpu().numpy()
        return [self._of_image(*values) for values in zip(images, masks, labels, strict=True)]

    def _run(self, network: nn.Module, images: torch.Tensor) -> MultiTaskOutput:
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            return network(images)

    def _of_image(
        self,
        image: npt.NDArray[np.uint8],
        mask: npt.NDArray[np.float32] | None,
        label: npt.NDArray[np.float32] | None,
    ) -> Probabilities:
        if mask is not None:
            # Probabilities are interpolated, then cut: smoother outlines than resizing the cut mask.
            mask = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        if not self.knows_uncertainty:
            return Probabilities(mask, label)
        return Probabilities(
            mask,
            label,
            None if mask is None else mask_entropy(mask),
            None if label is None else label_entropy(label),
        )
