"""From probabilities to a mask and a class: threshold, post-processing and, last, prediction refining."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from acsnet.config import EvaluationConfig
from acsnet.errors import InputError
from acsnet.inference.postprocessing import postprocess
from acsnet.labels import NORMAL
from acsnet.layers import PredictionRefining
from acsnet.layers.prediction_refinement import BLACK


@dataclass(frozen=True)
class Probabilities:
    """What networks say of one image before anything is decided; the fields of a task they do not have are None.

    Attributes:
        mask: (H, W) float32 in 0..1 at the image's size.
        label: (K,) float32, summing to 1.
        mask_uncertainty, label_uncertainty: as of :class:`Prediction`.
    """

    mask: npt.NDArray[np.float32] | None
    label: npt.NDArray[np.float32] | None
    mask_uncertainty: npt.NDArray[np.float32] | None = None
    label_uncertainty: float | None = None


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image; the fields of a task it does not have are None.

    Uncertainties are None where there is only one view of one network. They are those of the averaged probabilities,
    whatever refining makes of them.

    Attributes:
        mask: (H, W) bool at the image's size.
        mask_probability: (H, W) float32 in 0..1; 0 where refining has emptied the mask.
        label: the most probable class.
        probabilities: of each class, summing to 1.
        mask_uncertainty: (H, W) float32, the entropy of the mask probability in bits, 0 to 1.
        label_uncertainty: the entropy of the class probabilities as a share of the greatest, 0 to 1.
    """

    mask: npt.NDArray[np.bool_] | None
    mask_probability: npt.NDArray[np.float32] | None
    label: str | None
    probabilities: dict[str, float] | None
    mask_uncertainty: npt.NDArray[np.float32] | None = None
    label_uncertainty: float | None = None


class Decision:
    """Cuts the mask probability, cleans the mask, and makes mask and class agree, each as configured.

    Args:
        class_names: in the order of the class probabilities.
        evaluation: threshold, post-processing and refining.

    Raises:
        InputError: for a threshold that is no number, or refining without a class "normal".
    """

    def __init__(self, class_names: Sequence[str], evaluation: EvaluationConfig) -> None:
        if isinstance(evaluation.threshold, str):
            raise InputError(
                f"evaluation.threshold is {evaluation.threshold!r}, which only a test can choose: give a number"
            )
        self._class_names = tuple(class_names)
        self._threshold = evaluation.threshold
        self._postprocessing = evaluation.postprocessing
        refining = evaluation.refining
        self._refining: PredictionRefining | None = None
        if refining.empty_mask_for_normal or refining.normal_for_empty_mask:
            if NORMAL not in class_names:
                raise InputError(
                    f"evaluation.refining needs a class {NORMAL!r}, the network tells apart {', '.join(class_names)}: "
                    "set both of its directions to false"
                )
            self._refining = PredictionRefining(self._class_names.index(NORMAL), **refining.model_dump())

    def __call__(self, probabilities: Probabilities, threshold: float | None = None) -> Prediction:
        """Decide; by default at the configured threshold.

        Raises:
            InputError: for refining of a network that lacks one of the tasks.
        """
        mask_probability, label = probabilities.mask, probabilities.label
        mask = None
        if mask_probability is not None:
            cut = mask_probability >= (self._threshold if threshold is None else threshold)
            mask = postprocess(cut, self._postprocessing)
        if self._refining is not None:
            if mask is None or mask_probability is None or label is None:
                raise InputError("evaluation.refining needs a network of both tasks: set both directions to false")
            emptied, label = _refine(self._refining, mask, label)
            if emptied:
                mask, mask_probability = np.zeros_like(mask), np.zeros_like(mask_probability)
        names = self._class_names
        return Prediction(
            mask=mask,
            mask_probability=mask_probability,
            label=None if label is None else names[int(label.argmax())],
            probabilities=None if label is None else dict(zip(names, label.tolist(), strict=True)),
            mask_uncertainty=probabilities.mask_uncertainty,
            label_uncertainty=probabilities.label_uncertainty,
        )


def _refine(
    refining: PredictionRefining, mask: npt.NDArray[np.bool_], label: npt.NDArray[np.float32]
) -> tuple[bool, npt.NDArray[np.float32]]:
    """Whether the rules empty a mask (H, W), and the class probabilities (K,) that they leave."""
    # They ask of a mask only whether it is empty: one pixel stands for it, foreground or not.
    pixel = torch.full((1, 1, 1, 1), 1.0 if mask.any() else -1.0)
    logits = torch.from_numpy(label).log()[None]
    refined_pixel, refined_logits = refining(pixel, logits)
    changed = not torch.equal(refined_logits, logits)
    return refined_pixel.item() == BLACK, refined_logits.softmax(1)[0].numpy() if changed else label
