"""``acsnet ensemble``, ``acsnet export`` and ``acsnet import-weights``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from acsnet.cli.completion import complete_checkpoint
from acsnet.cli.options import Checkpoint, CheckpointOut, Imports
from acsnet.cli.parsing import parse_path, parse_text
from acsnet.cli.running import show
from acsnet.errors import CommandError

_IMAGES = "images, or folders of images, on which the file is compared with the network (default: phantoms)"
_OFFSET_ORDER = (
    "how the file's deformable convolution orders its offset channels: the publication's operator has all row offsets "
    "first, torchvision's alternates"
)
_CLASSES = ["benign", "malignant"]


def ensemble(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            parser=parse_text,
            autocompletion=complete_checkpoint,
            help="a .safetensors file, a released name, or OWNER/NAME on the Hub; at least two",
        ),
    ],
    out: CheckpointOut,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="overwrite OUT")] = False,
    imports: Imports = None,
) -> None:
    """Combine checkpoints into one that averages them.

    Such as trainings with several seeds, or different networks for the same classes and the same size of the input.
    """
    from acsnet.evaluation import check_target
    from acsnet.experiments import save_ensemble

    if len(checkpoints) < 2:
        raise CommandError("an ensemble has at least two networks: name another checkpoint")
    check_target(out, overwrite)
    save_ensemble(out, checkpoints)
    show(f"{out}: {len(checkpoints)} networks, whose probabilities are averaged")


def export(
    checkpoint: Checkpoint,
    format: Annotated[str, typer.Option(metavar="onnx|torch", help="ONNX, or a program of torch.export (.pt2)")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=parse_path,
            help="the file to write (default: next to the checkpoint, or NAME in the working folder)",
        ),
    ] = None,
    images: Annotated[list[Path] | None, typer.Option(metavar="PATH...", parser=parse_path, help=_IMAGES)] = None,
    imports: Imports = None,
) -> None:
    """Export a checkpoint to a file that runs without acsnet."""
    from acsnet.export import export_checkpoint

    show(export_checkpoint(checkpoint, format, out, images or []).summary())


def import_weights(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", parser=parse_path, help="a safetensors file; pickled files are never opened"),
    ],
    out: CheckpointOut,
    classes: Annotated[list[str], typer.Option(metavar="NAME...", help="in the order of the logits")] = _CLASSES,
    offset_order: Annotated[
        Literal["rows-then-columns", "interleaved"], typer.Option(help=_OFFSET_ORDER)
    ] = "rows-then-columns",
    mean: Annotated[
        float, typer.Option(metavar="NUMBER", help="mean gray value of the training images, 0 to 1")
    ] = 0.330,
    std: Annotated[float, typer.Option(metavar="NUMBER", help="standard deviation of the gray values")] = 0.204,
) -> None:
    """Convert a checkpoint of the ACSNet publication.

    The publication's own code (He et al. 2024) wrote it; the copy is a checkpoint of this package.
    """
    from acsnet.models._convert_he2024 import import_he2024_file

    metadata = import_he2024_file(file, out, classes, offset_order, mean, std)
    show(f"{out}: ACSNet with the classes {', '.join(metadata.class_names)}")
