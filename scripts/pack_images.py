"""Copy a dataset in BUSI's layout at a small size: python scripts/pack_images.py ROOT --out DIR."""

import argparse
from pathlib import Path

from PIL import Image

from acsnet.cli import run
from acsnet.errors import DataError, InputError


def pack(root: Path, out: Path, side: int) -> int:
    """Write every image and mask with its longer side at most ``side`` pixels; images as JPEG data, masks with 1 bit.

    File names stay the same, also of the JPEG data, because BUSI's layout names files ``.png``.

    Returns:
        The number of bytes written.

    Raises:
        InputError: if the output folder exists.
        DataError: if there are no images.
    """
    if out.exists():
        raise InputError(f"{out} exists already: name another folder by --out")
    files = sorted(root.glob("*/*.png"))
    if not files:
        raise DataError(f"{root} has no images <class>/*.png: expected a dataset in BUSI's layout")
    for path in files:
        target = out / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path, formats=("PNG",)) as image:
            scale = min(1.0, side / max(image.size))
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            gray = image.convert("L").resize(size, Image.Resampling.LANCZOS)
        if "_mask" in path.stem:
            gray.point(lambda value: 255 * (value > 127)).convert("1").save(target, "PNG", optimize=True)
        else:
            gray.save(target, "JPEG", quality=88)
    return sum(path.stat().st_size for path in out.rglob("*.png"))


def main() -> None:
    """Parse the command line and copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("root", type=Path, metavar="ROOT", help="the dataset, in BUSI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--side", type=int, default=384, metavar="PIXELS", help="the longer side of an image at most")
    arguments = parser.parse_args()
    size = pack(arguments.root, arguments.out, arguments.side)
    print(f"{arguments.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    raise SystemExit(run(main))
