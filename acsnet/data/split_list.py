"""A split that is written down: a CSV table of which image is trained on, validated on, tested.

It holds for whoever has the same images, in whatever form and beside whatever others: images that it does not name are
left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, get_args

from acsnet._utils.files import write_csv
from acsnet.config import Subset
from acsnet.data.csv_io import read_table
from acsnet.data.folds import Split
from acsnet.data.image_files import natural_order, problem_list
from acsnet.data.records import Record, stable_hash
from acsnet.errors import DataError

COLUMNS = ("dataset", "name", "label", "group", "subset")
_SUBSETS: tuple[Subset, ...] = tuple(part for part in get_args(Subset) if part != "all")


class ListedImage(NamedTuple):
    """One line: the image's class, its group and its part, ``train``, ``val`` or ``test``."""

    label: str
    group: str
    subset: str


@dataclass(frozen=True)
class SplitList:
    """A list read from a file.

    Attributes:
        path: the file.
        images: by dataset and name.
    """

    path: Path
    images: dict[tuple[str, str], ListedImage]

    @property
    def hash(self) -> str:
        """That of the split that it makes; see :attr:`acsnet.data.Split.hash`."""
        return stable_hash(sorted((*key, image.label, image.subset) for key, image in self.images.items()))

    def keep(self, records: Sequence[Record]) -> list[Record]:
        """The records that are listed, in the groups of the list.

        Raises:
            DataError: naming what is listed and not there.
        """
        there = {(record.dataset, record.name) for record in records}
        missing = [f"{dataset}/{name}" for dataset, name in self.images if (dataset, name) not in there]
        if missing:
            raise DataError(
                f"{len(missing)} of the {len(self.images)} images of the split {self.path} are not in the data "
                f"({missing[0]}, ...): give all of its images; a test of others is one of data.split=all"
            )
        return [
            replace(record, group=self.images[key].group)
            for record in records
            if (key := (record.dataset, record.name)) in self.images
        ]

    def split(self, records: Sequence[Record]) -> Split:
        """The split of listed records.

        Raises:
            DataError: naming the images that have another class than in the list.
        """
        parts: dict[str, list[Record]] = {part: [] for part in _SUBSETS}
        problems = []
        for record in records:
            image = self.images[record.dataset, record.name]
            parts[image.subset].append(record)
            if image.label != record.label:
                problems.append(f"{record.dataset}/{record.name} is {image.label} in the list, {record.label} here")
        if problems:
            raise DataError(problem_list(f"the data is not that of the split {self.path}", problems))
        return Split(**{part: tuple(members) for part, members in parts.items()})


def read_split_list(path: Path) -> SplitList:
    """Read what :func:`write_split_list` wrote.

    Raises:
        DataError: for a table that is missing, empty or broken.
    """
    lines = read_table(path, COLUMNS)
    parts = [line.cells["subset"] for line in lines]
    problems = [
        f"{x.where}: the part is {part!r}" for x, part in zip(lines, parts, strict=True) if part not in _SUBSETS
    ]
    keys = [(line.cells["dataset"], line.cells["name"]) for line in lines]
    problems += [f"{dataset}/{name} has {n} lines" for (dataset, name), n in Counter(keys).items() if n > 1]
    problems += [f"there is no image in the part {part}" for part in _SUBSETS if part not in parts]
    if problems:
        raise DataError(problem_list(f"{path} is no list of train, val and test", problems))
    images = (ListedImage(*(line.cells[column] for column in COLUMNS[2:])) for line in lines)
    return SplitList(path, dict(zip(keys, images, strict=True)))


def write_split_list(path: Path, split: Split) -> None:
    """Write the list of a split of verified records, by dataset and name."""
    parts = [(record, part) for part in _SUBSETS for record in split.subset(part)]
    parts.sort(key=lambda pair: (pair[0].dataset, natural_order(pair[0].name)))
    rows = [{**{key: getattr(record, key) for key in COLUMNS[:-1]}, "subset": part} for record, part in parts]
    write_csv(path, rows)
