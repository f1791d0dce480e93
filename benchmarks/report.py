"""Measurements of benchmarks as a JSON file, as text, and as a section of docs/benchmarks/speed.md."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from acsnet._utils.files import replace_section, write_text
from acsnet._utils.json_text import parse_json
from acsnet._utils.tables import Table
from acsnet.errors import InputError
from benchmarks.measure import Measurement

SECTION = "speed"
_TITLES = {
    "deform_conv": "Modulated deformable 3x3 convolution, as multiples of a plain `conv2d` of the same shape",
    "train": "A training step",
    "infer": "Inference",
    "tasks": "Inference of both tasks: one network, or two networks side by side (Chung et al. 2024)",
    "data": "The input pipeline, one process",
    "files": "Prediction and test of files",
    "growth": "A training step of ACSNet against image and batch size",
    "around": "Around the training step: whole commands, each in a new process",
}


@dataclass(frozen=True)
class Report:
    """Measurements on one machine.

    Attributes:
        machine: its device, number of threads and version of torch.
        rows: the measurements.
    """

    machine: dict[str, str | int]
    rows: tuple[Measurement, ...]

    def write(self, path: Path) -> None:
        """Write the measurements as JSON; measurements of other benchmarks in the file are preserved.

        Raises:
            InputError: as in :meth:`check_file`.
        """
        self.check_file(path)
        previous = Report.read(path).rows if path.is_file() else ()
        measured = {row.benchmark for row in self.rows}
        rows = [asdict(row) for row in (*(row for row in previous if row.benchmark not in measured), *self.rows)]
        lines = ",\n    ".join(json.dumps(row) for row in rows)
        write_text(path, f'{{\n  "machine": {json.dumps(self.machine)},\n  "rows": [\n    {lines}\n  ]\n}}\n')

    def check_file(self, path: Path) -> None:
        """Check, before measuring, that the measurements can be written to a file.

        Raises:
            InputError: if the file has other content, or measurements of another machine.
        """
        if path.is_file() and (other := Report.read(path).machine) != self.machine:
            raise InputError(
                f"{path} has measurements of {_name(other)}, but this is {_name(self.machine)}: pass another --json"
            )

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read a file written by :meth:`write`.

        Raises:
            InputError: if the file is missing or has other content.
        """
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            _name(content["machine"])
            return cls(content["machine"], tuple(Measurement(**row) for row in content["rows"]))
        except FileNotFoundError:
            raise InputError(f"there is no file {path}: create it by python -m benchmarks ... --json {path}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} has no measurements of python -m benchmarks ({error}): pass another --json"
            ) from error


def _name(machine: dict[str, str | int]) -> str:
    return f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}"


def tables(measurements: Iterable[Measurement]) -> dict[str, Table]:
    """Return one table per benchmark, by the names of the benchmarks."""
    grouped: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        grouped.setdefault(measurement.benchmark, []).append(measurement)
    builders: dict[str, Callable[[Sequence[Measurement]], Table]] = {
        "deform_conv": _ratio_table,
        "growth": _growth_table,
        "data": _rate_table,
        "files": _files_table,
        "around": _commands_table,
        "tasks": _tasks_table,
    }
    return {name: builders.get(name, _time_table)(grouped[name]) for name in _TITLES if name in grouped}


def render_text(measurements: Iterable[Measurement]) -> str:
    """Return the tables as text, for a terminal."""
    return "\n\n".join(
        f"{_TITLES[name]}\n{table.to_text(underline=False, align='left')}"
        for name, table in tables(measurements).items()
    )


def render_markdown(reports: Sequence[Report]) -> str:
    """Return the section of the page: for each report the machine, then the tables."""
    blocks = []
    for report in reports:
        blocks.append(f"Measured by `python -m benchmarks` on {_name(report.machine)}, in turns (medians).")
        blocks += [f"**{_TITLES[name]}**\n\n{table.to_markdown()}" for name, table in tables(report.rows).items()]
    return "\n\n".join(blocks)


def update_page(path: Path, *reports: Report) -> None:
    """Rewrite the section between the markers of a Markdown file.

    Raises:
        InputError: if the file is missing or has no markers.
    """
    write_text(path, replace_section(path, SECTION, lambda: render_markdown(reports)))


