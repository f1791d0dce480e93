"""``acsnet crossval`` and ``acsnet sweep``, whose jobs are shared by several workers."""

from collections.abc import Mapping
from typing import Annotated

import typer

from acsnet.cli.completion import complete_config
from acsnet.cli.options import Config, Configs, Heartbeat, Imports, Overrides, Storage, WorkDir
from acsnet.cli.parsing import parse_text
from acsnet.cli.running import show


def crossval(
    configs: Configs,
    work_dir: WorkDir,
    overrides: Overrides = None,
    storage: Storage = None,
    heartbeat: Heartbeat = 15,
    imports: Imports = None,
) -> None:
    """Train and test all folds of configurations.

    Running the same command again, here or on another machine that sees the folder, adds a worker and resumes an
    interrupted cross-validation.
    """
    from acsnet.config import find_config, load_configs

    loaded = load_configs([find_config(name) for name in configs], overrides or [])
    # Imports torch: mistakes in the names above are said at once.
    from acsnet.experiments import CrossValidation

    validation = CrossValidation(work_dir, loaded, storage, heartbeat)
    failures = validation.run()
    show(validation.table())
    show(f"\nreport: acsnet report {work_dir} --out {work_dir}/report")
    _raise_failures(failures)


def sweep(
    config: Config,
    search: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            parser=parse_text,
            autocompletion=complete_config,
            help="the values to try: a YAML file, or a name, as searches/lambda",
        ),
    ],
    work_dir: WorkDir,
    overrides: Overrides = None,
    storage: Storage = None,
    heartbeat: Heartbeat = 15,
    imports: Imports = None,
) -> None:
    """Search for the best values of a configuration.

    The best values have the highest score on the validation subset. Running the same command again, here or on another
    machine that sees the folder, adds a worker and resumes an interrupted search.
    """
    from acsnet.config import find_config, load_config

    loaded, ranges = load_config(find_config(config), overrides or []), find_config(search)
    # Imports torch: mistakes in the names above are said at once.
    from acsnet.experiments import Sweep, load_search, result_table, write_sweep

    values = load_search(ranges)
    study = Sweep(work_dir, loaded, values, storage, heartbeat)
    failures = study.run()
    # Printed first, so that it is kept if the files cannot be written.
    show(result_table(study.results()))
    page = write_sweep(study, failures)
    if page is not None:
        show(f"\n{page}; the best configuration: {work_dir}/best.yaml")
    _raise_failures(failures)


def _raise_failures(failures: Mapping[str, str]) -> None:
    from acsnet.errors import RunError

    if failures:
        raise RunError("; ".join(f"{job} failed: {reason}" for job, reason in failures.items()))
