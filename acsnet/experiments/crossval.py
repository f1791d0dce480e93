"""Cross-validation: one job per fold and configuration, which trains and tests on the images of the fold."""

import logging
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from acsnet._utils.files import write_json
from acsnet.checkpoints import open_checkpoint
from acsnet.config import Config, DataConfig
from acsnet.data import CachedRecords, load_cached_records
from acsnet.errors import AcsnetError, RunError
from acsnet.evaluation.protocol import run_test
from acsnet.experiments.crossval_plan import Plan, extend_plan, read_plan, write_plan
from acsnet.experiments.ensembling import save_ensemble
from acsnet.experiments.job_folder import job_folder, lock_folder, own_storage, train_job
from acsnet.experiments.queue import Claim, JobQueue
from acsnet.experiments.storage import DEFAULT_HEARTBEAT, explained_storage, open_storage
from acsnet.experiments.worker import run_worker
from acsnet.statistics import (
    METRICS,
    compare,
    comparison_table,
    published_fold_tables,
    read_run,
    summarize_folds,
    summarize_published,
)
from acsnet.statistics.pooling import leave_out_incomplete
from acsnet.training import RunFolder, prepare_training
from acsnet.training.normalization import with_normalization

logger = logging.getLogger(__name__)

_METADATA_METRICS = frozenset(metric.json_name for metric in METRICS.values())


class CrossValidation:
    """A cross-validation in a folder; a second process with the same arguments is a second worker.

    ``NAME/foldK`` in the folder is the run folder of a training, with its test in ``test``: every image is predicted by
    the training that has not seen it. Configurations that differ only in ``evaluation`` share their trainings.
    ``NAME/ensemble.safetensors`` holds all folds of a configuration as one model. With
    ``evaluation.published_metrics``, ``NAME/published.json`` holds mean and standard deviation over folds of the
    metrics of each publication.

    Args:
        work_dir: the folder, which all workers can access.
        configs: the configurations by name; all have the same number of folds.
        storage: address of the database of jobs; by default SQLite in the folder, for the workers of one machine.
        heartbeat: seconds between two heartbeats of a worker; see :func:`~acsnet.experiments.storage.open_storage`.
        progress: show progress bars.

    Raises:
        AcsnetError: for every problem that would keep a job from starting.
    """

    def __init__(
        self,
        work_dir: Path,
        configs: Mapping[str, Config],
        storage: str | None = None,
        heartbeat: int = DEFAULT_HEARTBEAT,
        progress: bool = True,
    ) -> None:
        self.work_dir = work_dir
        self._progress = progress
        with lock_folder(work_dir):
            plan, added = extend_plan(work_dir, configs)
            self._check(plan, added)
            with explained_storage():
                self._queue = JobQueue(open_storage(storage or own_storage(work_dir), heartbeat), plan.study)
                self._queue.redo(self._find_missing(plan, self._queue.done()))
            write_plan(work_dir, plan)

    @property
    def plan(self) -> Plan:
        """The current plan: other workers may have added configurations."""
        return read_plan(self.work_dir)

    def run(self) -> dict[str, str]:
        """Run jobs until all are done, then write the missing ensembles.

        Returns:
            The error message of each failed job.
        """
        plan = self.plan
        failures = run_worker(self._queue, self._find_ready, self._run_job)
        for name in plan.configurations:
            if not any(_job(name, fold) in failures for fold in range(plan.folds)):
                self._write_summaries(plan, name)
        return failures

    def _write_summaries(self, plan: Plan, name: str) -> None:
        """Write what belongs to all folds of a configuration."""
        folds = [self._run_folder(plan.configurations[name].training, fold).best for fold in range(plan.folds)]
        tests = [self.test_folder(name, fold) for fold in range(plan.folds)]
        ensemble = job_folder(self.work_dir, name) / "ensemble.safetensors"
        # A fold that was done again is newer than the ensemble.
        if not _is_newest(ensemble, [*folds, *(test / "metrics.json" for test in tests)]):
            save_ensemble(ensemble, folds, *_ensemble_metadata(folds[0], tests, plan.config(name, 0)))
        _write_published(job_folder(self.work_dir, name) / "published.json", tests)

    def table(self) -> str:
        """Return the comparison of the configurations (:func:`~acsnet.statistics.compare`) as text.

        Configurations whose epoch was selected on the test subset are compared separately. The metrics of publications
        follow.
        """
        plan = self.plan
        runs, problems = [], []
        for name in plan.configurations:
            for fold in range(plan.folds):
                try:
                    runs.append(read_run(self.test_folder(name, fold), name))
                except AcsnetError as error:
                    problems.append(str(error))
        runs, incomplete = leave_out_incomplete(runs)
        comparable = [[run for run in runs if run.selected_on_test == selected] for selected in (False, True)]
        tables = [comparison_table(compare(some)) for some in comparable if some]
        names = dict.fromkeys(run.name for run in runs)
        tables += published_fold_tables({name: [run.metrics[0] for run in runs if run.name == name] for name in names})
        return "\n\n".join([*tables, *problems, *incomplete])

    def test_folder(self, name: str, fold: int) -> Path:
        """Return the folder of the test of one fold of a configuration."""
        return job_folder(self.work_dir, name, f"fold{fold}", "test")

    def _run_folder(self, training: str, fold: int) -> RunFolder:
        return RunFolder(job_folder(self.work_dir, training, f"fold{fold}"))

    def _check(self, plan: Plan, names: list[str]) -> None:
        """Check that every fold of new configurations can be trained."""
        loaded: dict[tuple[str, int], CachedRecords] = {}
        for name in names:
            for fold in range(plan.folds):
                config = plan.config(name, fold)
                channels = config.model.in_channels
                key = _without_folds(config.data), channels
                if key not in loaded:
                    loaded[key] = load_cached_records(config.data, channels, self._progress)
                prepare_training(config, self._progress, loaded[key])

    def _find_missing(self, plan: Plan, done: Collection[str]) -> list[str]:
        """Return the finished jobs whose files are gone or broken, and those whose network will be trained again."""
        missing = {job for job in done if not self._is_complete(plan, *_parse(job, plan))}
        missing |= {
            _job(name, fold)
            for name, planned in plan.configurations.items()
            for fold in range(plan.folds)
            if _job(planned.training, fold) in missing
        }
        again = sorted(missing & set(done))
        if again:
            logger.info("files are missing or broken, so these jobs are done again: %s", ", ".join(again))
        return again

    def _is_complete(self, plan: Plan, name: str, fold: int) -> bool:
        """Return whether a fold has its network and the test of that network."""
        try:
            best = open_checkpoint(self._run_folder(plan.configurations[name].training, fold).best)
            tested = read_run(self.test_folder(name, fold))
            return tested.provenance[0].get("checkpoint_sha256") == best.sha256
        except AcsnetError:
            return False

    def _find_ready(self, done: set[str]) -> dict[str, dict[str, Any]]:
        """Return the jobs that train or whose training is done, ordered by fold so that early results compare."""
        plan = self.plan
        return {
            _job(name, fold): {}
            for fold in range(plan.folds)
            for name, planned in plan.configurations.items()
            if planned.training == name or _job(planned.training, fold) in done
        }

    def _run_job(self, job: str, claim: Claim) -> float:
        plan = self.plan
        name, fold = _parse(job, plan)
        logger.info("%s (%d of %d jobs are done)", job, len(self._queue.done()), plan.folds * len(plan.configurations))
        config = plan.config(name, fold)
        training = plan.configurations[name].training
        run = self._run_folder(training, fold)
        if training == name:
            others = [self._run_folder(training, other) for other in range(plan.folds) if other != fold]
            train_job(config, run, others, self._progress, on_epoch=lambda _: claim.check())
        folder = self.test_folder(name, fold)
        result, provenance = run_test(open_checkpoint(run.best), config, self._progress, save_predictions_to=folder)
        claim.check()
        result.write(folder, provenance)
        # The queue needs a score, which only searches have.
        return 0.0


