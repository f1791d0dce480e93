"""Predict images: python tools/predict.py --checkpoint FILE INPUT... --out DIR."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line and predict."""
    parser = argparse.ArgumentParser(description="Predict images: writes masks, overlays and predictions.csv.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="images, or folders of images")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--threshold", type=float, help="mask probability of foreground (default: the checkpoint's)")
    arguments = parser.parse_args()
    if arguments.threshold is not None and not 0 < arguments.threshold < 1:
        parser.error(f"--threshold is {arguments.threshold}: it has to lie between 0 and 1")

    from acsnet.evaluation import Predictor, predict_files

    predictor = Predictor.from_checkpoint(arguments.checkpoint, threshold=arguments.threshold)
    table = predict_files(predictor, arguments.inputs, arguments.out)
    print(f"{table}; overlays in {arguments.out}/overlays, masks in {arguments.out}/masks")


if __name__ == "__main__":
    raise SystemExit(run(main))
