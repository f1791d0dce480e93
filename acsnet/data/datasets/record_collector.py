"""Shared steps of the readers of datasets with a table: check of the layout, records and problems per row."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from acsnet._utils.csv_io import TableRow
from acsnet.data.records import Record
from acsnet.data.spacing import Spacing
from acsnet.errors import DataError

logger = logging.getLogger(__name__)


def check_root(root: Path, dataset: str, title: str, needed: Sequence[str]) -> None:
    """Check that a root contains the files and folders of a layout; names of folders end in "/".

    Raises:
        DataError: If one is missing; the message names it, and a subfolder that has them all.
    """
    remedy = f"acsnet download {dataset} downloads {title}, or explains how to request it"
    if not root.exists():
        raise DataError(f"there is no data root {root}: {remedy}")
    missing = [name for name in needed if not _contains(root, name)]
    if not missing:
        return
    candidates = (path for depth in ("*/", "*/*/") for path in sorted(root.glob(depth)))
    inner = next((path for path in candidates if all(_contains(path, name) for name in needed)), None)
    advice = f", but {inner} has (did you mean that one?)" if inner else f": {remedy}"
    raise DataError(f"{root} is not in the layout of {title}: it has no {', '.join(missing)}{advice}")


def _contains(root: Path, name: str) -> bool:
    return (root / name).is_dir() if name.endswith("/") else any(path.is_file() for path in root.glob(name))


class RecordCollector:
    """Records and problems of a dataset whose table has one row per image.

    Args:
        root: Folder of the dataset; the names of records are paths below it.
        dataset: Name of the dataset in the registry.
        classes: Classes to read; rows of other classes are counted and skipped.
        known_classes: All classes of the dataset.
    """

    def __init__(self, root: Path, dataset: str, classes: Sequence[str], known_classes: Sequence[str]) -> None:
        self._root = root
        self._dataset = dataset
        self._classes = classes
        self._known_classes = known_classes
        self._place_of: dict[Path, str] = {}
        self._skipped: Counter[str] = Counter()
        self.records: list[Record] = []
        self.problems: list[str] = []

    def add_row(
        self,
        row: TableRow,
        label_column: str,
        image: Path,
        masks: Sequence[Path],
        patient: str = "",
        spacing: Spacing | None = None,
    ) -> None:
        """Add the image of a row to the records, or its fault to the problems."""
        if image in self._place_of:
            self.problems.append(f"{row.place}: {image.name} already has a line ({self._place_of[image]})")
            return
        self._place_of[image] = row.place
        label = row.cells[label_column].lower()
        if label not in self._known_classes:
            expected = " or ".join(self._known_classes)
            self.problems.append(f"{row.place}: {label_column} is {row.cells[label_column]!r}: expected {expected}")
        elif label not in self._classes:
            self._skipped[label] += 1
        elif self._files_exist(row, image, masks):
            name = image.relative_to(self._root).as_posix()
            self.records.append(Record(image, tuple(masks), label, name, "", self._dataset, patient, "", spacing))

    def _files_exist(self, row: TableRow, image: Path, masks: Sequence[Path]) -> bool:
        missing = [f"{row.place}: there is no image {image}"] if not image.is_file() else []
        missing += [f"{row.place}: there is no mask {mask}" for mask in masks if not mask.is_file()]
        self.problems += missing
        return not missing

    def finish(self, images: Iterable[Path], table: Path) -> tuple[list[Record], list[str]]:
        """Return the records and the problems, including images that the table does not list.

        Args:
            images: Image files of the dataset.
            table: Table whose rows were added.

        Raises:
            DataError: If there are no images of the classes, and no problems that explain it.
        """
        self.problems += [f"{path} has no line in {table.name}" for path in images if path not in self._place_of]
        if not self.records and not self.problems:
            found = ", ".join(f"{count} {label}" for label, count in self._skipped.items()) or "nothing"
            raise DataError(f"{self._root} has no images of the classes {', '.join(self._classes)}: it has {found}")
        if self._skipped:
            logger.info("skipped in %s, not among the requested classes: %s", self._root, dict(self._skipped))
        return self.records, self.problems
