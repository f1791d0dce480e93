"""Figures of benchmarks as a file, as text, and as the README's section."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from acsnet._utils.files import replace_section, write_text
from acsnet.errors import InputError
from benchmarks.measure import Row

SECTION = "speed"
_TITLES = {
    "deform_conv": "Modulated deformable 3x3 convolution, as multiples of a plain `conv2d` of the same shape",
    "train": "A training step",
    "infer": "Inference",
    "data": "The input pipeline, one process",
    "growth": "A training step of ACSNet against image and batch size",
}


@dataclass(frozen=True)
class Report:
    """What was measured, and where.

    Attributes:
        machine: its device, threads and version of torch.
        rows: the figures.
    """

    machine: dict[str, str | int]
    rows: tuple[Row, ...]

    def write(self, path: Path) -> None:
        """Write the figures as JSON; those of other benchmarks that the file has stay.

        Raises:
            InputError: as :meth:`check_file`.
        """
        self.check_file(path)
        kept = Report.read(path).rows if path.is_file() else ()
        measured = {row.benchmark for row in self.rows}
        rows = [asdict(row) for row in (*(row for row in kept if row.benchmark not in measured), *self.rows)]
        lines = ",\n    ".join(json.dumps(row) for row in rows)
        write_text(path, f'{{\n  "machine": {json.dumps(self.machine)},\n  "rows": [\n    {lines}\n  ]\n}}\n')

    def check_file(self, path: Path) -> None:
        """Check, before anything is measured, that the figures can be written to a file.

        Raises:
            InputError: for a file with something else, or with figures of another machine.
        """
        if path.is_file() and (other := Report.read(path).machine) != self.machine:
            raise InputError(
                f"{path} has figures of {_name(other)}, here is {_name(self.machine)}: give another --json"
            )

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read what :meth:`write` wrote.

        Raises:
            InputError: for a file that is missing or something else.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            _name(content["machine"])
            return cls(content["machine"], tuple(Row(**row) for row in content["rows"]))
        except FileNotFoundError:
            raise InputError(f"there is no file {path}: make it by python -m benchmarks ... --json {path}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} has no figures of python -m benchmarks ({error}): give another --json") from error


def _name(machine: dict[str, str | int]) -> str:
    return f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}"


Table = list[tuple[str, ...]]


def tables(rows: Iterable[Row]) -> dict[str, Table]:
    """A table a benchmark, its first row the heading."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.benchmark, []).append(row)
    builders: dict[str, Callable[[Sequence[Row]], Table]] = {"deform_conv": _by_case, "growth": _growth, "data": _rates}
    return {name: builders.get(name, _by_contender)(grouped[name]) for name in _TITLES if name in grouped}


def render_text(rows: Iterable[Row]) -> str:
    """The tables for a terminal."""
    blocks = []
    for name, table in tables(rows).items():
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in table]
        blocks.append("\n".join([_TITLES[name], *(line.rstrip() for line in lines)]))
    return "\n\n".join(blocks)


def render_markdown(report: Report) -> str:
    """The README's section: the machine, then the tables."""
    blocks = [f"Measured by `python -m benchmarks` on {_name(report.machine)}, in turns (medians)."]
    for name, (heading, *body) in tables(report.rows).items():
        rule = ("---", *("---:" for _ in heading[1:]))
        lines = [f"| {' | '.join(line)} |" for line in (heading, rule, *body)]
        blocks.append(f"**{_TITLES[name]}**\n\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def update_readme(path: Path, report: Report) -> None:
    """Rewrite the section between the markers of a Markdown file.

    Raises:
        InputError: for a file that is missing or has no markers.
    """
    write_text(path, replace_section(path, SECTION, lambda: render_markdown(report)))


def check_readme(path: Path, report: Report) -> None:
    """Check that the section is what :func:`update_readme` would write.

    Raises:
        InputError: where it is not, saying how to regenerate it.
    """
    if replace_section(path, SECTION, lambda: render_markdown(report)) != path.read_text(encoding="utf-8"):
        raise InputError(f"the speed section of {path} is stale: run python -m benchmarks readme --json FILE")


def _by_case(rows: Sequence[Row]) -> Table:
    """A line a case, a column a contender: the ratio, and the memory where it was measured."""
    contenders = [name for name in dict.fromkeys(row.contender for row in rows) if name != rows[0].reference]
    cells = {(row.case, row.contender): _ratio(row) for row in rows}
    reference = {row.case: row for row in rows if row.contender == row.reference}
    heading = ("case", f"{rows[0].reference}, ms", *contenders)
    body = [
        (case, f"{row.seconds * 1e3:.1f}", *(cells.get((case, name), "-") for name in contenders))
        for case, row in reference.items()
    ]
    return [heading, *body]


def _ratio(row: Row) -> str:
    memory = "" if row.memory_mb is None else f", {row.memory_mb:.0f} MB"
    return f"{row.ratio:.1f}x{memory}"


def _by_contender(rows: Sequence[Row]) -> Table:
    heading = (rows[0].case, "seconds", f"against {rows[0].reference}", "peak memory, MB")
    return [heading, *((row.contender, f"{row.seconds:.3f}", _or_dash(row.ratio, "x"), _or_dash(row.memory_mb, "", 0))
                       for row in rows)]  # fmt: skip


def _rates(rows: Sequence[Row]) -> Table:
    heading = (rows[0].case, "images a second", "times as many")
    return [
        heading,
        *((row.contender, f"{1 / row.seconds:.0f}", f"{1 / (row.ratio or math.nan):.1f}x") for row in rows),
    ]


def _growth(rows: Sequence[Row]) -> Table:
    """Time, memory, and the exponent of the time from the row before with the same batch or the same size."""
    heading = ("case", "seconds", "peak memory, MB", "exponent of the time in pixels, from the line before")
    body: Table = []
    for before, row in zip((None, *rows), rows, strict=False):
        exponent = math.nan if before is None else _exponent(before, row)
        shown = "-" if math.isnan(exponent) else f"{exponent:.2f}"
        body.append((row.case, f"{row.seconds:.2f}", _or_dash(row.memory_mb, "", 0), shown))
    return [heading, *body]


def _exponent(before: Row, row: Row) -> float:
    pixels = _pixels(row.case) / _pixels(before.case)
    return math.log(row.seconds / before.seconds) / math.log(pixels) if pixels > 1 else math.nan


def _pixels(case: str) -> int:
    """Pixels of a batch, from ``batch 8, 256x256``."""
    batch, size = case.split(", ")
    height, width = size.split("x")
    return int(batch.removeprefix("batch ")) * int(height) * int(width)


def _or_dash(value: float | None, unit: str, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"
