"""Tables as such: what stands in which cell, whatever they are written as."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One figure of a table, in words.

    Attributes:
        text: the figure.
        low, high: the bounds of its confidence interval, or "".
        mean, deviation: its mean over folds and their standard deviation, or "".
        marks: what stands raised beside the figure, explained below the table, or "".
        best: whether it is the best of its column.
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


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        title: its head.
        published: whether its figures are published ones, not measured here.
        words: whether it holds words, which may be broken into lines.
    """

    title: str
    published: bool = False
    words: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: what its first column says.
        cells: a cell a column.
        letter: by which marks refer to it, or "".
        remark: what is said beside the name, or "".
        published: whether all its figures are published ones.
    """

    name: str
    cells: Sequence[Cell]
    letter: str = ""
    remark: str = ""
    published: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: its name in files.
        caption: what it shows.
        head: what its first column, that of the names, is.
        columns: the columns after the first; measured ones before published ones.
        rows: its rows.
        notes: what stands below it.
        reading: how to read it, which tables that stand together share.
    """

    key: str
    caption: str
    head: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    reading: Sequence[str] = ()

    @property
    def measured(self) -> int:
        """How many columns hold measured figures."""
        return sum(not column.published for column in self.columns)

    @property
    def published(self) -> int:
        """How many columns hold published figures."""
        return len(self.columns) - self.measured


def plain_table(
    key: str,
    caption: str,
    head: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
    words: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Table:
    """A table of bare words and figures; ``words`` names the columns that hold words."""
    return Table(
        key,
        caption,
        head,
        [Column(title, words=title in words) for title in columns],
        [Row(name, [Cell(text) for text in cells]) for name, cells in rows],
        notes,
    )
