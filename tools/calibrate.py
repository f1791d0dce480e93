"""Choose operating points: python tools/calibrate.py --checkpoint FILE|NAME --out OUT [--predictions FOLDER ...]."""

from pathlib import Path

from acsnet.cli import ToolParser, add_checkpoint_argument, add_override_argument, run, show


def main() -> None:
    """Parse the command line, choose temperature and thresholds, and write the checkpoint with them."""
    parser = ToolParser(
        description="Choose the temperature of the class probabilities, operating points and the mask threshold of a "
        "checkpoint on images that were not trained on, and write a copy of the checkpoint with them."
    )
    add_checkpoint_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="out-of-fold predictions of the same recipe: the folder of a configuration in a cross-validation, or "
        "folders or cases.csv of tests (default: the validation subset of the checkpoint is predicted)",
    )
    parser.add_argument(
        "--points",
        nargs="+",
        default=["specificity_90", "sensitivity_95"],
        metavar="NAME",
        help="sensitivity_N or specificity_N, N in percent (default: specificity_90 sensitivity_95)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="CONFIG",
        help="a YAML file (default: config.yaml next to the checkpoint, or the configuration in the checkpoint)",
    )
    add_override_argument(parser, "data.root=FOLDER or evaluation.classes=[benign, malignant]")
    parser.add_argument("--overwrite", action="store_true", help="overwrite OUT, which may be the checkpoint itself")
    arguments = parser.parse_args()

    from acsnet.checkpoints import open_checkpoint
    from acsnet.evaluation import (
        calibrate_checkpoint,
        check_target,
        operating_point_table,
        resolve_test_config,
        write_calibrated,
    )

    check_target(arguments.out, arguments.overwrite)
    checkpoint = open_checkpoint(arguments.checkpoint)
    config = resolve_test_config(checkpoint, arguments.config, arguments.overrides)
    points = calibrate_checkpoint(checkpoint, config, arguments.predictions, arguments.points)
    write_calibrated(checkpoint, points, arguments.out, arguments.overwrite)
    show(f"{operating_point_table(points.chosen())}\n\n{arguments.out}: use one by --operating-point NAME")


if __name__ == "__main__":
    raise SystemExit(run(main))
