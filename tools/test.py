"""Test a checkpoint: python tools/test.py --checkpoint FILE|NAME [--config CONFIG] [--set ...] [--out DIR]."""

import argparse
from pathlib import Path

from acsnet.cli import add_override_argument, run


def main() -> None:
    """Parse the command line, test, print the table and write the files."""
    parser = argparse.ArgumentParser(
        description="Test a checkpoint: prints a table, writes metrics.json and cases.csv."
    )
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE|NAME", help="a .safetensors file, or a released name"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="CONFIG",
        help="a YAML file (default: config.yaml beside the checkpoint, else what the checkpoint holds)",
    )
    add_override_argument(parser, "data.root=FOLDER or data.split=all")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: test/ beside FILE, or results/NAME)"
    )
    parser.add_argument(
        "--keep-predictions", action="store_true", help="also write masks/ and probabilities/, a picture an image each"
    )
    arguments = parser.parse_args()

    from acsnet.evaluation import default_out, metric_table, resolve_test_config, run_test

    config = resolve_test_config(arguments.checkpoint, arguments.config, arguments.overrides)
    folder = arguments.out or default_out(arguments.checkpoint)
    result, provenance = run_test(arguments.checkpoint, config, keep=folder if arguments.keep_predictions else None)
    result.write(folder, provenance)
    print(metric_table(result.metrics, provenance["class_names"]))
    print(f"\n{result.metrics['n']} images ({provenance['subset']}); {folder}/metrics.json, {folder}/cases.csv")


if __name__ == "__main__":
    raise SystemExit(run(main))
