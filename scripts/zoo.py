"""The table of docs/networks/zoo.md: python -m scripts.zoo --write|--check [FILE]."""

import argparse
from pathlib import Path

from acsnet._utils.files import replace_section, write_text
from acsnet.cli import run
from acsnet.errors import InputError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "networks" / "zoo.md"
SECTION = "zoo"


def main() -> None:
    """Parse the command line, then write or check the table."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.zoo", description="Write or check the table of the zoo in docs/networks/zoo.md."
    )
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=PAGE,
        metavar="FILE",
        help="the page with the table (default: docs/networks/zoo.md)",
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="rewrite the table between the markers")
    action.add_argument("--check", action="store_true", help="fail if the table is stale")
    arguments = parser.parse_args()
    if arguments.write:
        update_page(arguments.path)
    else:
        check_page(arguments.path)


def update_page(path: Path) -> None:
    """Rewrite the table between the markers of a Markdown file.

    Raises:
        InputError: if the file is missing or has no markers.
    """
    write_text(path, _replace_table(path))


def check_page(path: Path) -> None:
    """Check that the table between the markers of a Markdown file is up to date.

    Raises:
        InputError: if it is not, with the command to regenerate it, or if the file is missing or has no markers.
    """
    if _replace_table(path) != path.read_text(encoding="utf-8"):
        raise InputError(f"the zoo table of {path} is stale: regenerate it with python -m scripts.zoo --write {path}")


def _replace_table(path: Path) -> str:
    from acsnet.models import list_models
    from acsnet.models._summary import markdown_table, summarize

    return replace_section(path, SECTION, lambda: markdown_table([summarize(name) for name in list_models()]))


if __name__ == "__main__":
    raise SystemExit(run(main))
