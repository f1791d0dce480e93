"""Import weights from the code of the ACSNet publication: python tools/import_weights.py FILE.safetensors --out OUT."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description="Convert weights of the ACSNet publication's code to a checkpoint. Tensors are assigned by part, "
        "shape and order, because their names are not published: check its predictions before you rely on it."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a safetensors file; pickled files are never opened")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=["benign", "malignant"],
        metavar="NAME",
        help="classes in the order of the logits",
    )
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="PREFIX", help="skip tensors whose names start with a prefix"
    )
    parser.add_argument("--rename", nargs="+", default=[], metavar="THEIRS=OURS", help="assignment of ambiguous layers")
    parser.add_argument("--show", action="store_true", help="print the assignment of each tensor")
    arguments = parser.parse_args()
    wrong = [text for text in arguments.rename if "=" not in text]
    if wrong:
        parser.error(f"--rename takes THEIRS=OURS, got {wrong[0]!r}")

    from acsnet.models._convert_he2024 import import_acsnet_file

    renamed = dict(text.split("=", 1) for text in arguments.rename)
    names = import_acsnet_file(arguments.file, arguments.out, arguments.classes, arguments.ignore, renamed)
    if arguments.show:
        print(*(f"{theirs} -> {ours}" for ours, theirs in names.items()), sep="\n")
    print(f"{arguments.out}: {len(names)} tensors, assigned by part, shape and order; check its masks first")


if __name__ == "__main__":
    raise SystemExit(run(main))
