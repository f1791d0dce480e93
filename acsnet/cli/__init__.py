"""The command line: ``acsnet SUBCOMMAND``, and ``tools/*.py``, which run one subcommand each.

Importing this package takes no time: until :func:`run` is called, Ctrl-C shows a traceback. The commands import what
they need when they run, so that ``--help`` appears at once.
"""

import sys
from collections.abc import Sequence

from acsnet.cli.running import run, show

__all__ = ["main", "run", "show"]


def main(arguments: Sequence[str] | None = None, tool: str | None = None) -> int:
    """Run the command line, and return its exit status; see :func:`run`.

    Args:
        arguments: the words after the name of the program; by default those of this process.
        tool: name of a subcommand that the program is, as ``tools/train.py`` is ``train``; by default the first of the
            arguments names it.

    Example:
        >>> from acsnet.cli import main
        >>> main(["--version"])
        acsnet ...
        0
    """
    words = sys.argv[1:] if arguments is None else [*arguments]

    def command() -> None:
        from acsnet.cli.application import call

        call(words, tool)

    return run(command)
