"""From a file to all that the page shows of it. The network runs once per image; thresholds change nothing of that."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from acsnet._utils.typing import Float32Array, Uint8Image
from acsnet.app.networks import Network
from acsnet.data.images import frame_count, read_image
from acsnet.data.spacing import Spacing, declared_spacing
from acsnet.errors import InputError
from acsnet.inference import (
    LesionShape,
    Prediction,
    Probabilities,
    class_activation,
    prepare_images,
)


@dataclass(frozen=True)
class Analysis:
    """The predictions of a network for one image, at the size of the network's input, before any threshold.

    The pixels of the image stay in its file, so that many images need little memory.

    Attributes:
        path: the file.
        name: the name on the page.
        network: the network.
        frame: the frame, counted from 0; 0 for a file of one image.
        frames: number of frames of the file.
        spacing: millimeters per pixel, (vertical, horizontal), or None if it is unknown.
        probabilities: probabilities of the mask and of the classes.
        averaged: the same, averaged for the uncertainty.
        heat_map: (h, w) evidence for the class ``explained``, 0 to 1, or None if the network has none.
        explained: the most probable class, or None.
    """

    path: Path
    name: str
    network: Network = field(repr=False)
    frame: int
    frames: int
    spacing: Spacing | None
    probabilities: Probabilities = field(repr=False)
    averaged: Probabilities = field(repr=False)
    heat_map: Float32Array | None = field(repr=False)
    explained: str | None

    @property
    def title(self) -> str:
        """The name, with the frame for a file of several."""
        return self.name if self.frames == 1 else f"{self.name}, frame {self.frame}"

    def read_pixels(self) -> Uint8Image:
        """Read the image (H, W, 3).

        Raises:
            DataError: if the file was removed since.
        """
        return read_image(_frame_path(self.path, self.frame, self.frames))


@dataclass(frozen=True)
class Finding:
    """Mask, class and lesions of an image at a mask threshold and an operating point.

    Attributes:
        analysis: what the network predicts.
        prediction: mask, class and probabilities at the size of the image, with the uncertainties of the average.
        lesions: the lesions of the mask, the largest first.
        threshold: mask probability from which a pixel is foreground.
        choice: how the class is decided, one of ``Network.choices``.
        malignant_threshold: probability of "malignant" from which an image is malignant, or None for the most probable
            class.
    """

    analysis: Analysis
    prediction: Prediction
    lesions: tuple[LesionShape, ...]
    threshold: float
    choice: str
    malignant_threshold: float | None

    @property
    def unit(self) -> str:
        """The unit of lengths: millimeters or pixels."""
        return "px" if self.analysis.spacing is None else "mm"


def analyze(
    network: Network, path: Path, name: str | None = None, frame: int = 0, spacing: Spacing | None = None
) -> Analysis:
    """Run a network on an image, or on one frame of a file of several.

    Args:
        network: the network.
        path: an image or a video, as for ``acsnet predict``.
        name: the name on the page, by default that of the file.
        frame: the frame, counted from 0.
        spacing: millimeters per pixel, (vertical, horizontal), by default those that the file declares.

    Raises:
        DataError: if the file is missing, not an image, or has no such frame.
        CheckpointError: if the network predicts numbers that are not finite.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.app import Networks
        >>> from acsnet.app.analysis import analyze, decide
        >>> from acsnet.phantom import write_phantoms
        >>> write_phantoms(Path("set"), {"benign": 1}, size=(96, 128), vary_size=False, progress=False)
        >>> analysis = analyze(Networks().load("acsnet_busi"), Path("set/benign/benign (1).png"))
        >>> decide(analysis, threshold=0.4).prediction.mask.shape
        (96, 128)
    """
    frames = frame_count(path)
    pixels = read_image(_frame_path(path, frame, frames))
    with network.lock:
        (probabilities,) = network.predictor.probabilities_at_input_size([pixels])
        averaged = probabilities
        if network.averaging is not network.predictor:
            (averaged,) = network.averaging.probabilities_at_input_size([pixels])
        heat_map, explained = _explain(network, pixels, probabilities)
    return Analysis(
        path=path,
        name=path.name if name is None else name,
        network=network,
        frame=frame,
        frames=frames,
        spacing=spacing or declared_spacing(path),
        probabilities=probabilities,
        averaged=averaged,
        heat_map=heat_map,
        explained=explained,
    )


def decide(analysis: Analysis, threshold: float, choice: str | None = None) -> Finding:
    """Return what is seen at a mask threshold and an operating point; no network runs.

    Args:
        analysis: result of :func:`analyze`.
        threshold: mask probability from which a pixel is foreground, 0 to 1.
        choice: one of ``Network.choices``, by default that of the checkpoint.

    Raises:
        InputError, UnknownNameError: if the checkpoint has no such operating point.
    """
    network = analysis.network
    choice = network.default_choice if choice is None else choice
    decision = network.decision(choice)
    full = network.predictor.to_image(analysis.probabilities)
    averaged = network.averaging.to_image(analysis.averaged)
    both = replace(full, mask_uncertainty=averaged.mask_uncertainty, label_uncertainty=averaged.label_uncertainty)
    prediction = replace(decision(both, threshold), spacing=analysis.spacing)
    point = decision.operating_point
    return Finding(
        analysis=analysis,
        prediction=prediction,
        lesions=prediction.lesions,
        threshold=threshold,
        choice=choice,
        malignant_threshold=None if point is None else point.threshold,
    )


def _explain(
    network: Network, pixels: Uint8Image, probabilities: Probabilities
) -> tuple[Float32Array | None, str | None]:
    """Return the heat map of the most probable class, and its name."""
    predictor, frame = network.predictor, probabilities.frame
    if probabilities.label is None or frame is None:
        return None, None
    index = int(np.argmax(probabilities.label))
    prepared = prepare_images([pixels], predictor.metadata, predictor.device, frames=[frame])
    try:
        heat_map = class_activation(predictor.model, prepared, torch.tensor([index]))[0].cpu().numpy()
    except InputError:
        # A network of the user whose feature maps are unknown.
        return None, None
    return heat_map, predictor.metadata.class_names[index]


def _frame_path(path: Path, frame: int, frames: int) -> Path:
    return path if frames == 1 and frame == 0 else path.with_name(f"{path.name}#{frame}")
