"""Arguments and options that several commands share, as annotated types."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from acsnet.cli.completion import complete_checkpoint, complete_config
from acsnet.cli.parsing import parse_path, parse_text

_CONFIG = "a configuration of the project by its name (acsnet configs lists them), or a YAML file"
_TESTED_CONFIG = (
    "the name of a configuration, or a YAML file (default: config.yaml next to the checkpoint, or the configuration in "
    "the checkpoint)"
)
_SET = "override a key of the configuration, as in training.epochs=40; may be repeated"
_POINT = (
    "decide at an operating point of the checkpoint, such as specificity_90, with its temperature and mask threshold "
    "(default: the most probable class)"
)
_IMPORT = "import a module that registers networks, losses or datasets, such as my_networks; may be repeated"
_DEVICE = "cuda, cuda:N, mps or cpu (default: a GPU if there is one)"
_INFERENCE_PRECISION = "number format of the network: published metrics are in float32, the others are for speed"
_OVERWRITE = "remove the results of an earlier run of this command from DIR first; other files stay"
_STORAGE = (
    "the database of jobs, as postgresql+psycopg://USER@HOST/DATABASE for several machines (default: SQLite in DIR, "
    "for one machine)"
)
_HEARTBEAT = (
    "time between two heartbeats of a worker; a worker without a heartbeat for six times as long counts as lost"
)

Config = Annotated[
    str, typer.Argument(metavar="CONFIG", parser=parse_text, autocompletion=complete_config, help=_CONFIG)
]
Configs = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG...",
        parser=parse_text,
        autocompletion=complete_config,
        help=f"{_CONFIG}; the file name is the name",
    ),
]
TestedConfig = Annotated[
    str | None,
    typer.Option("--config", metavar="CONFIG", parser=parse_text, autocompletion=complete_config, help=_TESTED_CONFIG),
]
Checkpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        metavar="FILE|NAME",
        parser=parse_text,
        autocompletion=complete_checkpoint,
        help="a .safetensors file, a released name, or OWNER/NAME on the Hub",
    ),
]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_SET)]
OperatingPoint = Annotated[str | None, typer.Option("--operating-point", metavar="NAME", help=_POINT)]
Imports = Annotated[list[str] | None, typer.Option("--import", metavar="MODULE", parser=parse_text, help=_IMPORT)]
Device = Annotated[str | None, typer.Option("--device", metavar="DEVICE", parser=parse_text, help=_DEVICE)]
Precision = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option("--precision", help=_INFERENCE_PRECISION)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help=_OVERWRITE)]
TestBatchSize = Annotated[
    str | None, typer.Option("--batch-size", metavar="N", help="short for --set evaluation.batch_size=N")
]
WorkDir = Annotated[Path, typer.Option("--work-dir", metavar="DIR", parser=parse_path, help="the folder of all runs")]
Storage = Annotated[str | None, typer.Option("--storage", metavar="URL", help=_STORAGE)]
Heartbeat = Annotated[int, typer.Option("--heartbeat", metavar="SECONDS", help=_HEARTBEAT)]
CheckpointOut = Annotated[
    Path, typer.Option("--out", metavar="OUT", parser=parse_path, help="the .safetensors file to write")
]


def shortcuts(values: dict[str, str | None]) -> list[str]:
    """Return the overrides of the configuration that options such as ``--epochs`` stand for.

    Args:
        values: the values of the options by the keys of the configuration; None if an option is not given.
    """
    return [f"{key}={value}" for key, value in values.items() if value is not None]
