"""How the folders of a dataset are listed, and how what is wrong with them is told."""

import re
from collections.abc import Sequence
from pathlib import Path

from acsnet.data.images import IMAGE_SUFFIXES

_MASK = re.compile(r"_mask(_\d+)?$")


def image_files(folder: Path) -> list[Path]:
    """List the images and masks right in a folder in natural order, without hidden files."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    return sorted((path for path in files if path.is_file()), key=_order)


def is_mask(path: Path) -> bool:
    """Whether a file is a mask by its name: ``x_mask.png``, ``x_mask_1.png``."""
    return _MASK.search(path.stem) is not None


def image_stem(mask: Path) -> str:
    """The stem of the image that a mask belongs to by its name."""
    return _MASK.sub("", mask.stem)


def natural_order(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts "benign (2)" before "benign (10)"."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _order(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    # The name settles what the numbers leave open, as "1.png" and "01.png": a folder is listed in any order.
    return natural_order(path.stem), path.name


def problem_list(heading: str, problems: Sequence[str]) -> str:
    """One message for any number of problems, a line each."""
    if len(problems) == 1:
        return f"{heading}: {problems[0]}"
    return "\n  ".join([f"{heading}, {len(problems)} problems:", *problems])
