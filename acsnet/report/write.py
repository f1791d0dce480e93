"""The files of a report: one page, and its tables as CSV, Markdown and LaTeX."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acsnet._utils.files import write_text
from acsnet._utils.html import render
from acsnet.report.comparison import comparison_tables
from acsnet.report.effects import effect_table, find_effects
from acsnet.report.header import head_tiles
from acsnet.report.images import find_records
from acsnet.report.latex import to_latex
from acsnet.report.markdown import to_markdown
from acsnet.report.networks import Network
from acsnet.report.pairwise_tests import paired_test_tables
from acsnet.report.pictures import draw_figures, picture_sections
from acsnet.report.protocol import cost_table, environments_of, part_shared, protocol_rows, settings_of
from acsnet.report.published import find_published
from acsnet.report.published_comparison import published_tables
from acsnet.report.tables import Table
from acsnet.statistics import compare

_COLUMNS = (
    "table", "row", "column", "source", "figure", "low", "high", "fold_mean", "fold_deviation", "marks", "best",
)  # fmt: skip


def write_report(
    folder: Path,
    networks: Sequence[Network],
    *,
    reference: str | None = None,
    title: str = "Comparison of networks",
    problems: Sequence[str] = (),
) -> list[str]:
    """Write ``report.html``, ``comparison.csv``, ``comparison.md`` and ``comparison.tex``, each whole or not at all.

    Args:
        folder: where to.
        networks: of :func:`~acsnet.report.read_networks`.
        reference: the network that the others are tested against; by default all pairs are tested.
        title: of the page.
        problems: what could not be read, a line each; they head the page.

    Returns:
        A line for each thing that is missing beside those problems: images that were not found.

    Raises:
        RunError: where the networks cannot be compared, with the difference.
        UnknownNameError: for a reference that is none of the networks.
    """
    comparison = compare([run for network in networks for run in network.runs], reference)
    published = {network.name: known for network in networks if (known := find_published(network))}
    effects = effect_table(find_effects(networks))
    tables: dict[str, list[Table]] = {
        "comparison": comparison_tables(comparison, networks, published),
        "published": published_tables(comparison, published),
        "tests": paired_test_tables(comparison),
        "effects": _known(effects),
        "cost": [cost_table(networks)],
    }
    records, missing = find_records(networks)
    facts = {
        "settings": part_shared("settings", "Settings that differ", networks, settings_of(networks)),
        "environment": part_shared("environment", "What differs", networks, environments_of(networks)),
    }
    page = render(
        "report.html",
        title=title,
        tiles=head_tiles(comparison, networks),
        problems=[*problems, *missing],
        comparison=comparison,
        tables=tables,
        figures=draw_figures(networks, records),
        picture_sections=picture_sections(networks, records),
        protocol=protocol_rows(networks),
        facts=facts,
    )
    every = [table for group in tables.values() for table in group]
    write_text(folder / "comparison.csv", _to_csv(every))
    write_text(folder / "comparison.md", to_markdown(every))
    write_text(folder / "comparison.tex", to_latex(every))
    write_text(folder / "report.html", page)
    return missing


def _known(table: Table | None) -> list[Table]:
    return [] if table is None else [table]


def _to_csv(tables: Sequence[Table]) -> str:
    """A line a figure, "measured" or "published" by its source, so that any tool can turn it into a table."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        writer.writerows(_lines(table))
    return buffer.getvalue()


def _lines(table: Table) -> list[Mapping[str, Any]]:
    return [
        {
            "table": table.key,
            "row": row.name,
            "column": column.title,
            "source": "published" if column.published or row.published else "measured",
            "figure": cell.text,
            "low": cell.low,
            "high": cell.high,
            "fold_mean": cell.mean,
            "fold_deviation": cell.deviation,
            "marks": cell.marks,
            "best": "yes" if cell.best else "",
        }
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    ]
