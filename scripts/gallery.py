"""The pictures of the gallery: python -m scripts.gallery [FOLDER]. All images are phantoms."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from acsnet import Predictor
from acsnet._utils.files import whole_file
from acsnet._utils.overlay import PREDICTION_COLOR, TRUTH_COLOR, add_caption, draw_contours, draw_heat
from acsnet._utils.typing import BoolArray, Uint8Image
from acsnet.cli import run
from acsnet.config import TransformConfig, read_config
from acsnet.data import Augmentation
from acsnet.inference import explain_images
from acsnet.labels import CLASS_NAMES
from acsnet.phantom import make_phantom

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "docs" / "pictures"
TRANSFORMS = REPOSITORY / "configs" / "bases" / "ultrasound_augmentation.yaml"
#: Released networks whose predictions are shown.
CHECKPOINTS = ("acsnet_busi", "unet_lite0_busi", "gated_unet_busi")
#: Class and seed of the phantoms that are predicted.
CASES = (("benign", 3), ("malignant", 12), ("malignant", 3), ("normal", 1))
#: The phantom on the first page.
HOME = ("malignant", 12)
#: Height and width of a panel in pixels.
PANEL = (200, 248)
_GAP, _WHITE = 4, (255, 255, 255)
_QUALITY = 84


def main() -> None:
    """Parse the command line and write the pictures."""
    parser = argparse.ArgumentParser(prog="python -m scripts.gallery", description="Draw the pictures of the gallery.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, metavar="FOLDER", help="where to write them")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "phantoms.jpg", draw_phantoms())
    write_picture(folder / "augmentation.jpg", draw_augmentation())
    write_picture(folder / "home.jpg", draw_predictions(CHECKPOINTS[0], [HOME]))
    for name in CHECKPOINTS:
        write_picture(folder / f"{name}.jpg", draw_predictions(name))


def write_picture(path: Path, picture: Uint8Image) -> None:
    """Write a picture as a JPEG file."""
    with whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=_QUALITY, optimize=True)


def draw_phantoms(count: int = 4) -> Uint8Image:
    """Return one row of phantoms per class, with the outlines of their lesions."""
    rows = []
    for label in CLASS_NAMES:
        phantoms = [make_phantom(label, seed, PANEL) for seed in range(1, count + 1)]
        rows.append(
            [
                add_caption(draw_contours(_rgb(one.image), one.mask, TRUTH_COLOR), f"{label} {seed}")
                for seed, one in enumerate(phantoms, 1)
            ]
        )
    return grid(rows)


def draw_augmentation(columns: int = 4) -> Uint8Image:
    """Return a phantom, and the same after each transform of the recommended augmentation alone."""
    phantom = make_phantom("malignant", 12, PANEL)
    image = _rgb(phantom.image)
    panels = [add_caption(draw_contours(image, phantom.mask, TRUTH_COLOR), "original")]
    panels += [add_caption(panel, name) for name, panel in _augmented(image, phantom.mask)]
    blank = np.full_like(panels[0], 255)
    panels += [blank] * (-len(panels) % columns)
    return grid([panels[start : start + columns] for start in range(0, len(panels), columns)])


def _augmented(image: Uint8Image, mask: BoolArray) -> Iterator[tuple[str, Uint8Image]]:
    for transform in read_config(TRANSFORMS, ["model.name=unet"]).augmentation:
        always = TransformConfig(name=transform.name, **{**transform.arguments, "p": 1.0})
        changed, lesion = Augmentation([always], PANEL)(image, mask, seed=4)
        yield transform.name, draw_contours(changed, lesion, TRUTH_COLOR)


def draw_predictions(checkpoint: str, cases: Sequence[tuple[str, int]] = CASES) -> Uint8Image:
    """Return one row per phantom: truth, prediction, mask probability, heat map of the predicted class."""
    predictor = Predictor.from_checkpoint(checkpoint, device="cpu")
    return grid([_row(predictor, label, seed) for label, seed in cases])


def _row(predictor: Predictor, label: str, seed: int) -> list[Uint8Image]:
    phantom = make_phantom(label, seed, PANEL)
    image = _rgb(phantom.image)
    prediction = predictor(image)
    (probabilities,) = predictor.probabilities([image])
    (heat,) = explain_images(predictor.model, predictor.metadata, [image])
    # The released networks have both tasks.
    assert prediction.mask is not None
    assert probabilities.mask is not None
    assert prediction.probabilities is not None
    share = max(prediction.probabilities.values())
    return [
        add_caption(draw_contours(image, phantom.mask, TRUTH_COLOR), f"truth: {label}"),
        add_caption(
            draw_contours(image, prediction.mask, PREDICTION_COLOR), f"predicted: {prediction.label} {share:.2f}"
        ),
        add_caption(draw_heat(np.zeros_like(image), probabilities.mask), "mask probability"),
        add_caption(draw_heat(image, heat), f"evidence for {prediction.label}"),
    ]


def grid(rows: Sequence[Sequence[Uint8Image]]) -> Uint8Image:
    """Return panels of one size as one picture, with white gaps."""
    framed = [
        [cv2.copyMakeBorder(panel, 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT, value=_WHITE) for panel in row]
        for row in rows
    ]
    picture = cv2.vconcat([cv2.hconcat(row) for row in framed])
    return picture[:-_GAP, :-_GAP]


def _rgb(image: Uint8Image) -> Uint8Image:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


if __name__ == "__main__":
    raise SystemExit(run(main))
