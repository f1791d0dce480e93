"""A search over configurations by any number of workers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from acsnet._utils.files import write_text
from acsnet.config import Config, build_config, changed_keys
from acsnet.errors import RunError
from acsnet.experiments.job_folder import check_free, lock_folder, new_study, own_storage
from acsnet.experiments.queue import Claim, JobQueue
from acsnet.experiments.search_space import Scalar, Search, as_overrides
from acsnet.experiments.storage import DEFAULT_HEARTBEAT, open_storage
from acsnet.experiments.worker import run_worker
from acsnet.training import RunFolder, Trainer, prepare_training

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
    """One trial of a search.

    Attributes:
        name: also that of its run folder.
        values: of the searched keys.
        score: of the best epoch by ``training.selection`` on the validation subset; of a pruned trial, of its last.
        pruned: whether it was ended early.
        curve: the score of each epoch.
    """

    name: str
    values: dict[str, Scalar]
    score: float
    pruned: bool
    curve: dict[int, float]


class Sweep:
    """A search in a folder; the same in another process is one more worker.

    Every trial is a run folder, judged by the score of its best epoch on the validation subset: the test subset is not
    looked at. Trials whose worker died go on from their last epoch.

    Args:
        work_dir: the folder, which all workers see.
        config: what the search starts from.
        search: what it tries.
        storage, heartbeat: see :func:`~acsnet.experiments.open_storage`; by default SQLite in the folder.
        progress: show progress bars.

    Raises:
        AcsnetError: for anything that would keep a trial from starting, with any of the values searched.
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
            database = open_storage(storage or own_storage(work_dir), heartbeat)
            self._queue = JobQueue(database, plan.study, pruner=search.pruner())
            write_text(work_dir / PLAN_FILE, plan.model_dump_json(indent=2) + "\n")

    def run(self) -> dict[str, str]:
        """Work until every trial is done.

        Returns:
            Why trials failed, of those that did.
        """
        jobs = self.search.jobs()
        return run_worker(self._queue, lambda _: jobs, self._do)

    def results(self) -> list[TrialResult]:
        """The trials that are done, the best first; pruned ones last."""
        results = [
            TrialResult(
                name=name,
                values=dict(trial.params),
                score=trial.value if trial.value is not None else max(trial.intermediate_values.items())[1],
                pruned=trial.state.name == "PRUNED",
                curve=dict(sorted(trial.intermediate_values.items())),
            )
            for name, trial in self._queue.results().items()
        ]
        return sorted(results, key=lambda result: (result.pruned, -result.score))

    @property
    def selection(self) -> str:
        """The formula of the score."""
        return self._config.training.selection

    def config(self, values: Mapping[str, Scalar]) -> Config:
        """The configuration with some values.

        Raises:
            ConfigError: where it cannot have them.
        """
        return build_config(self._config.to_dict(), as_overrides(values), "the search")

    def _read_plan(self) -> _Plan | None:
        path = self.work_dir / PLAN_FILE
        if not path.is_file():
            return None
        try:
            plan = _Plan.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise RunError(
                f"{path} is broken ({str(error).splitlines()[0]}): start a new search in another folder"
            ) from error
        changed = [
            *changed_keys(plan.config, self._config.to_dict()),
            *changed_keys(plan.search, self.search.model_dump(mode="json")),
        ]
        if changed:
            raise RunError(
                f"{self.work_dir} holds another search: {', '.join(changed)}; go on with that one, or choose another "
                "folder by --work-dir"
            )
        return plan

    def _check(self) -> None:
        """Check the configuration with every value, or both ends of every range, and what training needs with it."""
        prepare_training(self._config, self._progress)
        for key, parameter in self.search.parameters.items():
            for value in parameter.examples:
                self.config({key: value})

    def _do(self, job: str, claim: Claim) -> float:
        from optuna import TrialPruned

        trial = claim.trial
        trial.study.sampler = self.search.sampler(job)
        values = {key: parameter.suggest(trial, key) for key, parameter in self.search.parameters.items()}
        logger.info("%s: %s", job, ", ".join(as_overrides(values)))
        folder = RunFolder(self.work_dir / job)

        def on_epoch(row: Mapping[str, Any]) -> None:
            claim.check()
            trial.report(row["score"], row["epoch"])
            if trial.should_prune():
                raise TrialPruned

        trainer = Trainer(self.config(values), folder.path, folder.config.is_file(), self._progress)
        trainer.fit(on_epoch)
        assert trainer.best_score is not None  # a training has one epoch at least
        return trainer.best_score
