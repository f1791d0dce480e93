"""The files of a report: an HTML page, and its tables as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.files import write_text
from acsnet._utils.folders import whole_files
from acsnet._utils.html import render
from acsnet._utils.tables import STRICT_STYLE, Table, tables_to_csv
from acsnet.config import DataConfig
from acsnet.report.comparison import comparison_tables
from acsnet.report.context import ReportContext, build_context
from acsnet.report.drawings import draw_pictures, draw_plots
from acsnet.report.evaluation_options import option_tables
from acsnet.report.operating_points import operating_point_tables
from acsnet.report.pairwise_tests import paired_test_tables
from acsnet.report.provenance import cost_table, fact_sections, protocol_rows, summary_tiles
from acsnet.report.published_comparison import published_tables
from acsnet.report.tested_networks import Network

_LATEX_HEADER = (
    "% Tables of a comparison; \\input them where they belong. They need \\usepackage{booktabs} and UTF-8.\n"
    '% Rows with the remark "published" hold published values, all others were measured.\n'
)


def write_report(
    folder: str | Path,
    networks: Sequence[Network],
    *,
    reference: str | None = None,
    title: str = "Comparison of networks",
    problems: Sequence[str] = (),
    allow_selected_on_test: bool = False,
    data: DataConfig | None = None,
) -> list[str]:
    """Write ``report.html``, ``comparison.csv``, ``comparison.md`` and ``comparison.tex``: all, or none.

    Args:
        folder: the folder of the files; it is created if missing.
        networks: the networks, as returned by :func:`~acsnet.report.read_networks`.
        reference: the network that the others are tested against; by default all pairs are tested.
        title: the title of the page.
        problems: one line per input that could not be read, shown at the top of the page.
        allow_selected_on_test: compare networks whose epoch was selected on the test subset with others, although their
            metrics are too good; they are marked.
        data: where the tested images are, if the configurations of the networks do not say it, for the pictures.

    Returns:
        One line per further problem: images that were not found.

    Raises:
        RunError: if the networks cannot be compared; the message names the difference.
        UnknownNameError: if the reference is not one of the networks.

    Example:
        >>> from acsnet.report import read_networks
        >>> networks, problems = read_networks(["runs/unet", "runs/acsnet"])  # doctest: +SKIP
        >>> write_report(Path("report"), networks, problems=problems)  # doctest: +SKIP
    """
    folder = Path(folder)
    context = build_context(networks, reference, allow_selected_on_test, data)
    tables = _build_tables(context)
    page = render(
        "report.html",
        title=title,
        tiles=summary_tiles(context),
        problems=[*problems, *context.missing],
        comparison=context.comparison,
        tables=tables,
        plots=draw_plots(context),
        picture_sections=draw_pictures(context),
        protocol=protocol_rows(networks),
        facts=fact_sections(networks),
    )
    all_tables = [table for group in tables.values() for table in group]
    latex = _LATEX_HEADER + "".join(f"\n{table.to_latex()}" for table in all_tables)
    with whole_files(folder) as temporary:
        write_text(temporary / "comparison.csv", tables_to_csv(all_tables))
        write_text(temporary / "comparison.md", "\n".join(map(_to_markdown, all_tables)))
        write_text(temporary / "comparison.tex", latex)
        write_text(temporary / "report.html", page)
    return [*context.missing]


def _build_tables(context: ReportContext) -> dict[str, list[Table]]:
    """Return the tables of each section of the page."""
    return {
        "comparison": comparison_tables(context),
        "published": published_tables(context),
        "tests": paired_test_tables(context.comparison),
        "effects": [*option_tables(context.networks), *operating_point_tables(context.networks)],
        "cost": [cost_table(context.networks)],
    }


def _to_markdown(table: Table) -> str:
    """Return a table with its caption as a heading, and its legend and notes as a list."""
    notes = [f"- {STRICT_STYLE.escape(note)}" for note in (*table.legend, *table.notes)]
    return "\n".join([f"### {STRICT_STYLE.escape(table.caption)}", "", table.to_markdown(STRICT_STYLE), "", *notes, ""])
