"""The picture of the README: python -m scripts.pictures [FILE]. It shows phantoms and a released network."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from acsnet._utils.files import whole_file
from acsnet._utils.overlay import PREDICTION_COLOR, TRUTH_COLOR, add_caption, draw_contours, draw_heat
from acsnet._utils.typing import Uint8Image
from acsnet.cli import run

if TYPE_CHECKING:
    from acsnet.inference import Predictor

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "strip.png"
CHECKPOINT = "acsnet_busi"
#: Class and seed of the phantom of each row.
ROWS = (("benign", 2), ("malignant", 12))
#: Height and width of each panel in pixels.
PANEL = (230, 280)
_GAP = 4


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m scripts.pictures", description="Draw the picture of the README.")
    parser.add_argument("path", nargs="?", type=Path, default=PICTURE, metavar="FILE", help="the PNG file to write")
    arguments = parser.parse_args()
    write_picture(arguments.path, draw_strip())


def write_picture(path: Path, picture: Uint8Image) -> None:
    """Write a picture as a PNG file of 256 colors, a third of the size of one with all colors."""
    with whole_file(path) as temporary:
        Image.fromarray(picture).quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            temporary, format="PNG", optimize=True
        )


def draw_strip() -> Uint8Image:
    """Return one row per phantom: image, true outline, prediction, heat map of the predicted class; RGB (H, W, 3)."""
    from acsnet.inference import Predictor

    predictor = Predictor.from_checkpoint(CHECKPOINT, device="cpu")
    return _join([_join(_panels(predictor, label, seed), axis=1) for label, seed in ROWS], axis=0)


def _panels(predictor: "Predictor", label: str, seed: int) -> list[Uint8Image]:
    from acsnet.inference import explain_images
    from acsnet.phantom import make_phantom

    phantom = make_phantom(label, seed, PANEL)
    image = cv2.cvtColor(phantom.image, cv2.COLOR_GRAY2RGB)
    prediction = predictor(image)
    assert prediction.probabilities is not None
    assert prediction.mask is not None
    (heat,) = explain_images(predictor.model, predictor.metadata, [image])
    truth = np.asarray(phantom.lesion_masks.any(axis=0))
    probability = max(prediction.probabilities.values())
    return [
        add_caption(image, "phantom"),
        add_caption(draw_contours(image, truth, TRUTH_COLOR), f"truth: {label}"),
        add_caption(
            draw_contours(image, prediction.mask, PREDICTION_COLOR), f"predicted: {prediction.label}, {probability:.2f}"
        ),
        add_caption(draw_heat(image, heat), f"evidence for {prediction.label}"),
    ]


def _join(panels: list[Uint8Image], axis: int) -> Uint8Image:
    """Return panels side by side (axis 1) or one below the other (axis 0), with white gaps."""
    shape = list(panels[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)][1:]
    return np.concatenate(parts, axis=axis)


if __name__ == "__main__":
    raise SystemExit(run(main))
