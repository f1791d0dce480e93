"""The queue of jobs: a study of Optuna whose trials are attempts at jobs.

Optuna assigns a waiting trial to one worker, records heartbeats while it runs, and queues it again if they stop. This
module adds that a trial has the name of a job, and that one trial per job counts.
"""

import logging
import warnings
from collections.abc import Callable, Collection, Mapping
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
_VOID = "void"
_DONE = frozenset({"COMPLETE", "PRUNED"})


class JobTakenOver(Exception):
    """Another worker has taken over this job, because this worker sent no heartbeat for too long."""


class _NoJob(Exception):
    """Nothing is left to do for an attempt."""


class Claim:
    """The claim of a worker on a job.

    Args:
        trial: the attempt, which suggests the parameters of a search.
    """

    def __init__(self, trial: "Trial") -> None:
        self.trial = trial

    def check(self) -> None:
        """Check that this worker still has the job; called before anything is written.

        Raises:
            JobTakenOver: if it does not.
        """
        trials = self.trial.study.get_trials(deepcopy=False)
        if trials[self.trial.number].state.is_finished():
            raise JobTakenOver


class JobQueue:
    """Named jobs in a database.

    Args:
        storage: the database, see :func:`~acsnet.experiments.storage.open_storage`.
        study: name of the queue in the database; created if it does not exist.
        pruner: pruner of Optuna, for the jobs of a search.
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
        """Return the state of every job that was ever added.

        A job is ``failed`` if its last attempt ended with an error that would occur again, ``lost`` if the worker gave
        it up (for example by Ctrl-C).
        """
        return {job: _state(trials) for job, trials in self._attempts().items()}

    def is_waiting(self) -> bool:
        """Return whether any attempt is waiting, including duplicates of finished jobs that two workers queued."""
        return any(trial.state.name == "WAITING" for trial in self._trials())

    def done(self) -> set[str]:
        """Return the names of the finished jobs."""
        return {job for job, state in self.states().items() if state == "done"}

    def errors(self) -> dict[str, str]:
        """Return the error message of each failed job."""
        return {
            job: trials[-1].user_attrs[_ERROR] for job, trials in self._attempts().items() if _state(trials) == "failed"
        }

    def results(self) -> dict[str, "FrozenTrial"]:
        """Return the attempt that counts for each finished job."""
        return {
            job: next(trial for trial in trials if trial.state.name in _DONE)
            for job, trials in self._attempts().items()
            if _state(trials) == "done"
        }

    def add(self, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue jobs; those that are waiting, running or done are skipped.

        Args:
            jobs: the fixed parameters of each job by its name, in order; empty if the job is not part of a search.
        """
        states = self.states()
        for job, parameters in jobs.items():
            if states.get(job, "lost") in ("failed", "lost"):
                self._study.enqueue_trial(dict(parameters), user_attrs={_JOB: job})

    def redo(self, jobs: Collection[str]) -> None:
        """Count finished jobs as never done, because their files are gone; called with the folder locked.

        Args:
            jobs: names of jobs; those that are not done are skipped.
        """
        results = self.results()
        numbers = {results[job].number for job in jobs if job in results}
        if numbers:
            self._study.set_user_attr(_VOID, sorted(self._void() | numbers))

    def _void(self) -> set[int]:
        """Return the numbers of the attempts that do not count."""
        return set(self._study.user_attrs.get(_VOID, ()))

    def requeue_lost(self) -> None:
        """Queue the jobs again whose workers died."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)

    def run_next(self, run_job: Callable[[str, Claim], float]) -> None:
        """Run the first waiting job, if there is one.

        Args:
            run_job: called with the name of the job and the claim on it; returns the score of the job, which is not
                NaN. An :class:`AcsnetError` is stored as the reason of the failure; ``TrialPruned`` of Optuna ends the
                job as done; any other exception is raised here.
        """
        # A worker may die between its claim and its first heartbeat. A heartbeat before the claim makes sure that the
        # job does not stay claimed by a dead worker forever.
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        for trial in self._trials():
            if trial.state.name == "WAITING":
                self._storage.record_heartbeat(
                    self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
                )
        taken_over = False

        def objective(trial: "Trial") -> float:
            nonlocal taken_over
            job = trial.user_attrs.get(_JOB)
            if job is None or not self._counts(job, trial.number):
                # No job was waiting, or two workers queued the job of a third one that died.
                raise _NoJob
            try:
                return run_job(job, Claim(trial))
            except AcsnetError as error:
                trial.set_user_attr(_ERROR, str(error))
                raise
            except JobTakenOver:
                taken_over = True
                raise

        try:
            self._study.optimize(objective, n_trials=1, catch=(AcsnetError, _NoJob))
        except Exception:
            # Optuna raises various errors for an attempt that another worker has closed.
            if not taken_over:
                raise
            logger.warning("another worker has taken over the job: this worker sent no heartbeat for too long")

    def _counts(self, job: str, number: int) -> bool:
        """Return whether an attempt is the first of its job that has not failed."""
        return number == min(trial.number for trial in self._attempts()[job] if trial.state.name != "FAIL")

    def _attempts(self) -> dict[str, list["FrozenTrial"]]:
        """Return the attempts at each job, in order."""
        attempts: dict[str, list[FrozenTrial]] = {}
        void = self._void()
        for trial in self._trials():
            if _JOB in trial.user_attrs and trial.number not in void:
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
