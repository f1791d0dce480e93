"""Reading of the tables that come with datasets: CSV and Excel's .xlsx."""

import csv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acsnet._utils.csv_text import unguard
from acsnet.errors import DataError

# Line number in the file, and cells by column.
CsvRow = tuple[int, dict[Any, Any]]


class TableRow(NamedTuple):
    """One row of a CSV table or a workbook.

    Attributes:
        place: File and line number, for error messages.
        cells: Text by column, without surrounding blanks; "" for empty cells.
    """

    place: str
    cells: dict[str, str]


def read_csv(path: Path, missing: str, delimiter: str = ",") -> tuple[Sequence[str], list[CsvRow]]:
    """Read a CSV file, with or without the byte-order mark that spreadsheets write.

    An apostrophe that keeps spreadsheets from running a cell as a formula is removed; see
    :mod:`acsnet._utils.csv_text`.

    Args:
        path: CSV file.
        missing: Error message if the file does not exist.
        delimiter: Separator of the cells.

    Returns:
        The columns, and each row with its line number. In a row with too few cells the last ones are None; in a row
        with too many the surplus is under the key None.

    Raises:
        DataError: If the file is missing or is not CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, delimiter=delimiter)
            reader.fieldnames = [*map(unguard, reader.fieldnames or ())]
            rows = [(reader.line_num, {key: _unguarded(cell) for key, cell in row.items()}) for row in reader]
            return reader.fieldnames, rows
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise DataError(missing) from None
    except (csv.Error, UnicodeDecodeError) as error:
        name = {",": "commas", ";": "semicolons"}[delimiter]
        raise DataError(
            f"{path} is not a CSV table ({error}): save it as UTF-8 text with cells separated by {name}"
        ) from error


def _unguarded(cell: Any) -> Any:
    """Return a cell, None for a missing one, or the list of the surplus ones, without apostrophes before formulas."""
    if isinstance(cell, list):
        return [*map(unguard, cell)]
    return cell if cell is None else unguard(cell)


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[TableRow]:
    """Read the rows of a CSV table or, if the suffix is ``.xlsx``, of a workbook.

    The table may have further columns. In a workbook, the first sheet whose first row has the columns is read.

    Args:
        path: CSV file or workbook.
        columns: Columns that the table must have.
        delimiter: Separator of the cells in a CSV file.

    Raises:
        DataError: If the file is missing, is not a table or lacks one of the columns, or if it is a workbook and
            openpyxl is not installed.
    """
    if path.suffix.lower() == ".xlsx":
        return _read_workbook(path, columns)
    header, rows = read_csv(path, f"there is no table {path}", delimiter)
    if any(column not in header for column in columns):
        raise _missing_columns(path, columns, header)
    return [TableRow(f"{path.name} line {number}", _stripped(row)) for number, row in rows]


def _missing_columns(path: Path, needed: Sequence[str], found: Sequence[str]) -> DataError:
    missing = ", ".join(column for column in needed if column not in found)
    return DataError(f"{path} has no column {missing}: it has {', '.join(found) or 'none'}")


def _stripped(row: dict[Any, Any]) -> dict[str, str]:
    return {key: (value or "").strip() for key, value in row.items() if key is not None}


def _read_workbook(path: Path, columns: Sequence[str]) -> list[TableRow]:
    headers: list[list[str]] = []
    for sheet in _sheets(path):
        header = [_cell_text(value) for value in next(iter(sheet), ())]
        headers.append(header)
        if all(column in header for column in columns):
            cells = (dict(zip(header, map(_cell_text, values), strict=False)) for values in sheet[1:])
            rows = [TableRow(f"{path.name} line {number}", texts) for number, texts in enumerate(cells, start=2)]
            # Sheets often end with rows that were filled once and are empty now.
            return [row for row in rows if any(row.cells.values())]
    raise _missing_columns(path, columns, [name for name in max(headers, key=len, default=[]) if name])


def _sheets(path: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of each sheet of a workbook."""
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
    # openpyxl raises any of these for damaged files.
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, SyntaxError, TypeError) as error:
        raise DataError(
            f"{path} is not an Excel workbook ({error}): save the table as .xlsx, or copy the file again from its "
            "source if it is damaged"
        ) from error


def _cell_text(value: Any) -> str:
    """Return a cell as text, whole numbers without the fraction that spreadsheets add."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
