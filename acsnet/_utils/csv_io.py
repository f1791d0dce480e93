"""Reading of the tables that come with datasets: CSV and Excel's .xlsx."""

import codecs
import csv
import io
import os
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acsnet._utils.csv_text import unguard
from acsnet._utils.extras import explain_missing
from acsnet._utils.file_kinds import file_fault
from acsnet._utils.printable import has_other_bytes
from acsnet._utils.reading import MAX_TEXT_BYTES, read_bytes
from acsnet.errors import DataError

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

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


def read_csv(
    path: Path, missing: str, delimiter: str = ",", names: Collection[str] = ()
) -> tuple[Sequence[str], list[CsvRow]]:
    """Read a CSV file, with or without the byte-order mark that spreadsheets write.

    An apostrophe that keeps spreadsheets from running a cell as a formula is removed; see
    :mod:`acsnet._utils.csv_text`.

    Args:
        path: CSV file.
        missing: Error message if the file does not exist.
        delimiter: Separator of the cells.
        names: Columns with names of files, whose bytes need not be UTF-8.

    Returns:
        The columns, and each row with its line number. In a row with too few cells the last ones are None; in a row
        with too many the surplus is under the key None.

    Raises:
        DataError: If the file is missing or is not CSV, has a column twice, or separates its cells by something else.
    """
    content = _read_bytes(path, missing)
    columns: Sequence[str] = []
    rows: list[CsvRow] = []
    fault = _fault(content)
    if fault is None:
        # Bytes that are not UTF-8 become single surrogates, as in names of files.
        text = content.decode("utf-8-sig", errors="surrogateescape")
        try:
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
            reader.fieldnames = columns = [unguard(column.strip()) for column in reader.fieldnames or []]
            rows = [(reader.line_num, {key: _unguarded(cell) for key, cell in row.items()}) for row in reader]
            fault = _fault_of_cells(columns, rows, delimiter, names)
        except csv.Error as error:
            fault = str(error)
    if fault is not None:
        raise DataError(
            f"{path} is not a CSV table ({fault}): save it as UTF-8 text with cells separated by "
            f"{_SEPARATORS[delimiter]}"
        )
    return columns, rows


def _unguarded(cell: Any) -> Any:
    """Return a cell, None for a missing one, or the list of the surplus ones, without apostrophes before formulas."""
    if isinstance(cell, list):
        return [*map(unguard, cell)]
    return cell if cell is None else unguard(cell)


def _read_bytes(path: Path, missing: str) -> bytes:
    try:
        return read_bytes(path, MAX_TEXT_BYTES)
    except OSError as error:
        if not os.path.exists(path) or path.is_dir():
            raise DataError(missing) from None
        raise DataError(
            f"{path} cannot be read ({error.strerror}): check that it is a file that you may read"
        ) from error


def _fault(content: bytes) -> str | None:
    """Return why bytes are not text in UTF-8, or None; single characters in another encoding are found later."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "its encoding is UTF-16"
    return "it has NUL bytes" if b"\0" in content else None


def _fault_of_cells(
    columns: Sequence[str], rows: Sequence[CsvRow], delimiter: str, names: Collection[str]
) -> str | None:
    repeated = [column for column, count in Counter(columns).items() if column and count > 1]
    if repeated:
        return f"it has the column {repeated[0]} more than once"
    if any(map(has_other_bytes, columns)):
        return "line 1 is not UTF-8"
    for other in _SEPARATORS:
        if len(columns) == 1 and other != delimiter and other in columns[0]:
            return f"its cells are separated by {_SEPARATORS[other]}"
    for line, row in rows:
        for column, cell in row.items():
            if column not in names and isinstance(cell, str) and has_other_bytes(cell):
                return f"line {line} is not UTF-8"
    return None


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",", names: Collection[str] = ()) -> list[TableRow]:
    """Read the rows of a CSV table or, if the suffix is ``.xlsx``, of a workbook.

    The table may have further columns. In a workbook, the first sheet whose first row has the columns is read.

    Args:
        path: CSV file or workbook.
        columns: Columns that the table must have.
        delimiter: Separator of the cells in a CSV file.
        names: Columns with names of files, whose bytes need not be UTF-8 in a CSV file.

    Raises:
        DataError: If the file is missing, is not a table or lacks one of the columns, or
            if it is a workbook and openpyxl is not installed.
    """
    if path.suffix.lower() == ".xlsx":
        return _read_workbook(path, columns)
    header, rows = read_csv(path, f"there is no table {path}", delimiter, names)
    if any(column not in header for column in columns):
        raise missing_columns(path, columns, header)
    return [TableRow(f"{path.name} line {number}", _stripped(row)) for number, row in rows]


def missing_columns(path: Path, needed: Sequence[str], found: Sequence[str]) -> DataError:
    """Return the error of a table that lacks columns; it has the columns that are needed and those that are there."""
    missing = ", ".join(column for column in needed if column not in found)
    return DataError(
        f"{path} has no column {missing}: it has {', '.join(found) or 'none'}, and needs {', '.join(needed)}"
    )


def _stripped(row: dict[Any, Any]) -> dict[str, str]:
    return {key: (value or "").strip() for key, value in row.items() if key is not None}


def _read_workbook(path: Path, columns: Sequence[str]) -> list[TableRow]:
    headers: list[list[str]] = []
    for sheet in _sheets(path):
        header = [_cell_text(value) for value in next(iter(sheet), ())]
        headers.append(header)
        if all(column in header for column in columns):
            repeated = [column for column in columns if header.count(column) > 1]
            if repeated:
                raise DataError(f"{path} has the column {repeated[0]} more than once: leave one of them")
            cells = (dict(zip(header, map(_cell_text, values), strict=False)) for values in sheet[1:])
            rows = [TableRow(f"{path.name} line {number}", texts) for number, texts in enumerate(cells, start=2)]
            # Sheets often end with rows that were filled once and are empty now.
            return [row for row in rows if any(row.cells.values())]
    raise missing_columns(path, columns, [name for name in max(headers, key=len, default=[]) if name])


def _sheets(path: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of each sheet of a workbook."""
    fault = file_fault(path)
    if fault is not None and os.path.exists(path):
        raise DataError(f"{path} is not an Excel workbook ({fault}): check that it is a file that you may read")
    with explain_missing(f"{path} is an Excel workbook, which", DataError):
        import openpyxl
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
