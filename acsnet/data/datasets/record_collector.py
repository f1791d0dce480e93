"""What the readers of sets with a table have in common: records and problems, line by line."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from acsnet.data.csv_io import Line
from acsnet.data.records import Record, Spacing
from acsnet.errors import DataError

logger = logging.getLogger(__name__)


def check_root(root: Path, dataset: str, title: str, needed: Sequence[str]) -> None:
    """Check that a root holds the files and folders of a layout; folders end in "/".

    Raises:
        DataError: naming what is missing, and the folder further down that has it.
    """
    get = f"python tools/download.py {dataset} fetches {title}, or says how it is had"
    if not root.exists():
        raise DataError(f"there is no data root {root}: {get}")
    missing = [name for name in needed if not _has(root, name)]
    if not missing:
        return
    inner = [path for depth in ("*/", "*/*/") for path in sorted(root.glob(depth)) if _holds(path, needed)]
    guess = f", but {inner[0]} has (did you mean that one?)" if inner else f": {get}"
    raise DataError(f"{root} is not in the layout of {title}, it has no {', '.join(missing)}{guess}")


def _has(root: Path, name: str) -> bool:
    return (root / name).is_dir() if name.endswith("/") else any(path.is_file() for path in root.glob(name))


def _holds(root: Path, needed: Sequence[str]) -> bool:
    return all(_has(root, name) for name in needed)


class Gathering:
    """Collects records of a set whose table has a line an image.

    Args:
        root: the set's folder; names of records are paths below it.
        dataset: the set's name in the registry.
        wanted: the classes that are read; lines of others are counted and left out.
        known: every class of the set.
    """

    def __init__(self, root: Path, dataset: str, wanted: Sequence[str], known: Sequence[str]) -> None:
        self._root = root
        self._dataset = dataset
        self._wanted = wanted
        self._known = known
        self._seen: dict[Path, str] = {}
        self._left_out: Counter[str] = Counter()
        self.records: list[Record] = []
        self.problems: list[str] = []

    def add(
        self,
        line: Line,
        label_column: str,
        image: Path,
        masks: Sequence[Path],
        patient: str = "",
        spacing: Spacing | None = None,
    ) -> None:
        """Add the image of a line, or note what is wrong with it."""
        if image in self._seen:
            self.problems.append(f"{line.where}: {image.name} has a line already ({self._seen[image]})")
            return
        self._seen[image] = line.where
        label = line.cells[label_column].lower()
        if label not in self._known:
            expected = " or ".join(self._known)
            self.problems.append(f"{line.where}: {label_column} is {line.cells[label_column]!r}: expected {expected}")
        elif label not in self._wanted:
            self._left_out[label] += 1
        elif self._are_there(line, image, masks):
            name = image.relative_to(self._root).as_posix()
            self.records.append(Record(image, tuple(masks), label, name, "", self._dataset, patient, "", spacing))

    def _are_there(self, line: Line, image: Path, masks: Sequence[Path]) -> bool:
        missing = [f"{line.where}: there is no image {image}"] if not image.is_file() else []
        missing += [f"{line.where}: there is no mask {mask}" for mask in masks if not mask.is_file()]
        self.problems += missing
        return not missing

    def finish(self, images: Iterable[Path], table: Path) -> tuple[list[Record], list[str]]:
        """Give records and problems, images of the set that the table leaves out among them.

        Raises:
            DataError: where nothing of the classes is there, and nothing is wrong either.
        """
        self.problems += [f"{path} has no line in {table.name}" for path in images if path not in self._seen]
        if not self.records and not self.problems:
            found = ", ".join(f"{count} {label}" for label, count in self._left_out.items()) or "nothing"
            raise DataError(f"{self._root} has no images of the classes {', '.join(self._wanted)}: it has {found}")
        if self._left_out:
            logger.info("left out of %s, not asked for: %s", self._root, dict(self._left_out))
        return self.records, self.problems
