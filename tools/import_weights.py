"""Import weights of the ACSNet publication's code: python tools/import_weights.py FILE.safetensors --out OUT."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description="Make a checkpoint of weights of the ACSNet publication's own code. Tensors are placed by part, "
        "shape and order, since their inner names are not published: look at what it predicts before you believe it."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a safetensors file; pickled ones are never opened")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument(
        "--classes", nargs="+", default=["benign", "malignant"], metavar="NAME", help="in the order of its logits"
    )
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="PREFIX", help="names that are not wanted begin with this"
    )
    parser.add_argument(
        "--rename", nargs="+", default=[], metavar="THEIRS=OURS", help="places of layers that are ambiguous"
    )
    parser.add_argument("--show", action="store_true", help="print where each tensor went")
    arguments = parser.parse_args()
    wrong = [text for text in arguments.rename if "=" not in text]
    if wrong:
        parser.error(f"--rename takes THEIRS=OURS, got {wrong[0]!r}")

    from acsnet.models._convert_he2024 import import_acsnet_file

    renamed = dict(text.split("=", 1) for text in arguments.rename)
    names = import_acsnet_file(arguments.file, arguments.out, arguments.classes, arguments.ignore, renamed)
    if arguments.show:
        print(*(f"{theirs} -> {ours}" for ours, theirs in names.items()), sep="\n")
    print(f"{arguments.out}: {len(names)} tensors, placed by part, shape and order; look at its masks first")


if __name__ == "__main__":
    raise SystemExit(run(main))
