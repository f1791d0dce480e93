"""Curate a dataset: python tools/curate.py ROOT|RECORDS.csv --out DIR [--dataset NAME] [--policy POLICY]."""

from pathlib import Path

from acsnet.cli import ToolParser, run, show


def main() -> None:
    """Parse the command line, curate the dataset, write the tables and print a summary."""
    from acsnet.curation.policy import POLICIES

    parser = ToolParser(
        description="Find duplicates, conflicts and doubtful images; write tables and a report for review."
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="a folder in a published layout, or a record table")
    parser.add_argument(
        "--dataset", default="busi", metavar="NAME", help="dataset whose layout ROOT has (default: busi)"
    )
    parser.add_argument(
        "--policy", default="keep-one", choices=POLICIES, help="which images curated.csv keeps (default: keep-one)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the output folder of the four files")
    arguments = parser.parse_args()

    from acsnet._utils.folders import claimed_folder
    from acsnet.curation import check_folder, curate, summarize, write_findings
    from acsnet.data.source import scan_records

    check_folder(arguments.out)
    with claimed_folder(arguments.out, "curating into", "--out"):
        findings = curate(scan_records(arguments.root, arguments.dataset), arguments.policy)
        # Printed first, so that it is kept if the files cannot be written.
        show(summarize(findings))
        write_findings(arguments.out, findings)
    show(f"look at {arguments.out}/report.html; train on {arguments.out}/curated.csv by --set data.records=...")


if __name__ == "__main__":
    raise SystemExit(run(main))
