"""Combine checkpoints: python tools/ensemble.py CHECKPOINT CHECKPOINT ... --out OUT."""

from pathlib import Path

from acsnet.cli import ToolParser, run, show


def main() -> None:
    """Parse the command line and write the ensemble."""
    parser = ToolParser(
        description="Write several checkpoints of one configuration, such as trainings with several seeds, into one "
        "checkpoint that averages their probabilities."
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="a .safetensors file, a released name, or OWNER/NAME on the Hugging Face Hub; at least two",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument("--overwrite", action="store_true", help="overwrite OUT")
    arguments = parser.parse_args()

    from acsnet.evaluation import check_target
    from acsnet.experiments import save_ensemble

    check_target(arguments.out, arguments.overwrite)
    save_ensemble(arguments.out, arguments.checkpoints)
    show(f"{arguments.out}: {len(arguments.checkpoints)} networks, whose probabilities are averaged")


if __name__ == "__main__":
    raise SystemExit(run(main))
