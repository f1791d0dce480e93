"""Running of commands: output, signals, and errors as one line.

This module imports nothing that takes long: until :func:`run` is called, Ctrl-C shows a traceback.
"""

import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from acsnet._utils.files import explain_system_error
from acsnet._utils.printable import printable_lines
from acsnet._utils.stop_signals import Stop, stop_signals
from acsnet.errors import AcsnetError


def run(main: Callable[[], None]) -> int:
    """Run the ``main`` of a command, and return its exit status.

    The status is 0 for success and 2 for an error that the user can fix, which is printed as one line. An interruption
    by the keyboard (130), SIGTERM (143) or SIGHUP (129) is printed as one line, too. Other exceptions are raised.

    Example:
        >>> from acsnet.cli import run
        >>> run(lambda: print("done"))
        done
        0
    """
    _prepare_output()
    with stop_signals() as stop:
        try:
            return _run(main, stop)
        except KeyboardInterrupt:
            # Also a signal that arrives while an error is being printed.
            pass
    _print_error(stop.word)
    return stop.status


def _run(main: Callable[[], None], stop: Stop) -> int:
    try:
        main()
        # Flushed here rather than when Python exits: a closed pipe is noticed only when the rest is written.
        sys.stdout.flush()
    except AcsnetError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader of the pipe (as in `| head`) has exited, which is not an error.
        return 0
    except OSError as error:
        # Errors without a number are defects of a library.
        if error.errno is None:
            raise
        return _fail(str(explain_system_error(error, Path(error.filename or "a file"))))
    except Exception as error:
        # Libraries turn an interruption of their import into errors of their own.
        if stop.number is not None:
            raise KeyboardInterrupt from error
        raise
    finally:
        _drop_unwritable_output()
    return 0


def show(text: str, flush: bool = False) -> None:
    r"""Print lines of text; characters of names that would act on the terminal are printed as escapes such as ``\x1b``.

    Args:
        text: the text.
        flush: whether to print it at once rather than when there is more.
    """
    print(printable_lines(text), flush=flush)


# Errors and log messages are one line, except for lists with indented items. A line break in a name is escaped.
_ITEM = "\n  "


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in the standard library
        return printable_lines(super().formatMessage(record), _ITEM)


def _has_no_other_handler(record: logging.LogRecord) -> bool:
    """Return whether a message is shown by the handler of the root only: some libraries show theirs themselves."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger is not logging.root:
        if not all(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return False
        logger = logger.parent
    return True


def _prepare_output() -> None:
    """Make standard output and errors take any text, also where they are closed or of another encoding."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Started with a closed stream, as by `>&-`.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the program runs
        elif isinstance(stream, io.TextIOWrapper):
            # Names of files may have characters that the console cannot show.
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s"))
    handler.addFilter(_has_no_other_handler)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("acsnet").setLevel(logging.INFO)


def _drop_unwritable_output() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _drop(sys.stdout)


def _drop(stream: TextIO) -> None:
    """Drop output that nobody reads or that does not fit on the disk: Python would show a traceback when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str) -> int:
    _print_error(f"error: {message}")
    return 2


def _print_error(line: str) -> None:
    try:
        sys.stderr.write(f"{printable_lines(line, _ITEM)}\n")
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)
