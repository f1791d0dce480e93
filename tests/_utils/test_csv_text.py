"""Text that spreadsheets run is guarded, numbers are not, and reading gives back what was written."""

import csv
import itertools
from pathlib import Path

import pytest

from acsnet._utils.csv_io import read_csv, read_table
from acsnet._utils.csv_text import guard, unguard
from acsnet._utils.files import write_csv
from acsnet._utils.tables import Table

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://x","a")',
    "+cmd|' /C calc'!A0",
    "-benign.png",
    "-1-2",
    "+1+2.png",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =1",
    "＝1+1",  # noqa: RUF001
    "-inf",
    "'=1",
    "''@x",
    "-caf\udce9.png",
]
NUMBERS = ["-1", "-0.25", "+3", "-1e-05", "-.5", "-1 %", "-0.1, 0.2", "-0.012 ± 0.02", "-0.1 ± 0.2"]
PLAIN = ["", "a.png", "a=b", "'a'", "it's", "1-2", "–", "-", "a\n=1", "a\rb", "a\r\nb", "benign (1).png"]  # noqa: RUF001


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_runs(text: str) -> None:
    assert guard(text) == f"'{text}"
    assert unguard(guard(text)) == text


@pytest.mark.parametrize("text", NUMBERS + PLAIN)
def test_numbers_and_other_text_stay_as_they_are(text: str) -> None:
    assert guard(text) == text
    assert unguard(text) == text


def test_reading_gives_back_all_text() -> None:
    for letters in itertools.product("'=-1 \ta", repeat=4):
        assert unguard(guard("".join(letters))) == "".join(letters)


def test_every_csv_file_of_the_package(tmp_path: Path) -> None:
    texts = [text for text in FORMULAS if text.isascii()] + NUMBERS + PLAIN
    path = tmp_path / "cases.csv"
    write_csv(path, [{"image": text, "=column": number - 5, "path": Path(text)} for number, text in enumerate(texts)])
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            assert all(cell[:1] not in ("=", "+", "@", "\t", "\r") or cell == "+3" for cell in row)
    columns, rows = read_csv(path, "missing")
    assert columns == ["image", "=column", "path"]
    assert [row["image"] for _, row in rows] == texts
    assert [int(row["=column"]) for _, row in rows] == [number - 5 for number in range(len(texts))]
    assert [Path(row["path"]) for _, row in rows] == [Path(text) for text in texts]


def test_tables_with_too_few_and_too_many_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n'=1\n'=2,x,'=3\n")
    assert [row for _, row in read_csv(path, "")[1]] == [{"a": "=1", "b": None}, {"a": "=2", "b": "x", None: ["=3"]}]
    assert read_table(path, ("a",))[0].cells == {"a": "=1", "b": ""}


@pytest.mark.parametrize(("name", "written"), [("=x", "'=x"), ("-a b", "'-a b"), ("@me", "'@me")])
def test_tables_of_reports(name: str, written: str) -> None:
    table = Table.from_rows([("network", "Dice"), (name, "-0.012")])
    assert [line.split(",")[1:6:4] for line in table.to_csv().splitlines()[1:]] == [[written, ""]]
    assert ",-0.012," in table.to_csv()
