import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from acsnet.errors import RunError
from acsnet.experiments.queue import Claim, JobQueue, JobTakenOver
from acsnet.experiments.storage import open_storage
from acsnet.experiments.worker import run_worker

Do = Callable[[str, Claim], float]


def nothing(_: str, __: Claim) -> float:
    return 0.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/queue.sqlite3"


@pytest.fixture
def queue(url: str) -> JobQueue:
    return JobQueue(open_storage(url, heartbeat=1), "test")


def attempts(url: str, state: str) -> int:
    study = optuna.load_study(study_name="test", storage=url)
    return sum(trial.state.name == state for trial in study.trials)


def test_jobs_are_done_in_order(queue: JobQueue) -> None:
    queue.add({"b": {}, "a": {}, "c": {}})
    seen = []
    while "waiting" in queue.states().values():
        queue.run_next(lambda job, _: float(not seen.append(job)))
    assert seen == ["b", "a", "c"]
    assert queue.done() == {"a", "b", "c"}


def test_a_job_is_added_once(queue: JobQueue, url: str) -> None:
    queue.add({"a": {}, "b": {}})
    queue.run_next(nothing)
    queue.add({"a": {}, "b": {}})
    assert queue.states() == {"a": "done", "b": "waiting"}
    assert attempts(url, "WAITING") == 1


def test_without_waiting_jobs_nothing_is_run(queue: JobQueue) -> None:
    queue.run_next(lambda job, _: pytest.fail(f"{job} was never added"))
    assert queue.states() == {}


def test_an_error_of_the_job_is_kept_and_the_job_can_be_tried_again(queue: JobQueue) -> None:
    def fail(_: str, __: Claim) -> float:
        raise RunError("the loss became nan")

    queue.add({"a": {}})
    queue.run_next(fail)
    assert queue.states() == {"a": "failed"}
    assert queue.errors() == {"a": "the loss became nan"}
    queue.add({"a": {}})
    queue.run_next(nothing)
    assert queue.states() == {"a": "done"}
    assert queue.errors() == {}


def test_an_error_of_the_program_is_raised(queue: JobQueue) -> None:
    def fail(_: str, __: Claim) -> float:
        raise ZeroDivisionError("a fault")

    queue.add({"a": {}})
    with pytest.raises(ZeroDivisionError, match="a fault"):
        queue.run_next(fail)
    assert queue.states() == {"a": "lost"}
    assert queue.errors() == {}


def test_a_job_that_a_worker_gave_up_is_done_by_the_others(queue: JobQueue) -> None:
    def interrupt(_: str, __: Claim) -> float:
        raise KeyboardInterrupt

    queue.add({"a": {}, "b": {}})
    with pytest.raises(KeyboardInterrupt):
        queue.run_next(interrupt)
    seen = []
    # The next job first, as a worker that is already running does.
    queue.run_next(lambda job, _: float(not seen.append(job)))
    assert not run_worker(queue, lambda _: {"a": {}, "b": {}}, lambda job, _: float(not seen.append(job)))
    assert seen == ["b", "a"]


def test_a_trial_that_is_pruned_is_done(queue: JobQueue) -> None:
    def prune(_: str, claim: Claim) -> float:
        claim.trial.report(0.25, 1)
        raise optuna.TrialPruned

    queue.add({"a": {}})
    queue.run_next(prune)
    assert queue.states() == {"a": "done"}
    assert queue.results()["a"].intermediate_values == {1: 0.25}


def test_fixed_parameters_reach_the_trial(queue: JobQueue) -> None:
    queue.add({"a": {"rate": 0.5}})
    queue.run_next(lambda _, claim: claim.trial.suggest_float("rate", 0.0, 1.0))
    assert queue.results()["a"].value == 0.5


def test_two_attempts_at_one_job_count_once_and_neither_is_left_waiting(queue: JobQueue, url: str) -> None:
    # The state after two workers queued the job of a third one at the same time.
    study = optuna.load_study(study_name="test", storage=url)
    for _ in range(2):
        study.enqueue_trial({}, user_attrs={"job": "a"})
    seen = []
    assert not run_worker(queue, lambda _: {"a": {}}, lambda job, _: float(not seen.append(job)))
    assert seen == ["a"]
    assert queue.states() == {"a": "done"}
    assert attempts(url, "WAITING") == 0


