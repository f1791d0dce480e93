"""Options that several scripts share."""

import argparse


def add_override_argument(parser: argparse.ArgumentParser, example: str) -> None:
    """Add ``--set KEY=VALUE``, which may be repeated: the list ``overrides``."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help=f"override a key of the configuration, as in {example}; may be repeated",
    )
