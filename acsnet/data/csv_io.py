"""Reading the tables that datasets come with: CSV, and Excel's .xlsx."""

import csv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acsnet.errors import DataError

CsvRow = tuple[int, dict[Any, Any]]


class Line(NamedTuple):
    """One line of a table.

    Attributes:
        where: file and line, for messages.
        cells: text by column, without surrounding blanks; empty cells are "".
    """

    where: str
    cells: dict[str, str]


def read_csv(path: Path, missing: str, delimiter: str = ",") -> tuple[Sequence[str], list[CsvRow]]:
    """Read a CSV file with or without the byte-order mark that spreadsheets put first.

    Args:
        path: the file.
        missing: the message where there is none.
        delimiter: what parts cells.

    Returns:
        The columns and, with its line number, each row; a row of too few cells has None in the last, one of too many
        the key None.

    Raises:
        DataError: for a file that is missing or no CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader]
            return reader.fieldnames or [], rows
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise DataError(missing) from None
    except (csv.Error, UnicodeDecodeError) as error:
        name = {",": "commas", ";": "semicolons"}[delimiter]
        raise DataError(
            f"{path} is not a CSV table ({error}): save it as UTF-8 text, cells parted by {name}"
        ) from error


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[Line]:
    """Read the lines of a table, CSV or ``.xlsx`` by its suffix; other columns than those needed may be there.

    Of a workbook the first sheet whose first line has the columns is read.

    Raises:
        DataError: for a file that is missing, no table, or without one of the columns, and for a workbook where
            openpyxl is not installed.
    """
    if path.suffix.lower() == ".xlsx":
        return _read_sheet(path, columns)
    header, rows = read_csv(path, f"there is no table {path}", delimiter)
    if any(column not in header for column in columns):
        raise _without_columns(path, columns, header)
    return [Line(f"{path.name} line {number}", _texts(row)) for number, row in rows]


def _without_columns(path: Path, needed: Sequence[str], found: Sequence[str]) -> DataError:
    missing = ", ".join(column for column in needed if column not in found)
    return DataError(f"{path} has no column {missing}: it has {', '.join(found) or 'none'}")


def _texts(row: dict[Any, Any]) -> dict[str, str]:
    return {key: (value or "").strip() for key, value in row.items() if key is not None}


def _read_sheet(path: Path, columns: Sequence[str]) -> list[Line]:
    headers: list[list[str]] = []
    for rows in _sheets(path):
        header = [_cell(value) for value in next(iter(rows), ())]
        headers.append(header)
        if all(column in header for column in columns):
            cells = (dict(zip(header, map(_cell, row), strict=False)) for row in rows[1:])
            lines = [Line(f"{path.name} line {number}", line) for number, line in enumerate(cells, start=2)]
            # Spreadsheets often end in lines that were once filled.
            return [line for line in lines if any(line.cells.values())]
    raise _without_columns(path, columns, [name for name in max(headers, key=len, default=[]) if name])


def _sheets(path: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Give the rows of each sheet of a workbook."""
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"{path} is an Excel workbook, which needs openpyxl: pip install 'acsnet[data]'") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            yield from [list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets]
        finally:
            book.close()
    except FileNotFoundError:
        raise DataError(f"there is no table {path}") from None
    # What openpyxl lets through where bytes are broken.
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, SyntaxError, TypeError) as error:
        raise DataError(f"{path} is not an Excel workbook ({error}): copy it again from its source") from error


def _cell(value: Any) -> str:
    """A cell as text; whole numbers without the fraction that spreadsheets give them."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
