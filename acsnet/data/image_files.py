"""Image and mask files: folder listings, mask names, natural order, and lists of problems."""

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.file_kinds import IMAGE_SUFFIXES
from acsnet._utils.listing import list_entries, list_images, log_left_out
from acsnet.data.file_names import compose
from acsnet.data.frame_paths import split_frame
from acsnet.errors import DataError

logger = logging.getLogger(__name__)

_MASK = re.compile(r"_mask(_\d+)?$")
_SHOWN = 5


def image_files(folder: Path) -> list[Path]:
    """List the images and masks directly in a folder in natural order.

    Files are images by their first bytes, or by their suffix, so that damaged ones are found. Hidden files and those of
    operating systems are ignored; everything else that is left out is logged.
    """
    listing = list_images(folder, recursive=False)
    log_left_out(folder, listing.left_out)
    return sorted(listing.images, key=_file_order)


def file_identity(path: Path) -> tuple[object, ...]:
    """Return the same value for two paths of one file: also for links, and for other spellings of a path."""
    file, frame = split_frame(path)
    try:
        state = os.stat(file)
    except OSError:
        return os.path.realpath(file), frame
    return state.st_dev, state.st_ino, frame


def check_folder_names(root: Path, names: Sequence[str]) -> None:
    """Check that no folder has a class in another case as its name, and log what else is left out.

    Raises:
        DataError: if the root has a folder that differs from a class only in case.
    """
    others: list[str] = []
    for path in list_entries(root):
        name = next((name for name in names if name.lower() == path.name.lower()), None)
        if path.name in names:
            continue
        if name is None or not path.is_dir():
            others.append(path.name)
            continue
        remedy = f"move its files to {name}/" if name in os.listdir(root) else f"rename the folder to {name}/"
        raise DataError(f"{root} has a folder {path.name}/, but the class is {name}: {remedy}")
    if others:
        shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        logger.info("left out of %s, not the folder of a class that is read: %s", root, shown)


def is_mask(path: Path) -> bool:
    """Return whether a file is named like a mask: ``x_mask.png``, ``x_mask_1.png``."""
    return _MASK.search(name_stem(path)) is not None


def image_stem(mask: Path) -> str:
    """Return the stem of the image that a mask belongs to by its name."""
    return _MASK.sub("", name_stem(mask))


def name_stem(path: Path) -> str:
    """Return the name of a file without the suffix of an image format.

    Other dots are part of the name, as in "1.2.840.10008". Accents are composed, since some systems decompose them.
    """
    name = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
    return compose(name)


def twins(paths: Sequence[Path]) -> list[Path]:
    """Return the files whose names differ only in the suffix: by its name, a mask would belong to two images."""
    counts = Counter(name_stem(path) for path in paths)
    return [path for path in paths if counts[name_stem(path)] > 1]


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
