from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from acsnet.data import Record, read_dataset, verify_records
from acsnet.errors import DataError

WriteImage = Callable[..., Path]
WriteBook = Callable[[Path, Sequence[Sequence[object]]], None]


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage, write_book: WriteBook) -> Path:
    root = tmp_path / "BUS"
    for number in (1, 2, 17):
        write_image(root / "original" / f"{number:06d}.png")
        write_image(root / "GT" / f"{number:06d}.png", color=(255, 255, 255))
    # As a number, as text, as a file name.
    write_book(
        root / "DatasetB.xlsx", [["Image", "Type"], [1, "Benign"], ["000002", "Malignant"], ["17.png", "Benign"]]
    )
    return root


def test_records(root: Path) -> None:
    records = read_dataset("udiat", root)
    assert records[1] == Record(
        root / "original" / "000002.png",
        (root / "GT" / "000002.png",),
        "malignant",
        name="original/000002.png",
        dataset="udiat",
    )
    assert [(record.image.name, record.label) for record in records] == [
        ("000001.png", "benign"),
        ("000002.png", "malignant"),
        ("000017.png", "benign"),
    ]
    assert len(verify_records(records, progress=False)) == 3


def test_all_problems_are_listed_at_once(root: Path, write_image: WriteImage, write_book: WriteBook) -> None:
    write_book(root / "DatasetB.xlsx", [["Image", "Type"], [1, "benign"], [2, ""], [3, "Malignant"]])
    with pytest.raises(DataError, match="BUS cannot be used, 4 problems:") as error:
        read_dataset("udiat", root)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "DatasetB.xlsx line 3: Type is '': expected benign or malignant",
        f"DatasetB.xlsx line 4: there is no image {root}/original/000003.png",
        f"DatasetB.xlsx line 4: there is no mask {root}/GT/000003.png",
        f"{root}/original/000017.png has no line in DatasetB.xlsx",
    ]


def test_another_layout(root: Path) -> None:
    (root / "GT").rename(root / "masks")
    with pytest.raises(
        DataError, match=r"BUS is not in the layout of UDIAT \(Dataset B\): it has no GT/: acsnet download"
    ):
        read_dataset("udiat", root)


def test_without_openpyxl(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"DatasetB\.xlsx is an Excel workbook, .* pip install 'acsnet\[data\]'"):
        read_dataset("udiat", root)
