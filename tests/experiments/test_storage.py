import importlib.util
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
import torch

from acsnet.errors import InputError, RunError
from acsnet.experiments.job_folder import own_storage
from acsnet.experiments.queue import JobQueue
from acsnet.experiments.storage import explained_storage, open_storage
from acsnet.experiments.worker import run_worker
from acsnet.training.environment import describe_environment


def test_a_heartbeat_below_a_second_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the heartbeat is 0 seconds: it must be an integer of at least 1"):
        open_storage(f"sqlite:///{tmp_path}/queue.sqlite3", heartbeat=0)


@pytest.mark.parametrize("url", ["queue.sqlite3", "carrierpigeon://host/database", ""])
def test_an_address_of_no_database_is_one_clear_line(url: str) -> None:
    with pytest.raises(RunError, match=r"the storage .* cannot be used: .*; expected sqlite:///FILE or postgresql\+ps"):
        open_storage(url)


NAMES = ["what?", "50 %", "a%3Fb", "#1", "a&b=c;d", "{x}", "a b+c", "Größe", "'quoted\"", "back\\slash", "caf\udce9"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_the_database_is_in_the_folder_of_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / name
    folder.mkdir(parents=True)
    JobQueue(open_storage(own_storage(folder)), "test").add({"job": {}})
    assert JobQueue(open_storage(own_storage(folder)), "test").states() == {"job": "waiting"}
    assert [path.name for path in folder.iterdir()] == ["queue.sqlite3"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["runs", name, "queue.sqlite3"])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////tmp", r"/tmp is a folder; expected sqlite:///FILE"),
        (
            "sqlite:////tmp/what?/a.db",
            "a question mark begins settings, not a part of the path",
        ),
        ("sqlite:////tmp/a.db?x=1", r"a question mark begins settings"),
        ("mysql://me@host/jobs", "an unknown kind of database"),
        ("postgresql+psycopg://me@host:port/jobs", "port"),
        ("postgresql+psycopg://me@[::1/jobs", ""),
        ("postgresql+nothing://me@host/jobs", ""),
    ],
)
def test_an_address_with_a_mistake_is_one_clear_line(url: str, message: str) -> None:
    with pytest.raises(RunError, match=rf"the storage .*{message}") as caught:
        open_storage(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_driver_that_is_not_installed(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(RunError, match=r"needs a package that is not installed .* pip install 'acsnet\[postgresql\]'"):
        open_storage(f"postgresql+{driver}://me:secret@127.0.0.1:1/jobs")


SECRET = "sEcReT"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/jobs",
        f"postgresql+psycopg://me:{SECRET}@127.0.0.1:99999999/jobs",
        f"postgresql+psycopg://me:{SECRET}@127.0.0.1:port/jobs",
        f"postgresql+psycopg://me:a@b/{SECRET}@127.0.0.1:1/jobs",
        f"postgresql+psycopg://me:%7B{SECRET}%7D@127.0.0.1:1/jobs",
        f"postgresql+psycopg://me@127.0.0.1:1/jobs?password={SECRET}",
        f"postgresql+psycopg://127.0.0.1:1/jobs?user=me&sslpassword={SECRET}",
        f"postgresql+psycopg://me:a@{SECRET}@127.0.0.1/jobs",
        f"postgresql+psycopg://me:a@b@{SECRET}@127.0.0.1/jobs",
        f"host=127.0.0.1 password={SECRET}",
        f"host=127.0.0.1 dbname=jobs sslpassword='{SECRET}'",
        f"carrierpigeon://me:{SECRET}@host/jobs",
        f"postgresql+nothing://me:{SECRET}@host/jobs",
        f"not a database://me:{SECRET}@host",
    ],
)
def test_no_message_and_no_file_has_the_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="the storage ") as caught:
        open_storage(url)
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)
    for arguments in (["--storage", url], [f"--storage={url}"]):
        monkeypatch.setattr(sys, "argv", ["tools/crossval.py", *arguments])
        command = describe_environment(torch.device("cpu"), "float32", 1)["command"]
        assert SECRET not in str(command)
        assert "***" in str(command)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the storage sqlite:.*missing.* cannot be opened: .*unable to open database"):
        open_storage(f"sqlite:///{tmp_path}/missing/queue.sqlite3")


@pytest.mark.parametrize("kind", ["cut", "zeros", "folder", "link"])
def test_a_file_of_jobs_that_cannot_be_opened_asks_for_no_server(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "queue.sqlite3"
    open_storage(path)
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "missing" / "queue.sqlite3")
    else:
        path.write_bytes(content[: len(content) // 2] if kind == "cut" else bytes(len(content)))
    with pytest.raises(RunError, match=r"queue\.sqlite3 cannot be opened: .*; check its path and permissions, free"):
        open_storage(path)


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
