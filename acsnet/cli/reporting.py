"""``acsnet report``."""

from pathlib import Path
from typing import Annotated

import typer

from acsnet.cli.options import Imports
from acsnet.cli.parsing import parse_path, parse_text
from acsnet.cli.running import show

_RUN = (
    "a run folder, a result folder (with metrics.json), a cross-validation (with crossval.json) or the folder of one "
    "of its configurations; NAME=FOLDER names it; folders with the same name are folds of one network"
)
_DATA = (
    "where the tested images are, for the pictures: data.root=FOLDER or data.records=TABLE.csv, and data.dataset "
    "(default: where the configurations of the runs say)"
)
_ALLOW = "compare runs whose epoch was selected on the test subset, as some publications do, with other runs"


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", parser=parse_text, help=_RUN)],
    out: Annotated[Path, typer.Option(metavar="DIR", parser=parse_path, help="the output folder of the four files")],
    reference: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="test the others against this network only (default: every pair)"),
    ] = None,
    allow_selected_on_test: Annotated[bool, typer.Option("--allow-selected-on-test", help=_ALLOW)] = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_DATA)] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="the heading of the page")] = "Comparison of networks",
    imports: Imports = None,
) -> None:
    """Compare tested networks.

    One page has tables, tests, curves and cases; its tables are also written as CSV, Markdown and LaTeX.
    """
    from acsnet._utils.folders import claimed_folder
    from acsnet.report import named_data, read_networks, write_report

    data = named_data(overrides or [])
    networks, problems = read_networks(runs)
    with claimed_folder(out, "writing a report into", "--out"):
        missing = write_report(
            out,
            networks,
            reference=reference,
            title=title,
            problems=problems,
            allow_selected_on_test=allow_selected_on_test,
            data=data,
        )
    for problem in (*problems, *missing):
        show(f"missing: {problem}")
    count = f"{len(networks)} network{'' if len(networks) == 1 else 's'}"
    show(f"{count}; look at {out}/report.html; tables are in comparison.csv, .md and .tex")
