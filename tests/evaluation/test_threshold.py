import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from acsnet import MultiTaskOutput
from acsnet.checkpoints import CheckpointMetadata
from acsnet.config import EvaluationConfig
from acsnet.data import Record
from acsnet.errors import ConfigError
from acsnet.evaluation.threshold import THRESHOLDS, best_step, choose_threshold, stable_step
from acsnet.inference import Predictor


class GrayIsProbability(torch.nn.Module):
    """The lesion probability of a pixel is its gray level."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        self.seen += len(images)
        return MultiTaskOutput(images[:, :1].logit(eps=1e-4), None)


def make_predictor(**evaluation: object) -> Predictor:
    metadata = CheckpointMetadata(
        model="acsnet", arguments={}, class_names=("benign",), input_size=(32, 32), mean=(0.0,), std=(1.0,)
    )
    return Predictor(GrayIsProbability(), metadata, evaluation=EvaluationConfig.model_validate(evaluation))


def make_record(folder: Path, name: str, inside: float, outside: float, speck: float = 0.0) -> Record:
    """A lesion of probability ``inside``, background of ``outside`` next to it, and a speck far from both."""
    image, mask = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    image[4:20, 4:12], image[4:20, 12:20], image[28, 28] = (round(255 * p) for p in (inside, outside, speck))
    mask[4:20, 4:12] = 255
    cv2.imwrite(str(folder / f"{name}.png"), image)
    cv2.imwrite(str(folder / f"{name}_mask.png"), mask)
    return Record(folder / f"{name}.png", (folder / f"{name}_mask.png",), "benign", name)


def test_the_grid() -> None:
    assert tuple(round(0.05 * step, 2) for step in range(1, 20)) == THRESHOLDS


@pytest.mark.parametrize(
    ("outside", "inside", "expected"),
    [
        # Thresholds above the seam's and up to the lesion's probability are all perfect: the nearest to 0.5 is chosen.
        (0.22, 0.38, 0.35),
        (0.62, 0.88, 0.65),
        (0.12, 0.88, 0.5),
        (0.92, 0.97, 0.95),
    ],
)
def test_the_best_threshold_is_chosen(
    outside: float, inside: float, expected: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = [make_record(tmp_path, str(index), inside, outside) for index in range(3)]
    predictor = make_predictor()
    with caplog.at_level(logging.INFO, logger="acsnet"):
        assert choose_threshold(predictor, records, batch_size=2, progress=False) == expected
    assert predictor.model.seen == 3, "each image is predicted once"
    # At 0.5 both halves are lesion, or neither is.
    at_half = 1.0 if outside < 0.5 <= inside else 2 / 3 if outside >= 0.5 else 0.0
    text = f"threshold {expected:.2f}: mean Dice 1.0000 on the 3 images of the validation subset ({at_half:.4f} at 0.5)"
    assert text in caplog.text


def test_it_is_the_mean_over_images(tmp_path: Path) -> None:
    """The best threshold is 0.3 for two images and 0.7 for one."""
    records = [make_record(tmp_path, name, 0.32, 0.28) for name in "ab"] + [make_record(tmp_path, "c", 0.72, 0.68)]
    assert choose_threshold(make_predictor(), records, progress=False) == 0.3


def test_masks_are_compared_after_post_processing(tmp_path: Path) -> None:
    """A speck of probability 0.62 requires a threshold above it, unless post-processing removes it."""
    records = [make_record(tmp_path, "a", 0.88, 0.0, speck=0.62)]
    assert choose_threshold(make_predictor(), records, progress=False) == 0.65
    assert choose_threshold(make_predictor(postprocessing={"minimum_area": 0.01}), records, progress=False) == 0.5


def test_ties_go_to_the_nearest_to_one_half() -> None:
    scores = np.zeros(19)
    assert best_step(scores) == 9
    scores[[2, 8, 10, 14]] = 0.7
    assert THRESHOLDS[best_step(scores)] == 0.45, "of two as near the lower"
    scores[14] = 0.71
    assert THRESHOLDS[best_step(scores)] == 0.75


def test_the_threshold_within_one_standard_error() -> None:
    """Of 16 images, one is better at 0.9 by 1: the mean difference is 1 / 16, and its standard error 1 / 16 as well."""
    dice = np.full((16, len(THRESHOLDS)), 0.5)
    high = THRESHOLDS.index(0.9)
    dice[0, high] = 1.0
    dice[0, :high] = 0.0
    assert THRESHOLDS[best_step(dice.mean(axis=0))] == 0.9
    assert THRESHOLDS[stable_step(dice)] == 0.5
    # Four of 16: the mean difference is 1 / 4, its standard error sqrt(0.25 * 0.75 / 15) = 0.11.
    dice[:4, high], dice[:4, :high] = 1.0, 0.0
    assert THRESHOLDS[stable_step(dice)] == 0.9
    assert THRESHOLDS[stable_step(dice[:1])] == 0.9


@pytest.mark.parametrize("labels", [["benign"], ["malignant", "normal"], ["benign", "malignant"]])
def test_no_threshold_is_chosen_without_masks(labels: list[str], tmp_path: Path) -> None:
    records = [Record(tmp_path / f"{label}.png", (), label, label) for label in labels]
    with pytest.raises(ConfigError, match="no image of a lesion class in the validation subset has a mask: set it to"):
        choose_threshold(make_predictor(), records)
