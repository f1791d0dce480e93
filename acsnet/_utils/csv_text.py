"""The text of CSV files, in which no cell is a formula that a spreadsheet would run.

A spreadsheet runs a cell that begins with one of a few characters, and the name of a file may be ``=HYPERLINK(...)``.
Such text gets an apostrophe before it, which spreadsheets take as the mark of text. Text that has apostrophes before
such a character already gets one more, so that reading removes exactly what writing added.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# The wide forms are run by spreadsheets in Chinese, Japanese and Korean.
_RUN = re.compile(r"'*\s*[=+\-@\t\r＝＋－＠](?=\s*\S)")  # noqa: RUF001
# One apostrophe that writing added.
_GUARDED = re.compile(rf"'(?={_RUN.pattern})")
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*%?"
# A number, a mean with its deviation, or the bounds of an interval.
_NUMBERS = re.compile(rf"\s*{_NUMBER}(?:\s*[±,]\s*{_NUMBER})*\s*")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of a CSV file with a header; :func:`guard` is applied to all text.

    Args:
        columns: the order of the columns.
        rows: one mapping per row; missing values are empty cells.

    Raises:
        ValueError: if a row has a value without a column.
    """
    lines: list[str] = []
    # The writer quotes carriage returns only if lines end with one.
    writer = csv.DictWriter(SimpleNamespace(write=lines.append), columns, lineterminator="\r\n")
    writer.writerow({name: guard(name) for name in columns})
    writer.writerows({name: _guarded(value) for name, value in row.items()} for row in rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def _guarded(value: Any) -> Any:
    return guard(str(value)) if isinstance(value, str | Path) else value


def guard(text: str) -> str:
    """Return text with an apostrophe before it if a spreadsheet would run it; numbers stay as they are.

    Example:
        >>> guard("=1+1"), guard("-0.25"), guard("-a.png"), guard("a=b")
        ("'=1+1", '-0.25', "'-a.png", 'a=b')
    """
    return f"'{text}" if _RUN.match(text) and not _NUMBERS.fullmatch(text) else text


def unguard(text: str) -> str:
    """Return the text that :func:`guard` was given.

    Example:
        >>> unguard("'=1+1"), unguard("'a'"), unguard(guard("'=1"))
        ('=1+1', "'a'", "'=1")
    """
    return text[1:] if _GUARDED.match(text) else text
