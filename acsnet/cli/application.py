"""The command ``acsnet`` and its subcommands."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from acsnet.cli.checkpoints import ensemble, export, import_weights
from acsnet.cli.datasets import curate, download, phantom
from acsnet.cli.jobs import crossval, sweep
from acsnet.cli.listing import configs, models
from acsnet.cli.parsing import USAGE_ERROR, ToolCommand, ToolGroup, explain_usage
from acsnet.cli.predicting import predict
from acsnet.cli.reporting import report
from acsnet.cli.running import show
from acsnet.cli.serving import app
from acsnet.cli.testing import calibrate, test
from acsnet.cli.training import train
from acsnet.version import __version__

#: The subcommands by name, in the order of the help.
COMMANDS: Mapping[str, Callable[..., None]] = {
    "train": train,
    "test": test,
    "predict": predict,
    "app": app,
    "models": models,
    "configs": configs,
    "download": download,
    "curate": curate,
    "phantom": phantom,
    "crossval": crossval,
    "sweep": sweep,
    "report": report,
    "calibrate": calibrate,
    "ensemble": ensemble,
    "export": export,
    "import-weights": import_weights,
}
_PROGRAM = "acsnet"
# Set by a shell that asks for completions.
_COMPLETE = "_ACSNET_COMPLETE"

_application = typer.Typer(
    name=_PROGRAM, cls=ToolGroup, rich_markup_mode=None, pretty_exceptions_enable=False, invoke_without_command=True
)
for _name, _function in COMMANDS.items():
    _application.command(_name, cls=ToolCommand)(_function)


@_application.callback()
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """The model zoo for breast-ultrasound segmentation and classification."""  # noqa: D401 - the text of the help
    if version:
        show(f"{_PROGRAM} {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        show(context.get_help())


def call(arguments: Sequence[str], tool: str | None = None) -> None:
    """Run a command line; see :func:`acsnet.cli.main`.

    Raises:
        CommandError: if the command line is invalid.
        UnknownNameError: if a subcommand or an option is unknown.
        AcsnetError: as the subcommand.
    """
    command: Any = typer.main.get_command(_application)
    program = _PROGRAM
    if tool is not None:
        program, command = f"python tools/{Path(sys.argv[0]).name}", command.commands[tool]
    elif _COMPLETE in os.environ:
        command.main([*arguments], _PROGRAM)
    try:
        with command.make_context(program, [*arguments]) as context:
            command.invoke(context)
    except typer.Exit as end:
        # As after --help.
        if end.exit_code:
            raise SystemExit(end.exit_code) from None
    except USAGE_ERROR as error:
        is_command = tool is None and bool(arguments) and arguments[0] in COMMANDS
        raise explain_usage(error, f"{program} {arguments[0]}" if is_command else program) from None
