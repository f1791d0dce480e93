"""Tables as Markdown."""

import re
from collections.abc import Iterable, Sequence

from acsnet.report.tables import Cell, Row, Table


def to_markdown(tables: Sequence[Table]) -> str:
    """Lay out tables as GitHub's Markdown; published figures stand in columns that say so."""
    return "\n".join(_table(table) for table in tables)


def _table(table: Table) -> str:
    heads = [table.head]
    heads += [f"{column.title} (published)" if column.published else column.title for column in table.columns]
    lines = [f"### {_escape(table.caption)}", "", _row(map(_escape, heads))]
    lines.append(_row([":--", *(":--" if column.words else "--:" for column in table.columns)]))
    lines += [_row([_head(row), *map(_cell, row.cells)]) for row in table.rows]
    lines += ["", *(f"- {_escape(note)}" for note in (*table.reading, *table.notes)), ""]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = f"**{_escape(cell.text)}**" if cell.best else _escape(cell.text)
    parts = [_marked(text, cell.marks)]
    parts += [f"[{cell.bounds}]"] if cell.bounds else []
    parts += [f"({cell.spread})"] if cell.spread else []
    return " ".join(parts)


def _head(row: Row) -> str:
    return _marked(_escape(row.name), row.letter) + (f", {_escape(row.remark)}" if row.remark else "")


def _marked(text: str, marks: str) -> str:
    return text + (f"<sup>{_escape(marks)}</sup>" if marks else "")


def _escape(text: str) -> str:
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", " ".join(text.split()))
