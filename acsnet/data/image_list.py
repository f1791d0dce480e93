"""Image lists: the images of a dataset that are used, such as the curated images of BUSI of a publication.

A list is a CSV file with the columns ``class`` and ``id``, separated by semicolons, as Aumente-Maestro et al. 2025
publish theirs: ``benign;20`` is the image ``benign (20)``.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from acsnet._utils.csv_io import read_table
from acsnet.data.file_names import compose
from acsnet.data.image_files import problem_list
from acsnet.data.records import Record
from acsnet.errors import DataError

_COLUMNS = ("class", "id")
_SHOWN = 5


@dataclass(frozen=True)
class ImageList:
    """A list of images.

    Attributes:
        path: CSV file of the list.
        labels: class of each image by its name, such as ``benign (20)``, in the order of the file.
    """

    path: Path
    labels: dict[str, str]

    def of_classes(self, labels: Collection[str]) -> "ImageList":
        """Return the list without the images of other classes.

        Raises:
            DataError: if none is left.
        """
        left = {name: label for name, label in self.labels.items() if label in labels}
        if not left:
            listed = ", ".join(f"{count} {label}" for label, count in Counter(self.labels.values()).items())
            raise DataError(
                f"data.image_list {self.path} lists no image of the classes {', '.join(labels)}, only {listed}: set "
                "data.classes, or data.class_map={label: class}"
            )
        return ImageList(self.path, left)

    def keep(self, records: Sequence[Record], allow_missing: bool) -> list[Record]:
        """Return the listed records, in the order of the list.

        Args:
            records: records of a dataset.
            allow_missing: leave out images that are listed, but not among the records.

        Raises:
            DataError: if a listed image is missing and that is not allowed, if all are, or if several have its name.
        """
        present = {listed_name(record): record for record in records}
        counts = Counter(map(listed_name, records))
        repeated = [name for name in self.labels if counts[name] > 1]
        if repeated:
            raise DataError(
                f"data.image_list {self.path} names {repeated[0]}, the name of {counts[repeated[0]]} images of the "
                "data: leave out all but one of them"
            )
        missing = [name for name in self.labels if name not in present]
        if missing and (not allow_missing or len(missing) == len(self.labels)):
            shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            remedy = "provide all of them, or set data.image_list=null to use all images"
            if len(missing) < len(self.labels):
                remedy += ", or data.allow_missing=true to go on without them"
            raise DataError(
                f"{len(missing)} of the {len(self.labels)} images of data.image_list {self.path} are not in the data "
                f"({shown}): {remedy}"
            )
        return [present[name] for name in self.labels if name in present]


def listed_name(record: Record) -> str:
    """Return the name of a record in an image list: the file name without suffix."""
    return PurePath(record.name).stem


def read_image_list(path: str | Path) -> ImageList:
    r"""Read an image list.

    Args:
        path: CSV file with the columns ``class`` and ``id``, separated by semicolons.

    Raises:
        DataError: if the file is missing or empty, has other columns, or lists an image twice.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.data import read_image_list
        >>> path = Path(tempfile.mkdtemp()) / "curated.csv"
        >>> _ = path.write_text("class;id\nbenign;20\nnormal;3\n")
        >>> read_image_list(path).labels
        {'benign (20)': 'benign', 'normal (3)': 'normal'}
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"there is no image list {path}: set data.image_list to it (that of Aumente-Maestro et al. is "
            "data/mapping_curated_BUSI.csv of their code, multi_task_breast_cancer), or to null to use all images"
        )
    rows = read_table(path, _COLUMNS, delimiter=";")
    names = [compose(f"{row.cells['class']} ({row.cells['id']})") for row in rows]
    problems = [f"{name} has {n} lines" for name, n in Counter(names).items() if n > 1]
    if not rows:
        problems.append("it lists no image")
    if problems:
        raise DataError(problem_list(f"data.image_list {path} cannot be used", problems))
    return ImageList(path, dict(zip(names, (row.cells["class"] for row in rows), strict=True)))
