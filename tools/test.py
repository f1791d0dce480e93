"""Test a checkpoint: python tools/test.py --checkpoint FILE|NAME [--config CONFIG] [--set ...] [--out DIR]."""

from pathlib import Path

from acsnet.cli import (
    ToolParser,
    add_checkpoint_argument,
    add_operating_point_argument,
    add_override_argument,
    operating_point_overrides,
    run,
    show,
)


def main() -> None:
    """Parse the command line, test the checkpoint, print the table and write the files."""
    parser = ToolParser(description="Test a checkpoint: prints a table, writes metrics.json and cases.csv.")
    add_checkpoint_argument(parser)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="CONFIG",
        help="a YAML file (default: config.yaml next to the checkpoint, or the configuration in the checkpoint)",
    )
    add_override_argument(parser, "data.root=FOLDER or data.split=all")
    add_operating_point_argument(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the output folder (default: test/ next to FILE, or results/NAME)"
    )
    parser.add_argument(
        "--save-predictions",
        action="store_true",
        help="also write masks/ and probabilities/, with one PNG per image each",
    )
    arguments = parser.parse_args()

    from acsnet._utils.folders import claimed_folder
    from acsnet.checkpoints import open_checkpoint
    from acsnet.evaluation import default_out, metric_table, resolve_test_config, run_test

    checkpoint = open_checkpoint(arguments.checkpoint)
    overrides = [*arguments.overrides, *operating_point_overrides(arguments)]
    config = resolve_test_config(checkpoint, arguments.config, overrides)
    folder = arguments.out or default_out(checkpoint)
    save_predictions_to = folder if arguments.save_predictions else None
    with claimed_folder(folder, "testing into", "--out"):
        result, provenance = run_test(checkpoint, config, save_predictions_to=save_predictions_to)
        # Printed first, so that it is kept if the files cannot be written.
        show(metric_table({**result.metrics, **provenance}, provenance["class_names"]))
        result.write(folder, provenance)
    show(f"\n{result.metrics['n']} images ({provenance['subset']}); {folder}/metrics.json, {folder}/cases.csv")


if __name__ == "__main__":
    raise SystemExit(run(main))
