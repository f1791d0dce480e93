"""Write a synthetic breast-ultrasound dataset in BUSI's layout."""

import argparse
from pathlib import Path

from acsnet.cli import ToolParser, run, show


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the output folder, new or empty")
    parser.add_argument("--benign", type=int, default=40, metavar="N", help="benign images")
    parser.add_argument("--malignant", type=int, default=20, metavar="N", help="malignant images")
    parser.add_argument("--normal", type=int, default=20, metavar="N", help="images without a lesion")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same images")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 256),
        metavar=("HEIGHT", "WIDTH"),
        help="mean size in pixels; sizes of images differ from it by up to 20 %%",
    )
    return parser.parse_args()


def main() -> None:
    """Parse the command line, write the images and print their number."""
    arguments = parse_arguments()

    from acsnet.labels import CLASS_NAMES
    from acsnet.phantom import write_phantoms

    counts = {label: getattr(arguments, label) for label in CLASS_NAMES}
    height, width = arguments.size
    write_phantoms(arguments.out, counts, arguments.seed, (height, width))
    written = ", ".join(f"{count} {label}" for label, count in counts.items())
    show(f"wrote {sum(counts.values())} phantoms ({written}) to {arguments.out}")


if __name__ == "__main__":
    raise SystemExit(run(main))
