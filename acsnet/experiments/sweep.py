"""Hyperparameter search by any number of workers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from acsnet._utils.files import write_text
from acsnet._utils.reading import read_text
from acsnet.config import Config, build_config, changed_keys
from acsnet.errors import RunError
from acsnet.experiments.job_folder import (
    broken_entry,
    check_free,
    job_folder,
    lock_folder,
    new_study,
    own_storage,
    train_job,
)
from acsnet.experiments.queue import Claim, JobQueue
from acsnet.experiments.search_space import Scalar, Search, as_overrides
from acsnet.experiments.storage import DEFAULT_HEARTBEAT, explained_storage, open_storage
from acsnet.experiments.worker import run_worker
from acsnet.training import RunFolder, prepare_training

logger = logging.getLogger(__name__)

PLAN_FILE = "sweep.json"


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    study: str
    config: dict[str, Any]
    search: dict[str, Any]


@dataclass(frozen=True)
class TrialResult:
    """Result of one trial of a search.

    Attributes:
        name: name of the trial and of its run folder.
        values: value of each searched key.
        score: ``training.selection`` on the validation subset in the best epoch; in the last epoch if pruned.
        pruned: whether the trial was stopped early.
        curve: score of each epoch.
    """

    name: str
    values: dict[str, Scalar]
    score: float
    pruned: bool
    curve: dict[int, float]


class Sweep:
    """A hyperparameter search in a folder; a second process with the same arguments is a second worker.

    Every trial has a run folder and is scored by its best epoch on the validation subset; the test subset is not used.
    Trials whose worker died are resumed after their last epoch.

    Args:
        work_dir: the folder, which all workers can access.
        config: the configuration whose keys are searched.
        search: method, searched keys and their values.
        storage: address of the database of jobs; by default SQLite in the folder, for the workers of one machine.
        heartbeat: seconds between two heartbeats of a worker; see :func:`~acsnet.experiments.storage.open_storage`.
        progress: show progress bars.

    Raises:
        AcsnetError: for every problem that would keep a trial from starting, with any of the searched values.
    """

    def __init__(
        self,
        work_dir: Path,
        config: Config,
        search: Search,
        storage: str | None = None,
        heartbeat: int = DEFAULT_HEARTBEAT,
        progress: bool = True,
    ) -> None:
        self.work_dir = work_dir
        self.search = search
        self._config = config
        self._progress = progress
        with lock_folder(work_dir):
            plan = self._read_plan()
            if plan is None:
                check_free(work_dir, "search")
                self._check()
                plan = _Plan(study=new_study("sweep"), config=config.to_dict(), search=search.model_dump(mode="json"))
            with explained_storage():
                database = open_storage(storage or own_storage(work_dir), heartbeat)
                self._queue = JobQueue(database, plan.study, pruner=search.pruner())
            write_text(work_dir / PLAN_FILE, plan.model_dump_json(indent=2) + "\n")

    def run(self) -> dict[str, str]:
        """Run trials until all are done.

        Returns:
            The error message of each failed trial.
        """
        jobs = self.search.jobs()
        return run_worker(self._queue, lambda _: jobs, self._run_trial)

    def results(self) -> list[TrialResult]:
        """Return the finished trials, the best first and pruned ones last.

        Raises:
            RunError: if the database cannot be read.
        """
        with explained_storage():
            finished = self._queue.results()
        results = [
            TrialResult(
                name=name,
                values=dict(trial.params),
                score=trial.value if trial.value is not None else max(trial.intermediate_values.items())[1],
                pruned=trial.state.name == "PRUNED",
                curve=dict(sorted(trial.intermediate_values.items())),
            )
            for name, trial in finished.items()
        ]
        return sorted(results, key=lambda result: (result.pruned, -result.score))

    @property
    def selection(self) -> str:
        """The formula of the score, such as ``0.7*dice + 0.3*accuracy``."""
        return self._config.training.selection_formula

    def config(self, values: Mapping[str, Scalar]) -> Config:
        """Return the configuration with the given values of searched keys.

        Raises:
            ConfigError: if they are not valid.
        """
        return build_config(self._config.to_dict(), as_overrides(values), "the search")

    def _read_plan(self) -> _Plan | None:
        path = self.work_dir / PLAN_FILE
        try:
            plan = _Plan.model_validate_json(read_text(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RunError(f"{path} cannot be read ({error.strerror}): start a new search in another folder") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise RunError(f"{path} is broken ({broken_entry(error)}): start a new search in another folder") from error
        changed = [
            *changed_keys(plan.config, self._config.to_dict()),
            *changed_keys(plan.search, self.search.model_dump(mode="json")),
        ]
        if changed:
            raise RunError(
                f"{self.work_dir} holds another search: {', '.join(changed)}; resume that one, or choose another "
                "folder by --work-dir"
            )
        return plan

    def _check(self) -> None:
        """Check the training, and the configuration with every value or both ends of every range."""
        prepare_training(self._config, self._progress)
        for key, parameter in self.search.parameters.items():
            for value in parameter.examples:
                self.config({key: value})

    def _run_trial(self, job: str, claim: Claim) -> float:
        from optuna import TrialPruned

        if job not in self.search.jobs():
            raise RunError(f"the database has the job {job!r}, which is not planned: use another database by --storage")
        trial = claim.trial
        trial.study.sampler = self.search.sampler(job)
        values = {key: parameter.suggest(trial, key) for key, parameter in self.search.parameters.items()}
        logger.info("%s: %s", job, ", ".join(as_overrides(values)))
        folder = RunFolder(job_folder(self.work_dir, job))

        def on_epoch(row: Mapping[str, Any]) -> None:
            claim.check()
            trial.report(row["score"], row["epoch"])
            if trial.should_prune():
                raise TrialPruned

        others = [RunFolder(self.work_dir / name) for name in self.search.jobs() if name != job]
        trainer = train_job(self.config(values), folder, others, self._progress, on_epoch)
        assert trainer.best_score is not None  # a training has at least one epoch
        return trainer.best_score
