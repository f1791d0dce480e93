"""Prediction and test of image files, against a plain loop over the same files with the same network."""

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from acsnet.checkpoints import CheckpointMetadata
from acsnet.data import Record, read_busi
from acsnet.evaluation import evaluate
from acsnet.inference import Predictor, predict_files
from acsnet.models import MultiTaskOutput, create_model
from acsnet.phantom import write_phantoms
from benchmarks.measure import Measurement, measure

_SIZE = (256, 256)
_MODEL = "unet_resnet50"
_ARGUMENTS: dict[str, Any] = {"encoder": "resnet18"}
_MEAN, _STD = 0.33, 0.2

Mask = npt.NDArray[np.bool_]


def benchmark_files(
    device: torch.device, rounds: int, count: int = 16, size: tuple[int, int] = (500, 600)
) -> list[Measurement]:
    """Measure ``acsnet predict`` and ``acsnet test`` on phantoms; seconds are per image.

    The plain loop reads an image, resizes it, runs the network and resizes its mask to the image, one image after the
    other. Both sides write masks, and this package overlays and tables, too; both sides compute Dice and HD95, and this
    package all of its metrics. The network and its precision, float32, are the same.

    Args:
        device: the device.
        rounds: the number of timings of each contender.
        count: the number of images.
        size: their mean size; BUSI's is the default.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "phantoms", {"benign": count}, 0, size, progress=False)
        records = read_busi(folder / "phantoms")
        predictor = _build_predictor(device)
        images = [record.image for record in records]
        numbers = itertools.count()
        predicting = {
            "plain loop": lambda: _write_masks(predictor, images, folder / f"plain{next(numbers)}"),
            "acsnet": lambda: predict_files(predictor, images, folder / f"own{next(numbers)}", progress=False),
        }
        testing = {
            "plain loop": lambda: [_test(predictor, record) for record in records],
            "acsnet": lambda: evaluate(predictor, records, progress=False),
        }
        network = f"U-Net with ResNet-18, {_SIZE[0]}x{_SIZE[1]}"
        rows = [
            *measure("files", f"acsnet predict, {network}", predicting, rounds),
            *measure("files", f"acsnet test, {network}", testing, rounds),
        ]
    return [replace(row, seconds=row.seconds / len(images)) for row in rows]


def _build_predictor(device: torch.device) -> Predictor:
    metadata = CheckpointMetadata(
        model=_MODEL,
        arguments=_ARGUMENTS,
        class_names=("benign", "malignant", "normal"),
        input_size=_SIZE,
        mean=(_MEAN,) * 3,
        std=(_STD,) * 3,
    )
    torch.manual_seed(0)
    model = create_model(_MODEL, **_ARGUMENTS)
    model.register_forward_hook(_find_one_lesion)
    return Predictor(model, metadata, device=device)


def _find_one_lesion(_model: torch.nn.Module, _inputs: object, output: MultiTaskOutput) -> MultiTaskOutput:
    """Replace the mask by a lesion in the middle: an untrained network finds hundreds, which take the time."""
    assert output.mask is not None  # the network has both tasks
    height, width = output.mask.shape[2:]
    rows, columns = (torch.linspace(-1, 1, side, device=output.mask.device) for side in (height, width))
    lesion = 20 * (0.25 - rows[:, None] ** 2 - columns**2)
    return output._replace(mask=0.01 * output.mask + lesion)


def _predict(predictor: Predictor, path: Path) -> tuple[Mask, Tensor]:
    """Return the mask (H, W) and the class probabilities of an image."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    small = (cv2.resize(image, _SIZE[::-1]).astype(np.float32) / 255 - _MEAN) / _STD
    device = next(predictor.model.parameters()).device
    with torch.inference_mode():
        output = predictor.model(torch.from_numpy(small.transpose(2, 0, 1))[None].to(device))
    probability = output.mask.sigmoid()[0, 0].cpu().numpy()
    return cv2.resize(probability, image.shape[1::-1]) > 0.5, output.label.softmax(1).cpu()


def _write_masks(predictor: Predictor, images: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for number, path in enumerate(images):
        mask, _ = _predict(predictor, path)
        cv2.imwrite(str(folder / f"{number}.png"), mask.astype(np.uint8) * 255)


def _test(predictor: Predictor, record: Record) -> tuple[float, float]:
    """Return the Dice and the HD95 in pixels."""
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    mask, _ = _predict(predictor, record.image)
    truth = np.any([np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127 for path in record.masks], axis=0)
    tensors = (torch.from_numpy(one)[None, None] for one in (mask, truth))
    distance = compute_hausdorff_distance(*tensors, include_background=True, percentile=95)
    return 2 * float((mask & truth).sum()) / max(float(mask.sum() + truth.sum()), 1.0), float(distance)
