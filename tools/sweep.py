"""Search: python tools/sweep.py CONFIG --search FILE --work-dir DIR [--storage URL] [--set KEY=VALUE ...]."""

from pathlib import Path

from acsnet.cli import ToolParser, add_job_arguments, run, show


def main() -> None:
    """Parse the command line, run trials until all are done, print the results and write the page."""
    parser = ToolParser(
        description="Search for the values of a configuration with the best score on the validation subset. Running "
        "the same command again, here or on another machine that sees the folder, adds a worker and resumes an "
        "interrupted search."
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file")
    parser.add_argument("--search", type=Path, required=True, metavar="FILE", help="as configs/searches/lambda.yaml")
    add_job_arguments(parser)
    arguments = parser.parse_args()

    from acsnet.config import load_config
    from acsnet.errors import RunError
    from acsnet.experiments import Sweep, load_search, result_table, write_sweep

    config, search = load_config(arguments.config, arguments.overrides), load_search(arguments.search)
    sweep = Sweep(arguments.work_dir, config, search, arguments.storage, arguments.heartbeat)
    failures = sweep.run()
    # Printed first, so that it is kept if the files cannot be written.
    show(result_table(sweep.results()))
    page = write_sweep(sweep, failures)
    if page is not None:
        show(f"\n{page}; the best configuration: {arguments.work_dir}/best.yaml")
    if failures:
        raise RunError("; ".join(f"{job} failed: {reason}" for job, reason in failures.items()))


if __name__ == "__main__":
    raise SystemExit(run(main))
