"""List the zoo: python tools/models.py [PATTERN ...]; update or check the README's table: --readme, --check."""

from pathlib import Path

from acsnet.cli import ToolParser, run, show

README = Path(__file__).resolve().parents[1] / "README.md"


def main() -> None:
    """Parse the command line, then print, write or check the table."""
    parser = ToolParser(
        description="Print name, publication, size and cost of the networks of the zoo. Parameters: three classes, "
        "three input channels. GFLOPs: one image of 256x256, a multiplication and its addition counted as two; "
        "convolutions and matrix products, without the gather of deformable convolutions."
    )
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names or wildcards, as in 'deeplab*'")
    for option, action in (("--readme", "rewrite the table between the markers of FILE"), ("--check", "fail if stale")):
        parser.add_argument(
            option, type=Path, nargs="?", const=README, metavar="FILE", help=f"{action} (default: the README)"
        )
    arguments = parser.parse_args()
    if sum(map(bool, (arguments.patterns, arguments.readme, arguments.check))) > 1:
        parser.error("PATTERN, --readme and --check exclude each other: the README's table has every network")

    from acsnet.models._summary import check_readme, plain_table, select_models, summarize, update_readme

    if arguments.readme:
        update_readme(arguments.readme)
    elif arguments.check:
        check_readme(arguments.check)
    else:
        show(plain_table([summarize(name) for name in select_models(arguments.patterns)]))


if __name__ == "__main__":
    raise SystemExit(run(main))
