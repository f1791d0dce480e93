"""``acsnet train``."""

from pathlib import Path
from typing import Annotated

import typer

from acsnet.cli.options import Config, Device, Imports, Overrides, shortcuts
from acsnet.cli.parsing import parse_path
from acsnet.cli.running import show

_PRECISION = "short for --set training.precision=FORMAT: auto, float32, bfloat16 or float16"


def train(
    config: Config,
    overrides: Overrides = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir", metavar="DIR", parser=parse_path, help="the run folder (default: runs/<config name>)"
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="resume the run in the run folder")] = False,
    epochs: Annotated[
        str | None, typer.Option("--epochs", metavar="N", help="short for --set training.epochs=N")
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", metavar="N", help="short for --set training.batch_size=N")
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", metavar="FORMAT", help=_PRECISION)] = None,
    device: Device = None,
    imports: Imports = None,
) -> None:
    """Train a network of the zoo."""
    from acsnet.config import find_config, load_config

    path = find_config(config)
    short = {"training.epochs": epochs, "training.batch_size": batch_size, "training.precision": precision}
    loaded = load_config(path, [*(overrides or []), *shortcuts(short)])
    # Imports torch: mistakes in the names above are said at once.
    from acsnet.training import Trainer

    trainer = Trainer.from_config(loaded, work_dir or Path("runs") / path.stem, resume, device=device)
    best = trainer.fit()
    if trainer.accelerator.is_main_process:
        show(f"best checkpoint: {best} (score {trainer.best_score:.4f})")
        show(f"curves: tensorboard --logdir {trainer.folder.tensorboard}")
