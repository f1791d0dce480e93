"""Your own images, in folders that are named after their classes.

Layout: ``<root>/images/<class>/<name>.<suffix>`` with the mask ``<root>/masks/<class>/<name>.<suffix>``, or with the
masks ``<name>_mask.<suffix>``, ``<name>_mask_1.<suffix>``, ... The suffixes of image and mask may be any supported ones
and may differ. Images of the class "normal" do not need a mask. Properties that folders cannot express (patients,
groups, spacings, frames) need a record table, ``data.records``.

Verified on fixtures of this layout.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet.data.datasets.entry import DatasetEntry, register_dataset
from acsnet.data.image_files import check_folder_names, image_files, image_stem, name_stem, twins
from acsnet.data.records import HOW_WITHOUT_MASKS, Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES, NORMAL

NAME = "folders"
_FILES = "images/<class>/<name>.png with masks/<class>/<name>.png"
_LAYOUT = f"expected {_FILES}"


def scan_folders(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, sorted by class in the given order, and the problems of the dataset.

    Raises:
        DataError: If the root has another layout or no images of the classes.
    """
    if not root.exists():
        raise DataError(f"there is no data root {root}: {_LAYOUT}")
    for folder in (root / "images", root / "masks"):
        if folder.is_dir():
            check_folder_names(folder, classes)
    present = [label for label in classes if (root / "images" / label).is_dir()]
    if not present:
        raise DataError(f"{root} has none of the folders {', '.join(f'images/{name}/' for name in classes)}: {_LAYOUT}")
    records: list[Record] = []
    problems: list[str] = []
    for label in present:
        class_records, class_problems = _read_class(root, label)
        records += class_records
        problems += class_problems
    if not records and not problems:
        raise DataError(f"{root} has no images in {', '.join(f'images/{name}/' for name in present)}: {_LAYOUT}")
    return records, problems


def _read_class(root: Path, label: str) -> tuple[list[Record], list[str]]:
    folder = root / "masks" / label
    files = image_files(folder) if folder.is_dir() else []
    masks: dict[str, list[Path]] = {}
    for path in files:
        masks.setdefault(image_stem(path), []).append(path)
    images = image_files(root / "images" / label)
    stems = {name_stem(path) for path in images}
    problems = [f"{path} has the name of another image" for path in twins(images)]
    problems += [f"{path} has the name of another mask" for path in twins(files)]
    problems += [f"{path} has no image" for stem, paths in masks.items() if stem not in stems for path in paths]
    if label != NORMAL and images and not masks:
        problems.append(f"{root}/images/{label} has images, and there is no mask in masks/{label}: {HOW_WITHOUT_MASKS}")
    elif label != NORMAL:
        problems += [
            f"{path} has no mask masks/{label}/{name_stem(path)}.png" for path in images if name_stem(path) not in masks
        ]
    names = [path.relative_to(root).as_posix() for path in images]
    return [
        Record(path, tuple(masks.get(name_stem(path), ())), label, name, dataset=NAME)
        for path, name in zip(images, names, strict=True)
    ], problems


register_dataset(
    DatasetEntry(
        name=NAME,
        title="your own images in folders",
        publication="",
        license="",
        page="",
        scan=scan_folders,
        classes=CLASS_NAMES,
        how_to_ask=f"arrange your images as {_FILES}",
    )
)
