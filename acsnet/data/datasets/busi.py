"""BUSI (Al-Dhabyani et al. 2020, Data in Brief 28, 104863), as published.

Layout: ``<root>/<class>/<class> (<id>).png`` with ``<class> (<id>)_mask.png``, and for images with several lesions also
``_mask_1.png``, ``_mask_2.png``, ... Ids may have gaps. Patients and spacings are not published.

Verified on the published images.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.image_files import check_folder_names, image_files, image_stem, is_mask, name_stem, problem_list, twins
from acsnet.data.records import HOW_WITHOUT_MASKS, Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES

_HOW_TO_GET = (
    "download BUSI (acsnet download busi) and name the folder with benign/, malignant/ and normal/, or make phantoms: "
    "acsnet phantom --out phantoms"
)


def read_busi(root: str | Path, classes: Sequence[str] = CLASS_NAMES) -> list[Record]:
    """Read the records of a folder in the layout of BUSI; classes without a folder are skipped.

    Args:
        root: Folder that contains ``benign/``, ``malignant/`` and ``normal/``.
        classes: Classes to read.

    Returns:
        One record per image, sorted by class in the given order, then by id. Groups are filled in by
        :func:`acsnet.data.verify_records`.

    Raises:
        DataError: If the root is missing or has no images of these classes, or if images have no mask or masks no
            image; all of them are listed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data import read_busi
        >>> from acsnet.phantom import write_phantoms
        >>> root = Path(tempfile.mkdtemp())
        >>> write_phantoms(root, {"benign": 2, "malignant": 1}, size=(64, 64), progress=False)
        >>> [record.name for record in read_busi(root, ["malignant", "benign"])]
        ['malignant/malignant (1).png', 'benign/benign (1).png', 'benign/benign (2).png']
    """
    root = Path(root)
    records, problems = scan_busi(root, classes)
    if problems:
        raise DataError(problem_list(f"{root} cannot be used", problems))
    return records


def scan_busi(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
    """Read records like :func:`read_busi`, and return images without mask and masks without image as problems.

    Returns:
        The records, and one line per problem.

    Raises:
        DataError: If the root is missing or has no images of these classes.
    """
    if root.is_dir():
        check_folder_names(root, classes)
    folders = [root / label for label in classes if (root / label).is_dir()]
    if not folders:
        raise DataError(f"{_root_fault(root, classes)}: {_HOW_TO_GET}")
    records: list[Record] = []
    problems: list[str] = []
    for folder in folders:
        class_records, class_problems = _read_class(folder)
        records += class_records
        problems += class_problems
    if not records:
        raise DataError(f"{root} has no images in {', '.join(folder.name + '/' for folder in folders)}: {_HOW_TO_GET}")
    return records, problems


def _root_fault(root: Path, classes: Sequence[str]) -> str:
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
    problems = [f"{path} has the name of another {'mask' if is_mask(path) else 'image'}" for path in twins(files)]
    if images and not masks:
        problems.append(f"{folder} has images, and no mask NAME_mask.png: {HOW_WITHOUT_MASKS}")
    else:
        lacking = [path for path in images if name_stem(path) not in masks]
        problems += [f"{path} has no mask {name_stem(path)}_mask.png" for path in lacking]
    stems = {name_stem(path) for path in images}
    problems += [f"{path} has no image" for stem, paths in masks.items() if stem not in stems for path in paths]
    return [
        Record(path, tuple(masks.get(name_stem(path), ())), folder.name, name=f"{folder.name}/{path.name}")
        for path in images
    ], problems


register_dataset(
    DatasetEntry(
        name="busi",
        title="BUSI (Breast Ultrasound Images Dataset)",
        publication="Al-Dhabyani et al. 2020, Data in Brief 28, 104863",
        license=(
            "free for research if the publication is cited; copies on other sites are marked CC0 (public domain). Read "
            "the page of the authors: its wording has not been verified"
        ),
        page="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        scan=scan_busi,
        classes=CLASS_NAMES,
        folder="Dataset_BUSI_with_GT",
        files=(RemoteFile("Dataset_BUSI.zip", "https://scholar.cu.edu.eg/Dataset_BUSI.zip"),),
    )
)
