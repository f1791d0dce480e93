"""One table type, written as plain text, Markdown, LaTeX and CSV.

The HTML form is the macro ``data_table`` of ``templates/parts.html``, which takes a :class:`Table` and escapes its
values.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from acsnet._utils.csv_text import csv_text

Align = Literal["left", "right"]
# The heading of columns without a source of their own.
MEASURED = "measured"
_CSV_COLUMNS = (
    "table",
    "row",
    "column",
    "source",
    "figure",
    "low",
    "high",
    "fold_mean",
    "fold_deviation",
    "marks",
    "best",
)
_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    # A bracket after a line break would be read as the argument of the break.
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
}


@dataclass(frozen=True)
class MarkdownStyle:
    """The choices that GitHub's Markdown leaves open.

    Attributes:
        left, right: the delimiters below the titles of left-aligned and right-aligned columns.
        escaped: the characters that a backslash is put before.
    """

    left: str = "---"
    right: str = "---:"
    escaped: str = "|"

    def escape(self, text: str) -> str:
        """Return any text on one line, with a backslash before the characters to escape."""
        return re.sub(f"([{re.escape(self.escaped)}])", r"\\\1", _one_line(text))


# For tables that people also read as source, whose cells may contain Markdown.
README_STYLE = MarkdownStyle()
# For cells of any text: every character with a meaning in Markdown is escaped.
STRICT_STYLE = MarkdownStyle(":--", "--:", r"\|*_`<[]")


@dataclass(frozen=True)
class Cell:
    """One cell: a value, with its confidence interval and significance marks where it has them.

    Attributes:
        text: the value.
        low, high: the bounds of its confidence interval, or "".
        mean, deviation: its mean and standard deviation over folds, or "".
        marks: superscript marks, such as letters of significance, or "".
        best: whether it is the best value of its column; set in bold.
    """

    text: str
    low: str = ""
    high: str = ""
    mean: str = ""
    deviation: str = ""
    marks: str = ""
    best: bool = False

    @property
    def bounds(self) -> str:
        """The confidence interval, "0.712, 0.771", or ""."""
        return f"{self.low}, {self.high}" if self.low else ""

    @property
    def spread(self) -> str:
        """Mean and standard deviation over folds, "0.742 ± 0.021", or ""."""
        return f"{self.mean} ± {self.deviation}" if self.mean else ""

    def join(self, value: str) -> str:
        """Return a written value followed by the interval in brackets and the spread in parentheses."""
        bounds = f"[{self.bounds}]" if self.bounds else ""
        spread = f"({self.spread})" if self.spread else ""
        return " ".join(filter(None, (value, bounds, spread)))


@dataclass(frozen=True)
class Column:
    """A column of values.

    Attributes:
        title: its header.
        source: the origin of its values if they were not measured, such as "published"; otherwise "".
        align: "right" for numbers, "left" for words, which LaTeX may break into lines.
    """

    title: str
    source: str = ""
    align: Align = "right"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: the content of its first column.
        cells: one cell per column.
        letter: the letter by which marks refer to this row, or "".
        remark: text behind the name, or "".
        source: the origin of its values if they were not measured, such as "published"; otherwise "".
        link: the address that the name links to in Markdown, or "".
        is_code: whether the name is set as code in Markdown.
    """

    name: str
    cells: Sequence[Cell]
    letter: str = ""
    remark: str = ""
    source: str = ""
    link: str = ""
    is_code: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        row_header: the title of the first column.
        columns: the columns after the first; columns of one source are neighbors.
        rows: its rows.
        key: its name in files, or "".
        caption: its title, or "".
        notes: remarks shown below it.
        legend: how to read it; tables that are shown together share it.

    Example:
        >>> table = Table.from_rows([("network", "Dice"), ("unet", "0.742"), ("acsnet", "0.801")])
        >>> print(table.to_text())
        network   Dice
        --------------
        unet     0.742
        acsnet   0.801
        >>> print(table.to_markdown())
        | network | Dice |
        | --- | ---: |
        | unet | 0.742 |
        | acsnet | 0.801 |
    """

    row_header: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    key: str = ""
    caption: str = ""
    notes: Sequence[str] = field(default=())
    legend: Sequence[str] = field(default=())

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), **labels: Any) -> "Table":
        """Build a table of plain text.

        Args:
            rows: the header, then one sequence of cells per row.
            left: the titles of the columns of words.
            **labels: ``key``, ``caption``, ``notes`` and ``legend``.
        """
        row_header, *titles = rows[0]
        columns = [Column(title, align="left" if title in left else "right") for title in titles]
        return cls(row_header, columns, [Row(name, [*map(Cell, cells)]) for name, *cells in rows[1:]], **labels)

    @property
    def sources(self) -> list[tuple[str, int]]:
        """The sources of the columns and the number of columns of each; empty if all values were measured."""
        runs = [(source, len([*columns])) for source, columns in groupby(column.source for column in self.columns)]
        return [(source or MEASURED, count) for source, count in runs] if any(source for source, _ in runs) else []

    def to_text(self, *, underline: bool = True, align: Align | None = None) -> str:
        """Return the table as aligned plain text, for a terminal.

        Args:
            underline: draw a line below the header.
            align: the alignment of all columns, instead of their own.
        """
        header = [self.row_header, *(column.title for column in self.columns)]
        body = [[_text_name(row), *(cell.join(cell.text + cell.marks) for cell in row.cells)] for row in self.rows]
        lines = [[_one_line(cell) for cell in line] for line in (header, *body)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        pads = [str.ljust, *((str.ljust if (align or own.align) == "left" else str.rjust) for own in self.columns)]
        written = [
            "  ".join(pad(cell, width) for pad, cell, width in zip(pads, line, widths, strict=True)).rstrip()
            for line in lines
        ]
        rule = ["-" * (sum(widths) + 2 * (len(widths) - 1))] if underline else []
        return "\n".join([written[0], *rule, *written[1:]])

    def to_markdown(self, style: MarkdownStyle = README_STYLE) -> str:
        """Return the table in GitHub's Markdown, without caption and notes."""
        escape = style.escape

        def mark(text: str, marks: str) -> str:
            return text + (f"<sup>{escape(marks)}</sup>" if marks else "")

        def write_name(row: Row) -> str:
            name = f"`{row.name}`" if row.is_code else escape(row.name)
            name = f"[{name}]({row.link})" if row.link else name
            return mark(name, row.letter) + (f", {escape(row.remark)}" if row.remark else "")

        def write_cell(cell: Cell) -> str:
            return cell.join(mark(f"**{escape(cell.text)}**" if cell.best else escape(cell.text), cell.marks))

        titles = [f"{column.title} ({column.source})" if column.source else column.title for column in self.columns]
        delimiters = [style.left, *(style.left if own.align == "left" else style.right for own in self.columns)]
        lines = [map(escape, (self.row_header, *titles)), delimiters]
        lines += [[write_name(row), *map(write_cell, row.cells)] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_latex(self) -> str:
        """Return the table as a LaTeX float in the style of booktabs, with all text escaped."""
        alignment = "l" + "".join("p{5cm}" if column.align == "left" else "r" for column in self.columns)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape_latex(self.caption)}}}",
            rf"\label{{tab:{self.key}}}",
            r"\small",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            *self._latex_sources(),
            _latex_line(map(escape_latex, (self.row_header, *(column.title for column in self.columns)))),
            r"\midrule",
            *(line for row in self.rows for line in _latex_row(row)),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        notes = " ".join(map(escape_latex, (*self.legend, *self.notes)))
        lines += [rf"\par\smallskip\footnotesize {notes}"] if notes else []
        return "\n".join([*lines, r"\end{table}", ""])

    def _latex_sources(self) -> Iterator[str]:
        """Yield the header lines that group the columns by source."""
        if not self.sources:
            return
        yield _latex_line(["", *(rf"\multicolumn{{{count}}}{{c}}{{{source}}}" for source, count in self.sources)])
        rules, start = [], 2
        for _, count in self.sources:
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
            start += count
        yield " ".join(rules)

    def to_csv(self) -> str:
        """Return the table as CSV with one line per cell; see :func:`tables_to_csv`."""
        return tables_to_csv([self])

    def _csv_lines(self) -> Iterator[Mapping[str, str]]:
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                yield {
                    "table": self.key,
                    "row": row.name,
                    "column": column.title,
                    "source": column.source or row.source or MEASURED,
                    "figure": cell.text,
                    "low": cell.low,
                    "high": cell.high,
                    "fold_mean": cell.mean,
                    "fold_deviation": cell.deviation,
                    "marks": cell.marks,
                    "best": "yes" if cell.best else "",
                }


