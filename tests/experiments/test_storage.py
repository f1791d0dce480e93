import importlib.util
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy

from acsnet.errors import InputError, RunError
from acsnet.experiments.queue import JobQueue
from acsnet.experiments.storage import explained_storage, open_storage
from acsnet.experiments.worker import run_worker


def test_a_heartbeat_below_a_second_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the heartbeat is 0 seconds: it must be an integer of at least 1"):
        open_storage(f"sqlite:///{tmp_path}/queue.sqlite3", heartbeat=0)


@pytest.mark.parametrize("url", ["queue.sqlite3", "carrierpigeon://host/database", ""])
def test_an_address_of_no_database_is_one_clear_line(url: str) -> None:
    with pytest.raises(RunError, match=r"the storage .* cannot be used: .*; expected sqlite:///FILE or postgresql\+ps"):
        open_storage(url)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the storage sqlite:.*missing.* does not respond: .*unable to open database"):
        open_storage(f"sqlite:///{tmp_path}/missing/queue.sqlite3")


@pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed")
def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(RunError, match=r"the storage postgresql.* does not respond: .*connection"):
        open_storage("postgresql+psycopg://nobody@127.0.0.1:1/nothing")


def test_a_job_is_claimed_once_by_workers_of_one_machine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.sqlite3"
    jobs: dict[str, dict[str, float]] = {f"job{number:02d}": {} for number in range(40)}
    JobQueue(open_storage(url), "test").add(jobs)
    barrier = threading.Barrier(6)

    def worker(_: int) -> list[str]:
        queue = JobQueue(open_storage(url), "test")
        done: list[str] = []
        barrier.wait()
        while "waiting" in queue.states().values():
            queue.run_next(lambda job, _: float(not done.append(job)))
        return done

    with ThreadPoolExecutor(6) as pool:
        done = [job for jobs_of_one in pool.map(worker, range(6)) for job in jobs_of_one]
    assert sorted(done) == sorted(jobs)


@pytest.mark.parametrize(
    "reason", ["database or disk is full", "attempt to write a readonly database", "disk I/O error"]
)
def test_a_database_that_fails_later_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    queue = JobQueue(open_storage(f"sqlite:///{tmp_path}/queue.sqlite3"), "test")

    def fail(*_: object, **__: object) -> None:
        raise sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError(reason))

    monkeypatch.setattr(queue._study, "enqueue_trial", fail)
    with pytest.raises(RunError) as caught:
        run_worker(queue, lambda _: {"a": {}}, lambda *_: 0.0)
    assert str(caught.value) == (
        f"the database of jobs cannot be read or written ((sqlite3.OperationalError) {reason}): check its disk and "
        "connection, free some space if the disk is full, and run the command again; finished jobs are kept"
    )


def test_a_database_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").write_text("a text file, and not a short one: " * 100)
    with pytest.raises(RunError, match="file is not a database"), explained_storage():
        open_storage(f"sqlite:///{tmp_path}/queue.sqlite3")
