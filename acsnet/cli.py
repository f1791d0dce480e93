"""Shared code of the command-line tools: logging, common options, and errors as one line with exit status 2."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from acsnet._utils.files import explain_write_error
from acsnet.errors import AcsnetError


def run(main: Callable[[], None]) -> int:
    """Run a tool's ``main``, and return its exit status.

    The status is 0 for success, 2 for an error that the user can fix, which is printed as one line, and 130 for an
    interruption by the keyboard. Other exceptions are raised.

    Example:
        >>> from acsnet.cli import run
        >>> run(lambda: print("done"))
        done
        0
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of files may have characters that the console cannot show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("acsnet").setLevel(logging.INFO)
    try:
        main()
        # Flushed here rather than when Python exits: a closed pipe is noticed only when the rest is written.
        sys.stdout.flush()
    except AcsnetError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader of the pipe (as in `| head`) has exited, which is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # Errors without a number are defects of a library.
        if error.errno is None:
            raise
        return _fail(str(explain_write_error(error, Path(error.filename or "a file"))))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint FILE|NAME``, which is required."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE|NAME", help="a .safetensors file, or a released name"
    )


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


def add_operating_point_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--operating-point NAME``."""
    parser.add_argument(
        "--operating-point",
        metavar="NAME",
        help="decide at an operating point of the checkpoint, such as specificity_90, with its temperature and mask "
        "threshold (default: the most probable class)",
    )


def operating_point_overrides(arguments: argparse.Namespace) -> list[str]:
    """Return the override of the configuration that ``--operating-point`` stands for."""
    return [] if arguments.operating_point is None else [f"evaluation.operating_point={arguments.operating_point}"]


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of tools whose jobs are shared by several workers."""
    add_override_argument(parser, "training.epochs=40")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="the folder of all runs")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="the database of jobs, as postgresql+psycopg://USER@HOST/DATABASE for several machines (default: SQLite "
        "in DIR, for one machine)",
    )
    parser.add_argument(
        "--heartbeat",
        type=int,
        default=15,
        metavar="SECONDS",
        help="time between two heartbeats of a worker; a worker without a heartbeat for six times as long counts as "
        "lost (default: 15)",
    )


def _fail(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 2
