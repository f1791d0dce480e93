"""BUSI (Al-Dhabyani et al. 2020, Data in Brief 28, 104863), as published.

``<root>/<class>/<class> (<id>).png`` with ``<class> (<id>)_mask.png``, and ``_mask_1.png``, ``_mask_2.png``, ... where
one image has several lesions. Ids need not be contiguous. No patients and no spacings are published.

Verified on the published images.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.image_files import image_files, image_stem, is_mask, problem_list
from acsnet.data.records import Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES

_HOW_TO_GET = (
    "download BUSI (python tools/download.py busi) and set data.root to the folder that holds benign/, malignant/ and "
    "normal/, or make phantoms: python tools/phantom.py --out phantoms"
)


def read_busi(root: Path, classes: Sequence[str] = CLASS_NAMES) -> list[Record]:
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


def scan_busi(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
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


def _what_is_wrong(root: Path, classes: Sequence[str]) -> str:
    if not root.exists():
        return f"there is no data root {root}"
    for inner in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []:
        if any((inner / label).is_dir() for label in classes):
            return f"{root} has no class folders, but {inner} has (did you mean that one?)"
    return f"{root} has none of the folders {', '.join(label + '/' for label in classes)}"


def _read_class(folder: Path) -> tuple[list[Record], list[str]]:
    files = image_files(folder)
    masks: dict[str, list[Path]] = {}
    for path in filter(is_mask, files):
        masks.setdefault(image_stem(path), []).append(path)
    images = [path for path in files if not is_mask(path)]
    problems = [f"{path} has no mask {path.stem}_mask.png" for path in images if path.stem not in masks]
    stems = {path.stem for path in images}
    problems += [f"{path} has no image" for stem, paths in masks.items() if stem not in stems for path in paths]
    return [
        Record(path, tuple(masks.get(path.stem, ())), folder.name, name=f"{folder.name}/{path.name}") for path in images
    ], problems


register_dataset(
    DatasetEntry(
        name="busi",
        title="BUSI (Breast Ultrasound Images Dataset)",
        publication="Al-Dhabyani et al. 2020, Data in Brief 28, 104863",
        license=(
            "free for research where the publication is cited; copies of it elsewhere are marked CC0 (public domain). "
            "Read the authors' page: its wording could not be checked when this was written"
        ),
        page="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        scan=scan_busi,
        classes=CLASS_NAMES,
        folder="Dataset_BUSI_with_GT",
        files=(RemoteFile("Dataset_BUSI.zip", "https://scholar.cu.edu.eg/Dataset_BUSI.zip"),),
    )
)
