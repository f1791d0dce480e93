"""``acsnet models`` and ``acsnet configs``."""

from pathlib import Path
from typing import Annotated

import typer

from acsnet.cli.completion import complete_config
from acsnet.cli.options import Imports
from acsnet.cli.parsing import parse_path, parse_text
from acsnet.cli.running import show
from acsnet.errors import CommandError


def models(
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="PATTERN...", help="names or wildcards, as in 'deeplab*'")
    ] = None,
    imports: Imports = None,
) -> None:
    """List the networks of the zoo.

    The table has name, publication, size and cost. Parameters: three classes, three input channels. GFLOPs: one image
    of 256x256, a multiplication and its addition counted as two; convolutions and matrix products, without the gather
    of deformable convolutions.
    """
    from acsnet.models._summary import plain_table, select_models, summarize

    show(plain_table([summarize(name) for name in select_models(patterns or [])]))


def configs(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATTERN...",
            autocompletion=complete_config,
            help="names or wildcards, as in 'published/*'; with --keys those of keys, as in 'training.*'",
        ),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="list the keys of a configuration: values, default and description")
    ] = False,
    copy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            parser=parse_text,
            autocompletion=complete_config,
            help="copy these configurations and their base files to --out",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", parser=parse_path, help="the folder of the copies")] = None,
) -> None:
    """List the configurations or their keys, or copy some.

    Copies are for changing them: files are never overwritten.
    """
    from acsnet.config import config_table, copy_configs, describe_keys

    if keys:
        if copy or out:
            raise CommandError("--keys lists keys and copies nothing: remove --copy and --out")
        show(describe_keys(patterns or []))
        return
    if copy is None and out is None:
        show(config_table(patterns or []))
        return
    if copy is None or out is None:
        raise CommandError("--copy NAME and --out DIR belong together: give both, or none to list the configurations")
    if patterns:
        raise CommandError(f"PATTERN and --copy exclude each other: remove {patterns[0]}, or put it after --copy")
    for path in copy_configs(copy, out):
        show(str(path))
