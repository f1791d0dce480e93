"""``acsnet predict``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from acsnet.cli.options import Checkpoint, Device, Imports, OperatingPoint, Overwrite, Precision
from acsnet.cli.parsing import parse_path, parse_text
from acsnet.cli.running import show
from acsnet.errors import CommandError, InputError

_UNCERTAINTY = "also write uncertainty/, heat maps over the images: needs --tta or an ensemble"
_SPACING = (
    "millimeters per pixel for sizes of lesions in millimeters: one number, or vertical,horizontal (default: that of a "
    "DICOM header)"
)
_SPACING_TABLE = "a CSV file with the columns image and spacing, such as a record table: a spacing per image"
_SAVE = (
    "further formats of the masks: coco (coco.json), contours (CSV), dicom-seg (for DICOM files), geojson, labels (PNG "
    "with the number of the lesion); may be repeated"
)
_EXPLAIN = "also write explanations/, heat maps of the evidence for the predicted class (Grad-CAM)"


def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", parser=parse_path, help="images, videos, or folders of them")
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
    save: Annotated[list[str] | None, typer.Option(metavar="FORMAT", parser=parse_text, help=_SAVE)] = None,
    spacing: Annotated[str | None, typer.Option(metavar="MM|MM,MM", parser=parse_text, help=_SPACING)] = None,
    spacing_table: Annotated[Path | None, typer.Option(metavar="FILE", parser=parse_path, help=_SPACING_TABLE)] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="images per batch")] = 8,
    precision: Precision = "float32",
    overwrite: Overwrite = False,
    device: Device = None,
    imports: Imports = None,
) -> None:
    """Predict images and videos: masks, overlays and tables."""
    if threshold is not None and not 0 < threshold < 1:
        raise CommandError(f"--threshold is {threshold}: it has to be between 0 and 1")

    millimeters = None if spacing is None else _parse_spacing(spacing)
    _check_existence(inputs)
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
            spacing=millimeters,
            spacing_table=spacing_table,
            save=save or (),
            overwrite=overwrite,
        )
    show(f"{table}; pictures in the same folder")


def _check_existence(inputs: Sequence[Path]) -> None:
    """Check that images exist; importing torch takes long, and a mistyped name is reported at once."""
    for path in inputs:
        try:
            os.lstat(path)
        except FileNotFoundError:
            # A name with # may be a frame of a file.
            if "#" not in path.name:
                raise CommandError(
                    f"there is no file or folder {path}: name images, videos or folders of them"
                ) from None
        except OSError:
            # Explained with its remedy when the file is read.
            continue


def _parse_spacing(text: str) -> tuple[float, float]:
    from acsnet.data.spacing import parse_spacing

    try:
        return parse_spacing(text, separator=",")
    except InputError as error:
        raise CommandError(f"--spacing: {error}") from None