def silent_worker(url: str) -> Claim:
    """Claim the first job, send one heartbeat and die."""
    storage = open_storage(url, heartbeat=1)
    with pytest.warns(UserWarning, match="Heartbeat of storage is supposed to be used with"):
        trial = optuna.load_study(study_name="test", storage=storage).ask()
    study_id = storage.get_study_id_from_name("test")
    storage.record_heartbeat(storage.get_trial_id_from_study_id_trial_number(study_id, trial.number))
    return Claim(trial)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a worker as dead after a second, and fail a test that waits for longer."""
    polls = 0

    def sleep(seconds: float) -> None:
        nonlocal polls
        polls += 1
        assert polls < 150, "the job of a dead worker was not queued again"
        time.sleep(seconds)

    monkeypatch.setattr("acsnet.experiments.worker.sleep", sleep)
    monkeypatch.setattr("acsnet.experiments.storage._MISSED_HEARTBEATS", 1)
    monkeypatch.setattr("acsnet.experiments.worker._POLL_SECONDS", 0.2)


@pytest.mark.usefixtures("no_patience")
def test_the_job_of_a_worker_that_died_is_done_by_another(url: str) -> None:
    queue = JobQueue(open_storage(url, heartbeat=1), "test")
    queue.add({"a": {}, "b": {}})
    dead = silent_worker(url)
    dead.check()
    assert queue.states() == {"a": "running", "b": "waiting"}
    seen = []
    failures = run_worker(queue, lambda _: {"a": {}, "b": {}}, lambda job, _: float(not seen.append(job)))
    assert not failures
    assert seen == ["b", "a"], "waiting jobs come before lost ones"
    with pytest.raises(JobTakenOver):
        dead.check()


@pytest.mark.usefixtures("no_patience")
def test_a_worker_that_died_before_its_first_heartbeat_holds_nothing(url: str) -> None:
    queue = JobQueue(open_storage(url, heartbeat=1), "test")
    queue.add({"a": {}})
    queue.run_next(lambda *_: 0.0)
    queue.add({"b": {}, "c": {}})
    # Another worker has read the queue, claims a job and dies at once.
    queue.run_next(lambda *_: 0.0)
    with pytest.warns(UserWarning, match="Heartbeat of storage is supposed to be used with"):
        optuna.load_study(study_name="test", storage=open_storage(url, heartbeat=1)).ask()
    assert queue.states()["c"] == "running"
    seen = []
    assert not run_worker(queue, lambda _: {"c": {}}, lambda job, _: float(not seen.append(job)))
    assert seen == ["c"]


@pytest.mark.usefixtures("no_patience")
def test_a_worker_without_heartbeats_stops_its_job_and_runs_others(url: str, caplog: pytest.LogCaptureFixture) -> None:
    queue = JobQueue(open_storage(url, heartbeat=1), "test")
    queue.add({"a": {}})

    def stall(job: str, claim: Claim) -> float:
        # Another worker has closed this attempt in the database.
        optuna.load_study(study_name="test", storage=url).tell(claim.trial.number, state=optuna.trial.TrialState.FAIL)
        claim.check()
        pytest.fail("the check let it pass")

    queue.run_next(stall)
    assert "another worker has taken over the job" in caplog.text
    queue.add({"a": {}})
    queue.run_next(nothing)
    assert queue.states() == {"a": "done"}


def test_jobs_that_wait_for_others_come_after_them(queue: JobQueue) -> None:
    seen = []

    def ready(done: set[str]) -> dict[str, dict[str, float]]:
        return {"training": {}} | ({"test": {}} if "training" in done else {})

    assert not run_worker(queue, ready, lambda job, _: float(not seen.append(job)))
    assert seen == ["training", "test"]


def test_a_failed_job_is_tried_once_a_call(queue: JobQueue) -> None:
    seen = []

    def fail(job: str, _: Claim) -> float:
        seen.append(job)
        raise RunError("broken")

    for _ in range(2):
        assert run_worker(queue, lambda _: {"a": {}, "b": {}}, fail) == {"a": "broken", "b": "broken"}
    assert seen == ["a", "b", "a", "b"]


def test_waiting_is_logged_once(url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acsnet.experiments.storage._MISSED_HEARTBEATS", 1)
    monkeypatch.setattr("acsnet.experiments.worker._POLL_SECONDS", 0.2)
    caplog.set_level("INFO", logger="acsnet")
    queue = JobQueue(open_storage(url, heartbeat=1), "test")
    queue.add({"a": {}})
    silent_worker(url)
    started = time.monotonic()
    assert not run_worker(queue, lambda _: {"a": {}}, nothing)
    assert time.monotonic() - started > 0.5
    assert caplog.text.count("waiting for other workers, which run a") == 1


# --- jobs whose files are gone ---------------------------------------------------------------------------------------


def test_a_finished_job_is_done_again_if_asked(queue: JobQueue) -> None:
    queue.add({"a": {}, "b": {}})
    runs: list[str] = []

    def run(job: str, _: Claim) -> float:
        runs.append(job)
        return 0.0

    for _ in range(2):
        queue.run_next(run)
    queue.redo(["a", "unknown"])
    assert queue.done() == {"b"}
    assert "a" not in queue.states()
    queue.add({"a": {}, "b": {}})
    queue.run_next(run)
    queue.redo(["a"])
    queue.redo([])
    queue.add({"a": {}, "b": {}})
    queue.run_next(run)
    assert runs == ["a", "b", "a", "a"]
    assert queue.done() == {"a", "b"}


def test_what_is_not_done_is_not_done_again(queue: JobQueue) -> None:
    queue.add({"a": {}})
    queue.redo(["a"])
    assert queue.states() == {"a": "waiting"}

    def fail(_: str, __: Claim) -> float:
        raise RunError("the reason")

    queue.run_next(fail)
    queue.redo(["a"])
    assert queue.states() == {"a": "failed"}