def tables_to_csv(tables: Iterable[Table]) -> str:
    """Return several tables as one CSV file with one line per cell.

    Text that a spreadsheet would run as a formula is guarded (:mod:`acsnet._utils.csv_text`).
    """
    return csv_text(_CSV_COLUMNS, (line for table in tables for line in table._csv_lines()))


def escape_latex(text: str) -> str:
    r"""Escape any text for LaTeX; a hyphen before a number becomes a minus sign.

    Example:
        >>> print(escape_latex("unet_resnet50: -0.012"))
        unet\_resnet50: $-$0.012
    """
    escaped = re.sub("|".join(map(re.escape, _LATEX_ESCAPES)), lambda found: _LATEX_ESCAPES[found[0]], _one_line(text))
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


def _latex_row(row: Row) -> Iterator[str]:
    """Yield up to three lines: values, confidence intervals, means over folds."""

    def mark(text: str, marks: str) -> str:
        return text + (rf"\textsuperscript{{{escape_latex(marks)}}}" if marks else "")

    def write_value(cell: Cell) -> str:
        text = escape_latex(cell.text)
        return mark(rf"\textbf{{{text}}}" if cell.best else text, cell.marks)

    def write_small(text: str) -> str:
        return rf"{{\footnotesize {text}}}" if text else ""

    remark = f", {escape_latex(row.remark)}" if row.remark else ""
    yield _latex_line([mark(escape_latex(row.name), row.letter) + remark, *map(write_value, row.cells)])
    if any(cell.bounds for cell in row.cells):
        bounds = [f"[{escape_latex(cell.bounds)}]" if cell.bounds else "" for cell in row.cells]
        yield _latex_line(["", *map(write_small, bounds)])
    if any(cell.spread for cell in row.cells):
        yield _latex_line(["", *(write_small(escape_latex(cell.spread)) for cell in row.cells)])


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _text_name(row: Row) -> str:
    return row.name + (f", {row.remark}" if row.remark else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
