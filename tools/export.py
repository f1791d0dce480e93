"""Export a checkpoint: python tools/export.py --checkpoint FILE|NAME --format onnx|torch [--out FILE]."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line, export, and print how the file was checked."""
    parser = argparse.ArgumentParser(description="Write a checkpoint's network as a file that runs without acsnet.")
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE|NAME", help="a .safetensors file, or a released name"
    )
    parser.add_argument(
        "--format", required=True, metavar="onnx|torch", help="ONNX, or a program of torch.export (.pt2)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="what to write (default: beside FILE under its name, or NAME here)"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="images, or folders of images, on which the file is compared with the network (default: phantoms)",
    )
    arguments = parser.parse_args()

    from acsnet.export import export_checkpoint

    print(export_checkpoint(arguments.checkpoint, arguments.format, arguments.out, arguments.images).summary())


if __name__ == "__main__":
    raise SystemExit(run(main))
