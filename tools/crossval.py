"""Cross-validate: python tools/crossval.py CONFIG... --work-dir DIR [--storage URL] [--set KEY=VALUE ...]."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line, work until all jobs are done, print the comparison."""
    parser = argparse.ArgumentParser(
        description="Train and test all folds of configurations. The same command again, here or on another machine "
        "that sees the folder, is one more worker; after an interruption it goes on."
    )
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="YAML files; each is named by its file")
    parser.add_argument("--work-dir", type=Path, required=True, metavar="DIR", help="the folder of all runs")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="the database of jobs, as postgresql+psycopg://USER@HOST/DATABASE for several machines (default: SQLite "
        "in DIR, for one machine)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a key of all configurations, as in training.epochs=40; may be repeated",
    )
    parser.add_argument(
        "--heartbeat",
        type=int,
        default=15,
        metavar="SECONDS",
        help="between two signs of life; a worker silent for six times as long is taken for dead (default: 15)",
    )
    arguments = parser.parse_args()

    from acsnet.config import load_configs
    from acsnet.errors import RunError
    from acsnet.evaluation.crossval import CrossValidation

    configs = load_configs(arguments.configs, arguments.overrides)
    crossval = CrossValidation(arguments.work_dir, configs, arguments.storage, arguments.heartbeat)
    failures = crossval.run()
    print(crossval.table())
    print(f"\nreport: python tools/report.py {arguments.work_dir} --out {arguments.work_dir}/report")
    if failures:
        raise RunError("; ".join(f"{job} failed: {reason}" for job, reason in failures.items()))


if __name__ == "__main__":
    raise SystemExit(run(main))
