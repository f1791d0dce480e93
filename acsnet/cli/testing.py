"""``acsnet test`` and ``acsnet calibrate``."""

from pathlib import Path
from typing import Annotated

import typer

from acsnet.cli.options import (
    Checkpoint,
    CheckpointOut,
    Device,
    Imports,
    OperatingPoint,
    Overrides,
    Overwrite,
    Precision,
    TestBatchSize,
    TestedConfig,
    shortcuts,
)
from acsnet.cli.parsing import parse_path
from acsnet.cli.running import show

_PREDICTIONS = (
    "out-of-fold predictions of the same recipe: the folder of a configuration in a cross-validation, or folders or "
    "cases.csv of tests (default: the validation subset of the checkpoint is predicted)"
)
_POINTS = ["specificity_90", "sensitivity_95"]


def test(
    checkpoint: Checkpoint,
    config: TestedConfig = None,
    overrides: Overrides = None,
    operating_point: OperatingPoint = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=parse_path, help="the output folder (default: test/ next to FILE, or results/NAME)"
        ),
    ] = None,
    save_predictions: Annotated[
        bool,
        typer.Option("--save-predictions", help="also write masks/ and probabilities/, with one PNG per image each"),
    ] = False,
    overwrite: Overwrite = False,
    batch_size: TestBatchSize = None,
    precision: Precision = "float32",
    device: Device = None,
    imports: Imports = None,
) -> None:
    """Test a checkpoint.

    A table is printed, and metrics.json and cases.csv are written.
    """
    from acsnet._utils.folders import claimed_folder, whole_files
    from acsnet.checkpoints import open_checkpoint
    from acsnet.config import find_config
    from acsnet.evaluation import default_out, metric_table, resolve_test_config, run_test
    from acsnet.inference.output_folder import TEST_RESULTS

    opened = open_checkpoint(checkpoint)
    folder = out or default_out(opened)
    TEST_RESULTS.check_unused(folder, overwrite)
    short = {"evaluation.batch_size": batch_size, "evaluation.operating_point": operating_point}
    path = None if config is None else find_config(config)
    resolved = resolve_test_config(opened, path, [*(overrides or []), *shortcuts(short)])
    with claimed_folder(folder, "testing into", "--out"), whole_files(folder) as temporary:
        # Again, because another process may have written them meanwhile.
        TEST_RESULTS.check_unused(folder, overwrite)
        kept = temporary if save_predictions else None
        result, provenance = run_test(opened, resolved, save_predictions_to=kept, device=device, precision=precision)
        # Printed first, so that it is kept if the files cannot be written.
        show(metric_table({**result.metrics, **provenance}, provenance["class_names"]))
        result.write(temporary, provenance)
        TEST_RESULTS.clear(folder)
    show(f"\n{result.metrics['n']} images ({provenance['subset']}); {folder}/metrics.json, {folder}/cases.csv")


def calibrate(
    checkpoint: Checkpoint,
    out: CheckpointOut,
    predictions: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER...", parser=parse_path, help=_PREDICTIONS)
    ] = None,
    points: Annotated[
        list[str], typer.Option(metavar="NAME...", help="sensitivity_N or specificity_N, N in percent")
    ] = _POINTS,
    config: TestedConfig = None,
    overrides: Overrides = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="overwrite OUT, which may be the checkpoint itself")
    ] = False,
    batch_size: TestBatchSize = None,
    precision: Precision = "float32",
    device: Device = None,
    imports: Imports = None,
) -> None:
    """Choose operating points of a checkpoint.

    The temperature of the class probabilities, the operating points and the mask threshold are chosen on images that
    were not trained on, and a copy of the checkpoint is written with them.
    """
    from acsnet.checkpoints import open_checkpoint
    from acsnet.config import find_config
    from acsnet.evaluation import (
        calibrate_checkpoint,
        check_target,
        operating_point_table,
        resolve_test_config,
        write_calibrated,
    )

    check_target(out, overwrite)
    opened = open_checkpoint(checkpoint)
    path = None if config is None else find_config(config)
    short = shortcuts({"evaluation.batch_size": batch_size})
    resolved = resolve_test_config(opened, path, [*(overrides or []), *short])
    chosen = calibrate_checkpoint(opened, resolved, predictions or [], points, device=device, precision=precision)
    write_calibrated(opened, chosen, out, overwrite)
    show(f"{operating_point_table(chosen.chosen())}\n\n{out}: use one by --operating-point NAME")
