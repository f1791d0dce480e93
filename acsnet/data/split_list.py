"""Split lists: a split in a CSV file with one row per image and its subset, train, val or test.

A list can be applied to any dataset that contains its images, in any form; images that it does not list are ignored.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from acsnet._utils.csv_io import read_table
from acsnet._utils.files import write_csv
from acsnet.data.file_names import compose
from acsnet.data.folds import SUBSETS, Split
from acsnet.data.image_files import natural_order, problem_list
from acsnet.data.records import Record, stable_hash
from acsnet.errors import DataError

COLUMNS = ("dataset", "name", "label", "group", "subset")


class ListedImage(NamedTuple):
    """One image of a split list.

    Attributes:
        label: Class of the image.
        group: Group of the image.
        subset: ``train``, ``val`` or ``test``.
    """

    label: str
    group: str
    subset: str


@dataclass(frozen=True)
class SplitList:
    """A split that was read from a file.

    Attributes:
        path: CSV file of the split.
        images: Images by dataset and name.
    """

    path: Path
    images: dict[tuple[str, str], ListedImage]

    @property
    def hash(self) -> str:
        """Hash of the split that the list makes; see :attr:`acsnet.data.Split.hash`."""
        return stable_hash(sorted((*key, image.label, image.subset) for key, image in self.images.items()))

    def of_classes(self, labels: Collection[str]) -> "SplitList":
        """Return the list without the images of other classes."""
        return SplitList(self.path, {key: image for key, image in self.images.items() if image.label in labels})

    def keep(self, records: Sequence[Record], allow_missing: bool = False) -> list[Record]:
        """Return the listed records, with the groups of the list.

        Args:
            records: Records of a dataset.
            allow_missing: Leave out images that are listed, but not among the records.

        Raises:
            DataError: If a listed image is missing and that is not allowed, or if all are.
        """
        present = {(record.dataset, record.name) for record in records}
        missing = [f"{dataset}/{name}" for dataset, name in self.images if (dataset, name) not in present]
        if missing and (not allow_missing or len(missing) == len(self.images)):
            raise DataError(
                f"{len(missing)} of the {len(self.images)} images of the split {self.path} are not in the data "
                f"({missing[0]}, ...): provide all of its images, test other images with data.split=all, or use it as "
                "data.image_list with data.allow_missing=true"
            )
        return [
            replace(record, group=self.images[key].group)
            for record in records
            if (key := (record.dataset, record.name)) in self.images
        ]

    def split(self, records: Sequence[Record], validate_on_test: bool = False) -> Split:
        """Return the split of listed records.

        Args:
            records: The listed records.
            validate_on_test: Use the test subset for validation, too; the list has no validation subset then.

        Raises:
            DataError: If images have another class than in the list, or if a validation subset is missing or not used;
                all of them are listed.
        """
        subsets: dict[str, list[Record]] = {subset: [] for subset in SUBSETS}
        problems = []
        for record in records:
            image = self.images[record.dataset, record.name]
            subsets[image.subset].append(record)
            if image.label != record.label:
                problems.append(
                    f"{record.dataset}/{record.name} is {image.label} in the list, {record.label} in the data"
                )
        if validate_on_test == bool(subsets["val"]):
            found = f"{len(subsets['val'])} images of the subset val"
            expected = "none, since data.folds.validation is test" if validate_on_test else "at least one"
            problems.append(f"the list has {found}: expected {expected}")
        if problems:
            raise DataError(problem_list(f"the data does not match the split {self.path}", problems))
        if validate_on_test:
            subsets["val"] = subsets["test"]
        return Split(**{subset: tuple(members) for subset, members in subsets.items()})


def read_split_list(path: str | Path) -> SplitList:
    """Read a split list, as :func:`write_split_list` writes it.

    Args:
        path: CSV file with the columns ``dataset``, ``name``, ``label``, ``group`` and ``subset``.

    Raises:
        DataError: If the table is missing, empty or broken.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data import Record, Split, read_split_list, write_split_list
        >>> a, b, c = (Record(Path(name), (), "benign", name) for name in ("a.png", "b.png", "c.png"))
        >>> path = Path(tempfile.mkdtemp()) / "split.csv"
        >>> write_split_list(path, Split(train=(a,), val=(b,), test=(c,)))
        >>> read_split_list(path).images["busi", "b.png"].subset
        'val'
    """
    path = Path(path)
    rows = read_table(path, COLUMNS, names=("name", "group"))
    subsets = [row.cells["subset"] for row in rows]
    problems = [
        f"{row.place}: the subset is {subset!r}: expected one of {', '.join(SUBSETS)}"
        for row, subset in zip(rows, subsets, strict=True)
        if subset not in SUBSETS
    ]
    keys = [(row.cells["dataset"], compose(row.cells["name"])) for row in rows]
    problems += [f"{dataset}/{name} has {n} lines" for (dataset, name), n in Counter(keys).items() if n > 1]
    problems += [f"the subset {subset} has no images" for subset in ("train", "test") if subset not in subsets]
    if problems:
        raise DataError(problem_list(f"{path} is not a list of train, val and test images", problems))
    images = (ListedImage(*(row.cells[column] for column in COLUMNS[2:])) for row in rows)
    return SplitList(path, dict(zip(keys, images, strict=True)))


def write_split_list(path: str | Path, split: Split) -> None:
    """Write a split of verified records as a CSV file, sorted by dataset and name.

    See :func:`read_split_list` for an example.
    """
    path = Path(path)
    written = ("train", "test") if split.is_validated_on_test else SUBSETS
    listed = [(record, subset) for subset in written for record in split.subset(subset)]
    listed.sort(key=lambda item: (item[0].dataset, natural_order(item[0].name)))
    rows = [{**{key: getattr(record, key) for key in COLUMNS[:-1]}, "subset": subset} for record, subset in listed]
    write_csv(path, rows)
