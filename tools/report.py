"""Write a report on tests: python tools/report.py RUN... --out DIR [--reference NAME] [--title TEXT]."""

from pathlib import Path

from acsnet.cli import ToolParser, run, show

_RUN = (
    "a run folder, a result folder (with metrics.json), a cross-validation (with crossval.json) or the folder of one "
    "of its configurations; NAME=FOLDER names it; folders with the same name are folds of one network"
)


def main() -> None:
    """Parse the command line, read the runs, write the files and print what is missing."""
    parser = ToolParser(
        description="Compare tested networks: one page with tables, tests, curves and cases, and its tables as CSV, "
        "Markdown and LaTeX."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help=_RUN)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the output folder of the four files")
    parser.add_argument(
        "--reference", metavar="NAME", help="test the others against this network only (default: every pair)"
    )
    parser.add_argument(
        "--allow-selected-on-test",
        action="store_true",
        help="compare runs whose epoch was selected on the test subset, as some publications do, with other runs",
    )
    parser.add_argument("--title", default="Comparison of networks", metavar="TEXT", help="the heading of the page")
    arguments = parser.parse_args()

    from acsnet._utils.folders import claimed_folder
    from acsnet.report import read_networks, write_report

    networks, problems = read_networks(arguments.runs)
    with claimed_folder(arguments.out, "writing a report into", "--out"):
        missing = write_report(
            arguments.out,
            networks,
            reference=arguments.reference,
            title=arguments.title,
            problems=problems,
            allow_selected_on_test=arguments.allow_selected_on_test,
        )
    for problem in (*problems, *missing):
        show(f"missing: {problem}")
    count = f"{len(networks)} network{'' if len(networks) == 1 else 's'}"
    show(f"{count}; look at {arguments.out}/report.html; tables are in comparison.csv, .md and .tex")


if __name__ == "__main__":
    raise SystemExit(run(main))
