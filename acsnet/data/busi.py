"""Reader of BUSI in its published layout (Al-Dhabyani et al. 2020, Data in Brief 28, 104863).

``<root>/<class>/<class> (<id>).png`` with ``<class> (<id>)_mask.png``, and ``_mask_1.png``, ``_mask_2.png``, ... where
one image has several lesions. Ids need not be contiguous. Verified on the published images.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from acsnet.data.images import IMAGE_SUFFIXES
from acsnet.data.records import Record
from acsnet.errors import DataError

CLASSES = ("benign", "malignant", "normal")
_MASK = re.compile(r"_mask(_\d+)?$")
_HOW_TO_GET = (
    "download BUSI (see README, 'Training on BUSI') and set data.root to the folder that holds benign/, malignant/ and "
    "normal/, or make phantoms: python tools/phantom.py --out phantoms"
)


def read_busi(root: Path, classes: Sequence[str] = CLASSES) -> list[Record]:
    """Read the records of some classes of a folder in BUSI's layout; a class without a folder is left out.

    Returns:
        One record an image, by class in the order given, then by id; groups are not known yet.

    Raises:
        DataError: for a root that is missing or has no images of these classes; for images without mask and masks
            without image, all of them listed.
    """
    records, problems = scan_busi(root, classes)
    if problems:
        raise DataError(problem_list(f"{root} cannot be used", problems))
    return records


def scan_busi(root: Path, classes: Sequence[str] = CLASSES) -> tuple[list[Record], list[str]]:
    """As :func:`read_busi`, but give the images without mask and the masks without image as a list of problems.

    Raises:
        DataError: for a root that is missing or has no images of these classes.
    """
    folders = [root / label for label in classes if (root / label).is_dir()]
    if not folders:
        raise DataError(f"{_what_is_wrong(root, classes)}: {_HOW_TO_GET}")
    records: list[Record] = []
    problems: list[str] = []
    for folder in folders:
        found, wrong = _read_class(folder)
        records += found
        problems += wrong
    if not records:
        raise DataError(f"{root} has no images in {', '.join(folder.name + '/' for folder in folders)}: {_HOW_TO_GET}")
    return records, problems


def problem_list(heading: str, problems: Sequence[str]) -> str:
    """One message for any number of problems, a line each."""
    if len(problems) == 1:
        return f"{heading}: {problems[0]}"
    return "\n  ".join([f"{heading}, {len(problems)} problems:", *problems])


def _what_is_wrong(root: Path, classes: Sequence[str]) -> str:
    if not root.exists():
        return f"there is no data root {root}"
    for inner in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []:
        if any((inner / label).is_dir() for label in classes):
            return f"{root} has no class folders, but {inner} has (did you mean that one?)"
    return f"{root} has none of the folders {', '.join(label + '/' for label in classes)}"


def is_mask(path: Path) -> bool:
    """Whether a file is a mask by its name."""
    return _MASK.search(path.stem) is not None


def _read_class(folder: Path) -> tuple[list[Record], list[str]]:
    files = sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=_order)
    files = [path for path in files if not path.name.startswith(".")]
    masks: dict[str, list[Path]] = {}
    for path in filter(is_mask, files):
        masks.setdefault(_MASK.sub("", path.stem), []).append(path)
    images = [path for path in files if not is_mask(path)]
    problems = [f"{path} has no mask {path.stem}_mask.png" for path in images if path.stem not in masks]
    stems = {path.stem for path in images}
    problems += [f"{path} has no image" for stem, paths in masks.items() if stem not in stems for path in paths]
    return [
        Record(path, tuple(masks.get(path.stem, ())), folder.name, name=f"{folder.name}/{path.name}") for path in images
    ], problems


def natural_order(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts "benign (2)" before "benign (10)"."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _order(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    # The name settles what the numbers leave open, as "1.png" and "01.png": a folder is listed in any order.
    return natural_order(path.stem), path.name
