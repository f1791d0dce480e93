"""Import a checkpoint of the ACSNet publication's code: python tools/import_weights.py FILE.safetensors --out OUT."""

import argparse
from pathlib import Path

from acsnet.cli import ToolParser, run, show


def main() -> None:
    """Parse the command line and write the checkpoint."""
    parser = ToolParser(
        description="Convert a checkpoint of the ACSNet publication's own code (He et al. 2024) to this package's.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a safetensors file; pickled files are never opened")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument(
        "--classes", nargs="+", default=["benign", "malignant"], metavar="NAME", help="in the order of the logits"
    )
    parser.add_argument(
        "--offset-order",
        choices=("rows-then-columns", "interleaved"),
        default="rows-then-columns",
        help="how the file's deformable convolution orders its offset channels: the publication's operator has all row "
        "offsets first, torchvision's alternates",
    )
    parser.add_argument("--mean", type=float, default=0.330, help="mean gray value of the training images, 0 to 1")
    parser.add_argument("--std", type=float, default=0.204, help="standard deviation of the gray values")
    arguments = parser.parse_args()

    from acsnet.models._convert_he2024 import import_he2024_file

    metadata = import_he2024_file(
        arguments.file, arguments.out, arguments.classes, arguments.offset_order, arguments.mean, arguments.std
    )
    show(f"{arguments.out}: ACSNet with the classes {', '.join(metadata.class_names)}")


if __name__ == "__main__":
    raise SystemExit(run(main))
