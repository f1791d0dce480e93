"""``python -m scripts.pictures``: the picture of the README."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from acsnet.inference import Predictor
from scripts import pictures


@pytest.fixture
def _tiny(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "CHECKPOINT", str(trained_run / "best.safetensors"))
    monkeypatch.setattr(pictures, "PANEL", (64, 80))


@pytest.mark.usefixtures("_tiny")
def test_four_panels_per_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "strip.png"
    monkeypatch.setattr(sys, "argv", ["pictures.py", str(path)])
    pictures.main()
    picture = cv2.imread(str(path))
    caption, gap = 20, 4
    assert picture.shape == (2 * (64 + caption) + gap, 4 * 80 + 3 * gap, 3)
    assert (picture[64 + caption : 64 + caption + gap] == 255).all()


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize(("label", "seed"), [("benign", 2), ("malignant", 12), ("malignant", 3)])
def test_the_panels_of_a_phantom(label: str, seed: int) -> None:
    image, truth, prediction, heat = pictures._panels(Predictor.from_checkpoint(pictures.CHECKPOINT), label, seed)
    assert (image[:64, :, 0] == image[:64, :, 2]).all()
    green = (truth[:64] == pictures.TRUTH_COLOR).all(axis=2)
    assert green.any()
    assert (truth[:64][~green] == image[:64][~green]).all()
    assert {panel.shape for panel in (image, truth, prediction, heat)} == {(84, 80, 3)}


@pytest.mark.parametrize("axis", [0, 1])
def test_panels_are_separated_by_white(axis: int) -> None:
    joined = pictures._join([np.zeros((3, 3, 3), np.uint8)] * 2, axis)
    assert joined.shape[axis] == 3 + 4 + 3
    assert np.unique(np.take(joined, range(3, 7), axis)).tolist() == [255]
