"""Train a network: python tools/train.py CONFIG [--set KEY=VALUE ...] [--work-dir DIR] [--resume]."""

from pathlib import Path

from acsnet.cli import ToolParser, add_override_argument, run, show


def main() -> None:
    """Parse the command line and train the network."""
    parser = ToolParser(description="Train a network of the zoo.")
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, such as configs/acsnet_busi.yaml")
    add_override_argument(parser, "training.epochs=40")
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="the run folder (default: runs/<config name>)")
    parser.add_argument("--resume", action="store_true", help="resume the run in the run folder")
    arguments = parser.parse_args()

    # Imported here so that --help and errors on the command line appear at once.
    from acsnet.config import load_config
    from acsnet.training import Trainer

    config = load_config(arguments.config, arguments.overrides)
    work_dir = arguments.work_dir or Path("runs") / arguments.config.stem
    trainer = Trainer.from_config(config, work_dir, arguments.resume)
    best = trainer.fit()
    if trainer.accelerator.is_main_process:
        show(f"best checkpoint: {best} (score {trainer.best_score:.4f})")
        show(f"curves: tensorboard --logdir {trainer.folder.tensorboard}")


if __name__ == "__main__":
    raise SystemExit(run(main))
