"""Image and mask files: folder listings, mask names, natural order, and lists of problems."""

import re
from collections.abc import Sequence
from pathlib import Path

from acsnet.data.images import IMAGE_SUFFIXES
from acsnet.errors import DataError

_MASK = re.compile(r"_mask(_\d+)?$")


def image_files(folder: Path) -> list[Path]:
    """List the images and masks directly in a folder in natural order, without hidden files."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    return sorted((path for path in files if path.is_file()), key=_file_order)


def check_folder_names(root: Path, names: Sequence[str]) -> None:
    """Check that no folder has another case than the name that is looked for, since it would be left out.

    Raises:
        DataError: if the root has a folder that differs from a missing one only in case.
    """
    present = [path.name for path in root.iterdir() if path.is_dir()]
    for name in names:
        other = next((folder for folder in present if folder.lower() == name.lower()), name)
        if name not in present and other != name:
            raise DataError(f"{root} has a folder {other}/, but the class is {name}: rename the folder to {name}/")


def is_mask(path: Path) -> bool:
    """Return whether a file is named like a mask: ``x_mask.png``, ``x_mask_1.png``."""
    return _MASK.search(path.stem) is not None


def image_stem(mask: Path) -> str:
    """Return the stem of the image that a mask belongs to by its name."""
    return _MASK.sub("", mask.stem)


def natural_order(text: str) -> list[tuple[int, int | str]]:
    """Return a sort key that puts "benign (2)" before "benign (10)"."""
    return [(0, int(run)) if run.isdecimal() else (1, run) for run in re.split(r"(\d+)", text) if run]


def _file_order(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    # The name breaks ties such as "1.png" and "01.png", since the order of iterdir differs between file systems.
    return natural_order(path.stem), path.name


def problem_list(heading: str, problems: Sequence[str]) -> str:
    """Return one message for any number of problems, one line per problem."""
    if len(problems) == 1:
        return f"{heading}: {problems[0]}"
    return "\n  ".join([f"{heading}, {len(problems)} problems:", *problems])
