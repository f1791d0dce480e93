"""Writing and checking of the pages that scripts generate."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from acsnet._utils.files import write_text
from acsnet.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]


def write_or_check(program: str, subject: str, pages: Mapping[Path, Callable[[], str]]) -> None:
    """Parse ``--write`` or ``--check``, then write the files, or check that they are up to date.

    Args:
        program: name of the script, as in ``python -m NAME``.
        subject: what it writes.
        pages: function that returns the content of each file.

    Raises:
        InputError: if a file is missing or stale, with the command to write it again.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=f"Write or check {subject}.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write it")
    action.add_argument("--check", action="store_true", help="fail if it is stale")
    arguments = parser.parse_args()
    for path, content in pages.items():
        if arguments.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, content())
        else:
            check_fresh(path, content(), program)


def check_fresh(path: Path, content: str, program: str) -> None:
    """Check that a generated file has a content.

    Raises:
        InputError: if it is missing or has another content, with the command to write it again.
    """
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        name = path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else path
        raise InputError(f"{name} is stale: write it again by python -m {program} --write")
