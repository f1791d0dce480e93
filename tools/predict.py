"""Predict images: python tools/predict.py --checkpoint FILE|NAME INPUT... [--out DIR]."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line and predict."""
    parser = argparse.ArgumentParser(description="Predict images: writes masks, overlays and predictions.csv.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="images, or folders of images")
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE|NAME", help="a .safetensors file, or a released name"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR", help="where to write (default: predictions)"
    )
    parser.add_argument("--threshold", type=float, help="mask probability of foreground (default: the checkpoint's)")
    parser.add_argument("--tta", action="store_true", help="average over the image and its mirror image")
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write uncertainty/, heat maps over the images: needs --tta or an ensemble",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="also write explanations/, where in the image the classifier saw the class (Grad-CAM)",
    )
    arguments = parser.parse_args()
    if arguments.threshold is not None and not 0 < arguments.threshold < 1:
        parser.error(f"--threshold is {arguments.threshold}: it has to lie between 0 and 1")

    from acsnet.checkpoints import resolve_checkpoint
    from acsnet.checkpoints.metadata import read_metadata
    from acsnet.inference import Predictor, predict_files

    checkpoint = resolve_checkpoint(arguments.checkpoint)
    evaluation = read_metadata(checkpoint).evaluation
    if arguments.threshold is not None:
        evaluation = evaluation.model_copy(update={"threshold": arguments.threshold})
    if arguments.tta:
        views = evaluation.test_time_augmentation.model_copy(update={"horizontal_flip": True})
        evaluation = evaluation.model_copy(update={"test_time_augmentation": views})
    predictor = Predictor.from_checkpoint(checkpoint, evaluation=evaluation)
    maps = {"uncertainty": arguments.uncertainty, "explain": arguments.explain}
    table = predict_files(predictor, arguments.inputs, arguments.out, **maps)
    print(f"{table}; pictures beside it")


if __name__ == "__main__":
    raise SystemExit(run(main))
