"""``acsnet predict``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from acsnet.cli.options import Checkpoint, Device, Imports, OperatingPoint, Overwrite, Precision
from acsnet.cli.parsing import parse_path
from acsnet.cli.running import show
from acsnet.errors import CommandError

_UNCERTAINTY = "also write uncertainty/, heat maps over the images: needs --tta or an ensemble"
_EXPLAIN = "also write explanations/, heat maps of the evidence for the predicted class (Grad-CAM)"


def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", parser=parse_path, help="images, or folders of images")
    ],
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(metavar="DIR", parser=parse_path, help="the output folder")] = Path(
        "predictions"
    ),
    threshold: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="mask probability of foreground (default: the checkpoint's)"),
    ] = None,
    operating_point: OperatingPoint = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="renormalize the probabilities over these classes, as in --classes benign,malignant",
        ),
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="average over the image and its mirror image")] = False,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help=_UNCERTAINTY)] = False,
    explain: Annotated[bool, typer.Option("--explain", help=_EXPLAIN)] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="images per batch")] = 8,
    precision: Precision = "float32",
    overwrite: Overwrite = False,
    device: Device = None,
    imports: Imports = None,
) -> None:
    """Predict images: write masks, overlays and predictions.csv."""
    if threshold is not None and not 0 < threshold < 1:
        raise CommandError(f"--threshold is {threshold}: it has to be between 0 and 1")

    # Importing torch takes long: a mistyped name is said at once. A name with # may be a frame of a file.
    missing = [path for path in inputs if not os.path.lexists(path) and "#" not in path.name]
    if missing:
        raise CommandError(f"there is no image {missing[0]}")
    from acsnet._utils.folders import claimed_folder
    from acsnet.checkpoints import open_checkpoint
    from acsnet.inference import Predictor, predict_files
    from acsnet.inference.output_folder import check_output

    check_output(out, overwrite)
    opened = open_checkpoint(checkpoint)
    evaluation = opened.metadata.evaluation
    if classes is not None:
        evaluation = evaluation.model_copy(update={"classes": tuple(classes.split(","))})
    if tta:
        mirrored = evaluation.test_time_augmentation.model_copy(update={"horizontal_flip": True})
        evaluation = evaluation.model_copy(update={"test_time_augmentation": mirrored})
    predictor = Predictor.from_checkpoint(
        opened, device=device, evaluation=evaluation, precision=precision, operating_point=operating_point
    )
    if threshold is not None:
        predictor = predictor.with_threshold(threshold)
    with claimed_folder(out, "predicting into", "--out"):
        table = predict_files(
            predictor,
            inputs,
            out,
            batch_size=batch_size,
            uncertainty=uncertainty,
            explain=explain,
            overwrite=overwrite,
        )
    show(f"{table}; pictures in the same folder")
