"""Parsing of command lines: options with several values, paths, and mistakes as errors of one line."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from acsnet._utils.naming import look_up
from acsnet._utils.printable import printable
from acsnet.errors import CommandError

# How the names of values end that an option takes several of, as in --points NAME...
_SEVERAL = "..."
# The base class of all mistakes on a command line, which typer does not export.
USAGE_ERROR: Any = typer.BadParameter.__base__


def parse_text(text: str) -> str:
    """Check that a value is not empty: a variable of the shell that is not set would mean it otherwise."""
    if not str(text):
        raise typer.BadParameter("it is empty: is a variable of the shell not set?")
    return text


def parse_path(text: str) -> Path:
    """Return a path; an empty one, which would mean the current folder, is an error."""
    if not str(text):
        raise typer.BadParameter("the path is empty: is a variable of the shell not set?")
    return Path(text)


class ToolGroup(TyperGroup):
    """The group of all commands; the error for an unknown one has near matches."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names, and the arguments after it."""
        if not ctx.resilient_parsing and not args[0].startswith("-"):
            look_up("command", args[0], self.commands, f"{ctx.command_path} --help lists all")
        return super().resolve_command(ctx, args)


class ToolCommand(TyperCommand):
    """A command that imports the modules of ``--import``, and whose options may take several values at once."""

    def invoke(self, ctx: Any) -> Any:
        """Import the modules of ``--import``, before the command looks up any name, then run the command."""
        from acsnet._utils.plugins import import_plugins

        import_plugins(ctx.params.get("imports") or [])
        return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after the name of the command."""
        if not ctx.resilient_parsing:
            options = {name: option for option in self.get_params(ctx) for name in option.opts if name[:1] == "-"}
            _check_values(ctx, args, options)
            args = [*_repeat_options(args, options)]
        return super().parse_args(ctx, args)


def _check_values(context: Any, words: Sequence[str], options: Mapping[str, Any]) -> None:
    """Check that no option stands in the place of the value of another one, of which it would become the value."""
    for word, following in pairwise(words):
        if word == "--":
            return
        if word in options and not getattr(options[word], "is_flag", False) and following in options:
            context.fail(f"option {word} has no value: {following} follows")


def _repeat_options(words: Sequence[str], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield words with options of several values repeated: ``--points a b`` becomes ``--points a --points b``."""
    rest = deque(words)
    while rest:
        word = rest.popleft()
        yield word
        if word == "--":
            yield from rest
            return
        if word not in options or not (options[word].metavar or "").endswith(_SEVERAL):
            continue
        is_first = True
        while rest and rest[0] != "--" and rest[0] not in options:
            if not is_first:
                yield word
            yield rest.popleft()
            is_first = False


def explain_usage(error: Any, program: str) -> CommandError:
    """Return a mistake on a command line as an error of this package, with near matches for an unknown option.

    Args:
        error: an instance of :data:`USAGE_ERROR`.
        program: the program with its command, as in ``acsnet train``.

    Raises:
        UnknownNameError: instead, if an option is unknown.
    """
    if hasattr(error, "possibilities"):
        look_up("option", error.option_name, dict.fromkeys(error.possibilities or ()), f"{program} --help lists all")
    message = printable(error.format_message()).rstrip(".")
    message = message[:1].lower() + message[1:]
    return CommandError(f"{message}{' See' if message.endswith('?') else '; see'} {program} --help")
