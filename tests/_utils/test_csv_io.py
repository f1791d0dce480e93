import os
import zipfile
from pathlib import Path

import pytest

from acsnet._utils.csv_io import TableRow, read_csv, read_table
from acsnet.errors import DataError

openpyxl = pytest.importorskip("openpyxl", reason="the extra `data` is not installed")


def write_book(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_rows_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "info.csv"
    path.write_bytes("\ufeffImage;Label;Other\n a.png ;Benign;\n\nb.png;Normal;x;y\nc.png\n".encode())
    assert read_table(path, ("Label", "Image"), delimiter=";") == [
        TableRow("info.csv line 2", {"Image": "a.png", "Label": "Benign", "Other": ""}),
        TableRow("info.csv line 4", {"Image": "b.png", "Label": "Normal", "Other": "x"}),
        TableRow("info.csv line 5", {"Image": "c.png", "Label": "", "Other": ""}),
    ]


def test_rows_of_a_workbook(tmp_path: Path) -> None:
    rows = [["Image", "Type", None], [1, "Benign ", "x"], [2.0, "Malignant"], [None, None], ["0003", 0.25]]
    path = write_book(tmp_path / "B.xlsx", data=rows)
    assert [(row.place, row.cells["Image"], row.cells["Type"]) for row in read_table(path, ("Image", "Type"))] == [
        ("B.xlsx line 2", "1", "Benign"),
        ("B.xlsx line 3", "2", "Malignant"),
        ("B.xlsx line 5", "0003", "0.25"),
    ]


def test_the_sheet_that_has_the_columns(tmp_path: Path) -> None:
    path = write_book(tmp_path / "b.xlsx", notes=[["read me"]], empty=[], data=[["Type", "Image"], ["Benign", 7]])
    assert [row.cells for row in read_table(path, ("Image", "Type"))] == [{"Image": "7", "Type": "Benign"}]


def test_missing_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ID,Case\n")
    with pytest.raises(DataError, match=r"t\.csv has no column Pathology: it has ID, Case, and needs ID, Pathology$"):
        read_table(tmp_path / "t.csv", ("ID", "Pathology"))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty\.csv has no column ID: it has none"):
        read_table(tmp_path / "empty.csv", ("ID",))
    book = write_book(tmp_path / "t.xlsx", notes=[["read me"]], data=[["Image", None, "Kind"]])
    with pytest.raises(DataError, match=r"t\.xlsx has no column Type: it has Image, Kind, and needs Image, Type$"):
        read_table(book, ("Image", "Type"))


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    book = write_book(tmp_path / "t.xlsx", a=[["Image", "Type", "Image"], ["1", "Benign", "2"]])
    with pytest.raises(DataError, match=r"t\.xlsx has the column Image more than once: leave one of them"):
        read_table(book, ("Image", "Type"))
    (tmp_path / "t.csv").write_text("Image,Type,Image\n")
    with pytest.raises(DataError, match=r"t\.csv is not a CSV table \(it has the column Image more than once\)"):
        read_table(tmp_path / "t.csv", ("Image", "Type"))


def test_a_workbook_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.xlsx")
    with pytest.raises(
        DataError, match=r"t\.xlsx is not an Excel workbook \(it is a named pipe\): check that it is a f"
    ):
        read_table(tmp_path / "t.xlsx", ("Image",))


def test_a_single_sheet_must_have_all_columns(tmp_path: Path) -> None:
    book = write_book(tmp_path / "t.xlsx", a=[["Image", "Type"]], b=[["Type", "Case"]])
    with pytest.raises(DataError, match=r"t\.xlsx has no column Case: it has Image, Type"):
        read_table(book, ("Image", "Type", "Case"))


def test_missing_files(tmp_path: Path) -> None:
    for name in ("none.csv", "none.xlsx"):
        with pytest.raises(DataError, match=rf"there is no table .*{name}"):
            read_table(tmp_path / name, ("ID",))


def test_files_that_are_not_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        DataError, match=r"a\.csv is not a CSV table \(.+\): save it as UTF-8 text with cells separated by "
    ):
        read_table(tmp_path / "a.csv", ("ID",), delimiter=";")
    (tmp_path / "a.xlsx").write_text("no workbook")
    with pytest.raises(DataError, match=r"a\.xlsx is not an Excel workbook \(.+\): save the table as \.xlsx, or copy"):
        read_table(tmp_path / "a.xlsx", ("ID",))
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as archive:
        archive.writestr("something", "else")
    with pytest.raises(DataError, match=r"b\.xlsx is not an Excel workbook \(.+\): save the table as \.xlsx, or copy"):
        read_table(tmp_path / "b.xlsx", ("ID",))


def test_a_workbook_cut_short(tmp_path: Path) -> None:
    book = write_book(tmp_path / "t.xlsx", a=[["Image", "Type"], *([number, "Benign"] for number in range(500))])
    book.write_bytes(book.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"t\.xlsx is not an Excel workbook"):
        read_table(book, ("Image",))


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    message = r"b\.xlsx is an Excel workbook, which needs openpyxl: pip install 'acsnet\[data\]'"
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "b.xlsx", ("ID",))


@pytest.mark.parametrize("size", [1 << 29, 1 << 36, 1 << 42])
def test_tables_of_any_size_are_refused_before_they_are_read(tmp_path: Path, size: int) -> None:
    with (tmp_path / "t.csv").open("wb") as file:
        file.truncate(size)
    with pytest.raises(DataError, match=r"t\.csv cannot be read \(it has more than 268435456 bytes\): check that"):
        read_csv(tmp_path / "t.csv", "missing")
