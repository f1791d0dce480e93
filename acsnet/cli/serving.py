"""``acsnet app``."""

from typing import Annotated

import typer

from acsnet.cli.completion import complete_checkpoint
from acsnet.cli.options import Device, Imports
from acsnet.cli.parsing import parse_text
from acsnet.cli.running import show

_CHECKPOINT = "a .safetensors file, a released name, or OWNER/NAME on the Hub, in addition to the released networks"
_HOST = (
    "the address to listen at: by default, only this machine reaches the page; 0.0.0.0 for all who reach this machine"
)


def app(
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", parser=parse_text, autocompletion=complete_checkpoint, help=_CHECKPOINT),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", parser=parse_text, help=_HOST)] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="the port; 0 for any free one")] = 7860,
    device: Device = None,
    imports: Imports = None,
) -> None:
    """Serve a web page on this machine that analyzes images."""
    from acsnet.app import Networks, PageServer

    server = PageServer(Networks(checkpoint, device), host, port)
    show(f"{server.address}  (Ctrl-C ends it)", flush=True)
    server.run()
