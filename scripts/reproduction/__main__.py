"""Write the page "Reproduction": python -m scripts.reproduction --help."""

import argparse
import sys
from pathlib import Path

from acsnet.cli import run
from scripts.reproduction.page import PAGE, build_page
from scripts.reproduction.results import add_result


def main() -> int:
    """Parse the command line, add results if some are given, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.reproduction",
        description="Write docs/reproduction.md: each publication item by item, and the metrics side by side.",
    )
    parser.add_argument(
        "--add",
        nargs=2,
        type=Path,
        metavar=("CONFIG", "RUN"),
        help="first add the test of a run folder (RUN/test/metrics.json) of a configuration in configs/published/",
    )
    arguments = parser.parse_args()

    def write() -> None:
        if arguments.add is not None:
            add_result(*arguments.add)
        PAGE.write_text(build_page(), encoding="utf-8")

    return run(write)


if __name__ == "__main__":
    sys.exit(main())
