"""Image lists: their file, the images that they keep, and what is said of missing images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.config import DataConfig
from acsnet.data import Record, load_records, read_image_list, split_data
from acsnet.errors import DataError

MakeSet = Callable[..., Path]


@pytest.fixture
def root(make_set: MakeSet) -> Path:
    return make_set(benign=9, malignant=9)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [f"malignant;{i}" for i in (7, 2, 5, 3)] + [f"benign;{i}" for i in (9, 1, 4, 2)] + ["normal;1"]
    path = tmp_path / "curated.csv"
    path.write_text("\n".join(["class;id", *lines]) + "\n")
    return path


def config(root: Path, table: Path, **settings: object) -> DataConfig:
    folds = {"count": 2, "grouped": False, "stratified": True, "validation": "test"}
    keys = {"root": root, "classes": ["benign", "malignant"], "image_list": table, "folds": folds, **settings}
    return DataConfig.model_validate(keys)


def test_the_listed_images_are_kept_in_the_order_of_the_list(root: Path, table: Path) -> None:
    data = config(root, table)
    records = load_records(data, progress=False)
    assert [record.image.stem.split()[1] for record in records] == [
        *("(7)", "(2)", "(5)", "(3)"),
        *("(9)", "(1)", "(4)", "(2)"),
    ]
    split = split_data(records, data)
    assert sorted(record.label for record in split.test) == ["benign"] * 2 + ["malignant"] * 2


def test_missing_images_are_named(root: Path, table: Path) -> None:
    table.write_text(table.read_text() + "".join(f"benign;{i}\n" for i in range(50, 57)))
    message = (
        rf"^7 of the 15 images of data\.image_list {table} are not in the data \(benign \(50\), benign \(51\), benign "
        r"\(52\), benign \(53\), benign \(54\), \.\.\.\): provide all of them, or set data\.image_list=null to use all "
        r"images, or data\.allow_missing=true to go on without them$"
    )
    with pytest.raises(DataError, match=message):
        load_records(config(root, table), progress=False)
    assert len(load_records(config(root, table, allow_missing=True), progress=False)) == 8


def test_a_list_of_other_images(root: Path, table: Path) -> None:
    table.write_text("class;id\nbenign;77\n")
    message = (
        r"^1 of the 1 images of .* \(benign \(77\)\): provide all of them, or set data\.image_list=null to use all im"
    )
    with pytest.raises(DataError, match=message):
        load_records(config(root, table, allow_missing=True), progress=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("class;id\n", r"data\.image_list .*curated\.csv cannot be used: it lists no image$"),
        ("class;id\nbenign;1\nbenign;1\n", r"cannot be used: benign \(1\) has 2 lines$"),
        (
            "class,id\nbenign,1\n",
            r"curated\.csv is not a CSV table \(its cells are separated by commas\): save it as U",
        ),
        (
            "group;number\nbenign;1\n",
            r"curated\.csv has no column class, id: it has group, number, and needs class, id$",
        ),
        ("", r"curated\.csv has no column class, id: it has none, and needs class, id$"),
        ("class;id;id\nbenign;1;2\n", r"curated\.csv is not a CSV table \(it has the column id more than once\)"),
        ('class;id\n"benign;1\n', r"curated\.csv is not a CSV table \(unexpected end of data\): save it as UTF-8"),
        ("class;id\nben\0ign;1\n", r"curated\.csv is not a CSV table \(it has NUL bytes\): save it as UTF-8"),
    ],
)
def test_a_broken_list(table: Path, text: str, problem: str) -> None:
    table.write_text(text)
    with pytest.raises(DataError, match=problem):
        read_image_list(table)


def test_a_missing_list(tmp_path: Path) -> None:
    message = r"^there is no image list .*nothing\.csv: set data\.image_list to it \(that of .*or to null to u"
    with pytest.raises(DataError, match=message):
        read_image_list(tmp_path / "nothing.csv")


@pytest.mark.parametrize("classes", [("malignant",), ("malignant", "normal"), ("cyst",)])
def test_a_list_of_other_classes(classes: tuple[str, ...], table: Path) -> None:
    table.write_text("class;id\nbenign;1\nbenign;2\n")
    message = rf"curated\.csv lists no image of the classes {', '.join(classes)}, only 2 benign: set data\.classes, or"
    with pytest.raises(DataError, match=message):
        read_image_list(table).of_classes(classes)


def test_a_name_of_several_images(table: Path) -> None:
    table.write_text("class;id\nbenign;1\n")
    names = ("a/benign (1).png", "b/benign (1).png", "b/benign (1).jpg")
    records = [Record(Path(name), (), "benign", name=name) for name in names]
    with pytest.raises(DataError, match=r"names benign \(1\), the name of 3 images of the data: leave out all but one"):
        read_image_list(table).keep(records, allow_missing=True)