def check_page(path: Path, *reports: Report) -> None:
    """Check that the section between the markers of a Markdown file is up to date.

    Raises:
        InputError: if it is not, if the file is missing, or if it has no markers.
    """
    if replace_section(path, SECTION, lambda: render_markdown(reports)) != path.read_text(encoding="utf-8"):
        raise InputError(f"the speed section of {path} is stale: run python -m benchmarks page --json FILE ...")


def _ratio_table(measurements: Sequence[Measurement]) -> Table:
    """Return one row per case and one column per contender: the ratio, and the memory if it was measured."""
    reference = measurements[0].reference
    contenders = [name for name in dict.fromkeys(own.contender for own in measurements) if name != reference]
    cells = {(own.case, own.contender): _format_ratio(own) for own in measurements}
    rows = [
        (own.case, f"{own.seconds * 1e3:.1f}", *(cells.get((own.case, name), "-") for name in contenders))
        for own in measurements
        if own.contender == own.reference
    ]
    return Table.from_rows([("case", f"{reference}, ms", *contenders), *rows])


def _format_ratio(measurement: Measurement) -> str:
    memory = "" if measurement.memory_mb is None else f", {measurement.memory_mb:.0f} MB"
    return f"{measurement.ratio:.1f}x{memory}"


def _time_table(measurements: Sequence[Measurement]) -> Table:
    header = (measurements[0].case, "seconds", f"against {measurements[0].reference}", "peak memory, MB")
    rows = [
        (own.contender, f"{own.seconds:.3f}", _format_number(own.ratio, "x"), _format_number(own.memory_mb, "", 0))
        for own in measurements
    ]
    return Table.from_rows([header, *rows])


def _rate_table(measurements: Sequence[Measurement]) -> Table:
    header = (measurements[0].case, "images per second", "times as many")
    rows = [(own.contender, f"{1 / own.seconds:.0f}", f"{1 / (own.ratio or math.nan):.1f}x") for own in measurements]
    return Table.from_rows([header, *rows])


def _files_table(measurements: Sequence[Measurement]) -> Table:
    rows = [("files to results", "contender", "images per second", "times as many")]
    for own in measurements:
        rows.append((own.case, own.contender, f"{1 / own.seconds:.1f}", f"{1 / (own.ratio or math.nan):.1f}x"))
    return Table.from_rows(rows)


def _commands_table(measurements: Sequence[Measurement]) -> Table:
    rows = [("command", "contender", "seconds", "against the first")]
    for own in measurements:
        rows.append((own.case, own.contender, f"{own.seconds:.1f}", _format_number(own.ratio, "x")))
    return Table.from_rows(rows)


def _tasks_table(measurements: Sequence[Measurement]) -> Table:
    header = (measurements[0].case, "ms per batch", "against one network")
    rows = [(own.contender, f"{own.seconds * 1e3:.1f}", _format_number(own.ratio, "x")) for own in measurements]
    return Table.from_rows([header, *rows])


def _growth_table(measurements: Sequence[Measurement]) -> Table:
    """Return time, memory, and the exponent of the time relative to the row before, if that has fewer pixels."""
    rows = [("case", "seconds", "peak memory, MB", "exponent of the time in pixels, from the line before")]
    for before, own in zip((None, *measurements), measurements, strict=False):
        exponent = math.nan if before is None else _exponent(before, own)
        shown = "-" if math.isnan(exponent) else f"{exponent:.2f}"
        rows.append((own.case, f"{own.seconds:.2f}", _format_number(own.memory_mb, "", 0), shown))
    return Table.from_rows(rows)


def _exponent(before: Measurement, own: Measurement) -> float:
    pixels = _count_pixels(own.case) / _count_pixels(before.case)
    return math.log(own.seconds / before.seconds) / math.log(pixels) if pixels > 1 else math.nan


def _count_pixels(case: str) -> int:
    """Return the pixels of a batch, from ``batch 8, 256x256``."""
    batch, size = case.split(", ")
    height, width = size.split("x")
    return int(batch.removeprefix("batch ")) * int(height) * int(width)


def _format_number(value: float | None, unit: str, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"