def _job(name: str, fold: int) -> str:
    return f"{name}/fold{fold}"


def _parse(job: str, plan: Plan) -> tuple[str, int]:
    jobs = {_job(name, fold): (name, fold) for name in plan.configurations for fold in range(plan.folds)}
    if job not in jobs:
        raise RunError(f"the database has the job {job!r}, which is not planned: use another database by --storage")
    return jobs[job]


def _is_newest(path: Path, others: Sequence[Path]) -> bool:
    """Return whether a file exists and none of the others was written after it."""
    return path.is_file() and path.stat().st_mtime_ns >= max(other.stat().st_mtime_ns for other in others)


def _without_folds(data: DataConfig) -> str:
    return data.model_dump_json(exclude={"folds"})


def _write_published(path: Path, tests: Sequence[Path]) -> None:
    """Write mean and standard deviation of the metrics of publications, if the tests have any."""
    summaries = summarize_published([read_run(test).metrics[0] for test in tests])
    content = {
        publication: {
            name: {"mean": own.mean, "deviation": own.deviation, "folds": own.folds} for name, own in summary.items()
        }
        for publication, summary in summaries.items()
    }
    if content:
        write_json(path, content)


def _ensemble_metadata(member: Path, tests: Sequence[Path], config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return metrics and configuration for the metadata of an ensemble.

    The metrics are means over the folds: the ensemble itself was trained on all images and cannot be tested on any of
    them. Its threshold is the mean of the thresholds of the folds, its normalization that of the members.
    """
    runs = [read_run(test) for test in tests]
    summary = summarize_folds([run.metrics[0] for run in runs])
    means = {name: fold.mean for name, fold in summary.items() if name in _METADATA_METRICS}
    trained = open_checkpoint(member).metadata
    # With a published protocol that validates on the tested fold.
    seen = "that selected its epoch" if trained.selected_on == "test" else "it has not seen"
    protocol = f"mean over {len(tests)} folds, each tested on images {seen}; not the ensemble"
    content = with_normalization(config, trained.mean, trained.std).for_metadata()
    content["evaluation"]["threshold"] = statistics.fmean(run.provenance[0]["threshold"] for run in runs)
    return {"protocol": protocol, **means}, content
