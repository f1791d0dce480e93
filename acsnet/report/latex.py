"""Tables as LaTeX, for papers: booktabs, every name escaped."""

import re
from collections.abc import Iterator, Sequence

from acsnet.report.tables import Cell, Row, Table

_HEAD = (
    "% Tables of a comparison; \\input them where they belong. They need \\usepackage{booktabs} and UTF-8.\n"
    '% Columns under "published" hold figures of publications, all others were measured.\n'
)
_SPECIAL = {
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
    # After a line break, a bracket would be its argument.
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
}


def to_latex(tables: Sequence[Table]) -> str:
    """Lay out tables as floats of a LaTeX document."""
    return _HEAD + "".join(f"\n{_table(table)}" for table in tables)


def escape(text: str) -> str:
    """Write any text so that LaTeX prints it; a minus before a figure is one."""
    escaped = re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found[0]], " ".join(text.split()))
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)


def _table(table: Table) -> str:
    columns = "l" + "".join("p{5cm}" if column.words else "r" for column in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{tab:{table.key}}}",
        r"\small",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_groups(table),
        _row([escape(table.head), *(escape(column.title) for column in table.columns)]),
        r"\midrule",
        *(line for row in table.rows for line in _lines(row)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    # One paragraph below the table, which a paper will cut.
    notes = " ".join(map(escape, (*table.reading, *table.notes)))
    lines += [rf"\par\smallskip\footnotesize {notes}"] if notes else []
    return "\n".join([*lines, r"\end{table}", ""])


def _groups(table: Table) -> Iterator[str]:
    """A line over the heads that parts measured from published columns."""
    if not table.published:
        return
    end = 1 + len(table.columns)
    first = end - table.published + 1
    yield _row(["", rf"\multicolumn{{{table.measured}}}{{c}}{{measured}}",
                rf"\multicolumn{{{table.published}}}{{c}}{{published}}"])  # fmt: skip
    yield rf"\cmidrule(lr){{2-{first - 1}}} \cmidrule(lr){{{first}-{end}}}"


def _lines(row: Row) -> Iterator[str]:
    """A row as up to three lines: figures, intervals, means over folds."""
    cells = row.cells
    remark = f", {escape(row.remark)}" if row.remark else ""
    yield _row([_marked(escape(row.name), row.letter) + remark, *map(_figure, cells)])
    if any(cell.bounds for cell in cells):
        yield _row(["", *(rf"{{\footnotesize [{escape(cell.bounds)}]}}" if cell.bounds else "" for cell in cells)])
    if any(cell.spread for cell in cells):
        yield _row(["", *(rf"{{\footnotesize {escape(cell.spread)}}}" if cell.spread else "" for cell in cells)])


def _figure(cell: Cell) -> str:
    text = rf"\textbf{{{escape(cell.text)}}}" if cell.best else escape(cell.text)
    return _marked(text, cell.marks)


def _marked(text: str, marks: str) -> str:
    return text + (rf"\textsuperscript{{{escape(marks)}}}" if marks else "")


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
