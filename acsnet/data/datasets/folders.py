"""Any set of images in folders that are named after their classes.

``<root>/images/<class>/<name>.<suffix>`` with its masks ``<root>/masks/<class>/<name>.<suffix>``, or, where an image
has several, ``<name>_mask.<suffix>``, ``<name>_mask_1.<suffix>``, ...; suffixes are any of those that are read, and may
differ. An image of the class "normal" needs no mask. What does not fit into folders (patients, groups, spacings,
frames) is told by a table of records, ``data.records``.

Verified on fixtures of this layout.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet.data.datasets.entry import DatasetEntry, register_dataset
from acsnet.data.image_files import image_files, image_stem
from acsnet.data.records import Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES

NAME = "folders"
_LAYOUT = "expected images/<class>/<name>.png with masks/<class>/<name>.png"


def scan_folders(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, by class in the order given, and what is wrong with the set.

    Raises:
        DataError: for a root in another layout, or without images of the classes.
    """
    if not root.exists():
        raise DataError(f"there is no data root {root}: {_LAYOUT}")
    present = [label for label in classes if (root / "images" / label).is_dir()]
    if not present:
        raise DataError(f"{root} has none of the folders {', '.join(f'images/{name}/' for name in classes)}: {_LAYOUT}")
    records: list[Record] = []
    problems: list[str] = []
    for label in present:
        found, wrong = _read_class(root, label)
        records += found
        problems += wrong
    if not records and not problems:
        raise DataError(f"{root} has no images in {', '.join(f'images/{name}/' for name in present)}: {_LAYOUT}")
    return records, problems


def _read_class(root: Path, label: str) -> tuple[list[Record], list[str]]:
    masks: dict[str, list[Path]] = {}
    folder = root / "masks" / label
    for path in image_files(folder) if folder.is_dir() else []:
        masks.setdefault(image_stem(path), []).append(path)
    images = image_files(root / "images" / label)
    stems = [path.stem for path in images]
    problems = [f"{path} has the name of another image" for path in images if stems.count(path.stem) > 1]
    problems += [f"{path} has no image" for stem, paths in masks.items() if stem not in stems for path in paths]
    if label != "normal":
        problems += [f"{path} has no mask masks/{label}/{path.stem}.png" for path in images if path.stem not in masks]
    names = [path.relative_to(root).as_posix() for path in images]
    return [
        Record(path, tuple(masks.get(path.stem, ())), label, name, dataset=NAME)
        for path, name in zip(images, names, strict=True)
    ], problems


register_dataset(
    DatasetEntry(
        name=NAME,
        title="folders of your own",
        publication="",
        license="",
        page="",
        scan=scan_folders,
        classes=CLASS_NAMES,
        how_to_ask="it is yours: " + _LAYOUT,
    )
)
