"""From probabilities to a mask and a class: threshold, post-processing and prediction refining."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import Float64Array
from acsnet.checkpoints import OperatingPoint, OperatingPoints
from acsnet.config import EvaluationConfig
from acsnet.data.framing import Frame
from acsnet.data.spacing import Spacing
from acsnet.errors import InputError
from acsnet.inference.class_decision import (
    adjust_probabilities,
    decide_classes,
    find_operating_point,
    select_classes,
)
from acsnet.inference.lesion_shape import LesionShape, lesion_shapes
from acsnet.inference.postprocessing import postprocess
from acsnet.labels import NORMAL
from acsnet.layers.prediction_refinement import NORMAL_MARGIN


@dataclass(frozen=True)
class Probabilities:
    """Probabilities that networks predict for one image; the fields of a missing task are None.

    Attributes:
        mask: (H, W) float32 in 0..1, at the size of the image.
        label: (K,) float32 in the order of the classes, summing to 1.
        mask_uncertainty: as in :class:`Prediction`.
        label_uncertainty: as in :class:`Prediction`.
        frame: as in :class:`Prediction`.
    """

    mask: npt.NDArray[np.float32] | None = field(repr=False)
    label: npt.NDArray[np.float32] | None
    mask_uncertainty: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    label_uncertainty: float | None = None
    frame: Frame | None = None


@dataclass(frozen=True)
class Prediction:
    """Mask and class predicted for one image; the fields of a missing task are None.

    Uncertainties are None for a single network without test-time augmentation. They are computed from the averaged
    probabilities, before prediction refining.

    Attributes:
        mask: (H, W) bool, at the size of the image.
        mask_probability: (H, W) float32 in 0..1; 0 everywhere if refining emptied the mask.
        label: the most probable class; at an operating point "malignant" if its probability reaches the threshold, and
            otherwise the most probable other class.
        probabilities: probability per evaluated class, summing to 1; at an operating point after its temperature.
        mask_uncertainty: (H, W) float32, entropy of the mask probability in bits, 0 to 1.
        label_uncertainty: entropy of the class probabilities divided by its maximum, 0 to 1.
        frame: the mapping between the image and the input of the network: the region that was cropped, and whether all
            of the image is margin. Outside of the region the mask is empty.
        path: the file of the image, or None if the predictor was given its pixels.
        spacing: millimeters per pixel, (vertical, horizontal), as given or as a DICOM header declares it; None if it is
            unknown.
    """

    mask: npt.NDArray[np.bool_] | None = field(repr=False)
    mask_probability: npt.NDArray[np.float32] | None = field(repr=False)
    label: str | None
    probabilities: dict[str, float] | None
    mask_uncertainty: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    label_uncertainty: float | None = None
    frame: Frame | None = None
    path: Path | None = None
    spacing: Spacing | None = None

    @cached_property
    def lesions(self) -> tuple[LesionShape, ...]:
        """Size and shape of each lesion of the mask, the largest first; empty without a mask.

        Lengths are in millimeters if ``spacing`` is known, otherwise in pixels (:func:`lesion_shapes`). They describe
        the predicted mask; no BI-RADS category follows from them.
        """
        return () if self.mask is None else lesion_shapes(self.mask, self.spacing)


class Decision:
    """Applies the threshold, the post-processing and the prediction refining of a configuration, in this order.

    The class is decided among ``evaluation.classes``, over which the probabilities are renormalized, at
    ``evaluation.operating_point``.

    Args:
        class_names: classes in the order of the class probabilities.
        evaluation: threshold, post-processing, refining, classes and operating point.
        operating_points: operating points of the checkpoint; its mask threshold is not used here.

    Attributes:
        class_names: the evaluated classes, in the order of the network.
        operating_point: the operating point, or None.

    Raises:
        InputError: if the threshold is not a number, if refining is on and there is no class "normal", if there are
            fewer than two classes, or if the checkpoint has no operating points.
        UnknownNameError: if a class or the operating point is unknown.

    Example:
        >>> import numpy as np
        >>> from acsnet.config import EvaluationConfig
        >>> from acsnet.inference import Decision, Probabilities
        >>> decide = Decision(("benign", "malignant"), EvaluationConfig(threshold=0.5))
        >>> prediction = decide(Probabilities(np.array([[0.2, 0.9]], np.float32), np.array([0.75, 0.25], np.float32)))
        >>> prediction.mask.tolist(), prediction.label, prediction.probabilities
        ([[False, True]], 'benign', {'benign': 0.75, 'malignant': 0.25})
    """

    def __init__(
        self,
        class_names: Sequence[str],
        evaluation: EvaluationConfig,
        operating_points: OperatingPoints | None = None,
    ) -> None:
        if isinstance(evaluation.threshold, str):
            raise InputError(
                f"evaluation.threshold is {evaluation.threshold!r}, which only a test can choose: give a number"
            )
        self._network_classes = tuple(class_names)
        self.class_names = select_classes(class_names, evaluation.classes)
        self.operating_point: OperatingPoint | None = None
        self._temperature = 1.0
        if evaluation.operating_point is not None:
            self.operating_point = find_operating_point(operating_points, evaluation.operating_point, self.class_names)
            assert operating_points is not None  # the checkpoint has the point
            self._temperature = operating_points.temperature
        self._threshold = evaluation.threshold
        self._postprocessing = evaluation.postprocessing
        self._refining = evaluation.refining
        self._is_refined = self._refining.empty_mask_for_normal or self._refining.normal_for_empty_mask
        if self._is_refined and NORMAL not in self.class_names:
            owner = "the network" if evaluation.classes is None else "the evaluation"
            raise InputError(
                f"evaluation.refining needs a class {NORMAL!r}, the classes of {owner} are "
                f"{', '.join(self.class_names)}: set both of its directions to false"
            )

    def __call__(self, probabilities: Probabilities, threshold: float | None = None) -> Prediction:
        """Return the prediction for one image.

        Args:
            probabilities: output of the networks.
            threshold: mask probability from which a pixel is foreground; by default the configured one.

        Raises:
            InputError: if refining is on and the network lacks one of the tasks.
        """
        mask_probability, label = probabilities.mask, probabilities.label
        mask = None
        if mask_probability is not None:
            mask = mask_probability >= (self._threshold if threshold is None else threshold)
            mask = postprocess(mask, self._postprocessing)
        if self._is_refined:
            if mask is None or mask_probability is None or label is None:
                raise InputError("evaluation.refining needs a network with both tasks: set both directions to false")
            mask, mask_probability, label = self._refine(mask, mask_probability, label)
        names = self.class_names
        adjusted = None if label is None else self._adjust(label)
        return Prediction(
            mask=mask,
            mask_probability=mask_probability,
            label=None if adjusted is None else names[self._decide(adjusted)],
            probabilities=None if adjusted is None else dict(zip(names, adjusted.tolist(), strict=True)),
            mask_uncertainty=probabilities.mask_uncertainty,
            label_uncertainty=probabilities.label_uncertainty,
            frame=probabilities.frame,
        )

    def _adjust(self, label: npt.NDArray[np.float32]) -> Float64Array:
        """Return the probabilities of the evaluated classes after the temperature."""
        return adjust_probabilities(label, self._temperature, self._network_classes, self.class_names)

    def _decide(self, adjusted: Float64Array) -> int:
        point = self.operating_point
        return int(decide_classes(adjusted, self.class_names, None if point is None else point.threshold))

    def _refine(
        self, mask: npt.NDArray[np.bool_], mask_probability: npt.NDArray[np.float32], label: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Apply the rules of :class:`acsnet.layers.PredictionRefining` to probabilities and a final mask."""
        normal = self._network_classes.index(NORMAL)
        is_normal, is_empty = self.class_names[self._decide(self._adjust(label))] == NORMAL, not mask.any()
        if self._refining.empty_mask_for_normal and is_normal:
            mask, mask_probability = np.zeros_like(mask), np.zeros_like(mask_probability)
        if self._refining.normal_for_empty_mask and is_empty and not is_normal:
            # Raises the logit of "normal" by the margin above the strongest class, and applies the softmax again.
            label = np.where(np.arange(len(label)) == normal, label.max() * np.float32(math.exp(NORMAL_MARGIN)), label)
            label = label / label.sum()
        return mask, mask_probability, label
