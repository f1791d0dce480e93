"""A trained network as people use it: images in, masks and classes at the images' own size out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from acsnet.checkpoint import CheckpointCard
from acsnet.data.images import read_image, resize_image, to_channels, to_network_input
from acsnet.data.verify import NORMAL
from acsnet.errors import InputError
from acsnet.evaluation.inference import prepare_for_inference
from acsnet.layers import PredictionRefining
from acsnet.models import load_model

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image; the fields of a task it does not have are None.

    Attributes:
        mask: (H, W) bool at the image's size.
        mask_probability: (H, W) float32 in 0..1.
        label: the most probable class.
        probabilities: of each class, summing to 1.
    """

    mask: npt.NDArray[np.bool_] | None
    mask_probability: npt.NDArray[np.float32] | None
    label: str | None
    probabilities: dict[str, float] | None


class Predictor:
    """Runs a network that has a checkpoint card.

    Args:
        model: a network, from ``acsnet.load_model`` or built otherwise.
        card: what was done to its input in training; by default the card that ``load_model`` left on it.
        device: where to run; by default a GPU where there is one.
        threshold: mask probability from which a pixel is foreground; by default the card's.
        refining: directions of prediction refining that are on (``empty_mask_for_normal``, ``normal_for_empty_mask``);
            by default the card's.
        precision: ``"float32"``, in which figures are measured, or ``"bfloat16"`` or ``"float16"`` for speed on a
            device that multiplies them fast. The weights of ``model`` are converted.

    Raises:
        InputError: for another precision.
    """

    def __init__(
        self,
        model: nn.Module,
        card: CheckpointCard | None = None,
        device: torch.device | str | None = None,
        threshold: float | None = None,
        refining: Mapping[str, bool] | None = None,
        precision: str = "float32",
    ) -> None:
        self.card: CheckpointCard = card or model.card  # type: ignore[assignment]
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if precision not in _DTYPES:
            raise InputError(f"precision is {precision!r}: choose {', '.join(_DTYPES)}")
        self._dtype = _DTYPES[precision]
        self.model = prepare_for_inference(model.to(self.device), self._dtype)
        self.threshold = self.card.threshold if threshold is None else threshold
        self._channels = int(self.card.arguments.get("in_channels", 3))
        self._refine = self._build_refining(self.card.refining if refining is None else refining)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: torch.device | str | None = None,
        threshold: float | None = None,
        refining: Mapping[str, bool] | None = None,
        precision: str = "float32",
    ) -> "Predictor":
        """Load a checkpoint and make a predictor of it; arguments as of the class.

        Raises:
            CheckpointError: where the file cannot be used.
        """
        return cls(load_model(path), device=device, threshold=threshold, refining=refining, precision=precision)

    def _build_refining(self, directions: Mapping[str, bool]) -> PredictionRefining | None:
        if not any(directions.values()):
            return None
        return PredictionRefining(self.card.class_names.index(NORMAL), **directions, threshold=self.threshold)

    def __call__(self, image: str | Path | npt.NDArray[np.uint8]) -> Prediction:
        """Predict one image: a file, or an RGB array (H, W, 3) uint8.

        Raises:
            DataError: for a file that cannot be read.
        """
        return self.predict([image if isinstance(image, np.ndarray) else read_image(Path(image))])[0]

    @torch.inference_mode()
    def predict(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Predict a batch of RGB images (H, W, 3) uint8 of any sizes."""
        resized = [to_channels(resize_image(image, self.card.input_size), self._channels) for image in images]
        batch = torch.from_numpy(np.stack(resized)).to(self.device)
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            mask, label, _ = self.model(to_network_input(batch, self.card.mean, self.card.std))
        if self._refine is not None:
            mask, label = self._refine(mask, label)
        masks = [None] * len(images) if mask is None else mask.float().sigmoid().cpu().numpy()[:, 0]
        labels = [None] * len(images) if label is None else label.float().softmax(1).cpu().numpy()
        return [self._prediction(*values) for values in zip(images, masks, labels, strict=True)]

    def _prediction(
        self,
        image: npt.NDArray[np.uint8],
        mask: npt.NDArray[np.float32] | None,
        label: npt.NDArray[np.float32] | None,
    ) -> Prediction:
        probability = None
        if mask is not None:
            # Probabilities are interpolated, then cut: smoother outlines than resizing the cut mask.
            probability = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        names = self.card.class_names
        return Prediction(
            mask=None if probability is None else probability >= self.threshold,
            mask_probability=probability,
            label=None if label is None else names[int(label.argmax())],
            probabilities=None if label is None else dict(zip(names, label.tolist(), strict=True)),
        )
