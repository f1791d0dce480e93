"""Cross-validate: python tools/crossval.py CONFIG... --work-dir DIR [--storage URL] [--set KEY=VALUE ...]."""

from pathlib import Path

from acsnet.cli import ToolParser, add_job_arguments, run, show


def main() -> None:
    """Parse the command line, run jobs until all are done, and print the comparison."""
    parser = ToolParser(
        description="Train and test all folds of configurations. Running the same command again, here or on another "
        "machine that sees the folder, adds a worker and resumes an interrupted cross-validation."
    )
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="YAML files; the file name is the name")
    add_job_arguments(parser)
    arguments = parser.parse_args()

    from acsnet.config import load_configs
    from acsnet.errors import RunError
    from acsnet.experiments import CrossValidation

    configs = load_configs(arguments.configs, arguments.overrides)
    crossval = CrossValidation(arguments.work_dir, configs, arguments.storage, arguments.heartbeat)
    failures = crossval.run()
    show(crossval.table())
    show(f"\nreport: python tools/report.py {arguments.work_dir} --out {arguments.work_dir}/report")
    if failures:
        raise RunError("; ".join(f"{job} failed: {reason}" for job, reason in failures.items()))


if __name__ == "__main__":
    raise SystemExit(run(main))
