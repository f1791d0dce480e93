"""The queue of jobs: a study of Optuna, of which each trial is an attempt at a job.

Optuna hands a waiting trial to one worker, keeps a sign of life of it while it runs, and queues it again where that
ends. What is added here is that a trial has the name of a job, and that of a job one trial counts.
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from acsnet.errors import AcsnetError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

JobState = Literal["waiting", "running", "done", "failed", "lost"]
_JOB = "job"
_ERROR = "error"
_DONE = frozenset({"COMPLETE", "PRUNED"})


class JobTakenOver(Exception):
    """Another worker has taken this job over: this one was silent for too long."""


class _NoJob(Exception):
    """Nothing to do for this attempt."""


class Claim:
    """A worker's hold on a job.

    Args:
        storage: the database.
        trial: the attempt, of which a search asks its parameters.
    """

    def __init__(self, storage: "RDBStorage", trial: "Trial") -> None:
        self._storage = storage
        self.trial = trial

    def check(self) -> None:
        """Check that the job is still this worker's: called before anything is written.

        Raises:
            JobTakenOver: where it is not.
        """
        if self._storage.get_trial(self.trial._trial_id).state.is_finished():
            raise JobTakenOver


class JobQueue:
    """Named jobs in a database.

    Args:
        storage: see :func:`~acsnet.experiments.storage.open_storage`.
        study: name of the queue in it; created where there is none.
        pruner: Optuna's, for jobs of a search.
    """

    def __init__(
        self,
        storage: "RDBStorage",
        study: str,
        pruner: "BasePruner | None" = None,
    ) -> None:
        import optuna

        self._storage = storage
        self._study = optuna.create_study(
            storage=storage,
            study_name=study,
            direction="maximize",
            pruner=pruner or optuna.pruners.NopPruner(),
            load_if_exists=True,
        )

    def states(self) -> dict[str, JobState]:
        """The state of every job that was ever added.

        ``failed`` where its last attempt ended in an error that would come again, ``lost`` where the worker gave it up
        (Ctrl-C, say).
        """
        return {job: _state(trials) for job, trials in self._attempts().items()}

    def is_waiting(self) -> bool:
        """Whether an attempt waits; at a job that is done too, where two workers queued that of a third that died."""
        return any(trial.state.name == "WAITING" for trial in self._trials())

    def done(self) -> set[str]:
        """The jobs that are done."""
        return {job for job, state in self.states().items() if state == "done"}

    def errors(self) -> dict[str, str]:
        """Why jobs failed, of those that did."""
        return {
            job: trials[-1].user_attrs[_ERROR] for job, trials in self._attempts().items() if _state(trials) == "failed"
        }

    def results(self) -> dict[str, "FrozenTrial"]:
        """The attempt that counts of each job that is done."""
        return {
            job: next(trial for trial in trials if trial.state.name in _DONE)
            for job, trials in self._attempts().items()
            if _state(trials) == "done"
        }

    def add(self, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        """Have jobs wait in line; those that wait, run or are done already stay as they are.

        Args:
            jobs: by name, in order; with the parameters that are fixed for an attempt, where the job is one of a
                search.
        """
        states = self.states()
        for job, parameters in jobs.items():
            if states.get(job, "lost") in ("failed", "lost"):
                self._study.enqueue_trial(dict(parameters), user_attrs={_JOB: job})

    def requeue_lost(self) -> None:
        """Have the jobs wait again whose workers died."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)

    def take(self, do: Callable[[str, Claim], float]) -> None:
        """Take the first job that waits, if there is one, and do it.

        Args:
            do: is given the job's name and the claim on it, and returns the job's score, which is no NaN. An
                :class:`AcsnetError` is kept as the reason why the job failed; Optuna's ``TrialPruned`` ends it as
                done; anything else that it raises is raised here too.
        """
        # A worker may die between its claim and its first sign of life: one given before keeps the job from being held
        # for ever by a worker that never was.
        for trial in self._trials():
            if trial.state.name == "WAITING":
                self._storage.record_heartbeat(trial._trial_id)
        taken_over = False

        def objective(trial: "Trial") -> float:
            nonlocal taken_over
            job = trial.user_attrs.get(_JOB)
            if job is None or not self._counts(job, trial.number):
                # Others were quicker, or two workers queued the job of a third that died.
                raise _NoJob
            try:
                return do(job, Claim(self._storage, trial))
            except AcsnetError as error:
                trial.set_user_attr(_ERROR, str(error))
                raise
            except JobTakenOver:
                taken_over = True
                raise

        try:
            self._study.optimize(objective, n_trials=1, catch=(AcsnetError, _NoJob))
        except Exception:
            # Optuna cannot close an attempt that others have closed, and says so in one way or another.
            if not taken_over:
                raise
            logger.warning("another worker has taken the job over: this one was silent for too long")

    def _counts(self, job: str, number: int) -> bool:
        """Whether an attempt is the first of its job that has not failed."""
        return number == min(trial.number for trial in self._attempts()[job] if trial.state.name != "FAIL")

    def _attempts(self) -> dict[str, list["FrozenTrial"]]:
        """The attempts at each job, in order."""
        attempts: dict[str, list[FrozenTrial]] = {}
        for trial in self._trials():
            if _JOB in trial.user_attrs:
                attempts.setdefault(trial.user_attrs[_JOB], []).append(trial)
        return attempts

    def _trials(self) -> list["FrozenTrial"]:
        return self._study.get_trials(deepcopy=False)


def _state(trials: list["FrozenTrial"]) -> JobState:
    states = {trial.state.name for trial in trials}
    if states & _DONE:
        return "done"
    if "RUNNING" in states:
        return "running"
    if "WAITING" in states:
        return "waiting"
    return "failed" if _ERROR in trials[-1].user_attrs else "lost"
