"""Workers killed at random: no job is lost, and no finished job is repeated."""

import multiprocessing
import os
import pwd
import random
import runpy
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

WORKER = Path(__file__).with_name("cheap_worker.py")
WORKERS = 3
JOBS = [f"job{number}" for number in range(8)]
KILLS = 6
POSTGRES = next(
    (
        found
        for folder in (
            *os.environ.get("PATH", "").split(os.pathsep),
            *map(str, Path("/usr/lib/postgresql").glob("*/bin")),
        )
        if (found := shutil.which("initdb", path=folder))
    ),
    None,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Start a PostgreSQL server and return its address."""
    if POSTGRES is None:
        pytest.skip("PostgreSQL is not installed: no initdb on the path")
    pytest.importorskip("psycopg")
    folder, data = Path(POSTGRES).resolve().parent, tmp_path / "postgres"
    # PostgreSQL refuses to run as root.
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if user and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    if user:
        data.mkdir()
        shutil.chown(data, "postgres")
        for parent in [tmp_path, *tmp_path.parents]:
            if parent.owner() == "root" and parent != Path("/") and "pytest" in str(parent):
                parent.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    initialize = [*user, str(folder / "initdb"), "-D", str(data), "-A", "trust", "-U", "tester"]
    subprocess.run(initialize, check=True, capture_output=True, cwd="/")
    options = f"-p {port} -h 127.0.0.1 -k {data}"
    control = [*user, str(folder / "pg_ctl"), "-D", str(data), "-w"]
    subprocess.run(
        [*control, "-o", options, "-l", str(data / "log"), "start"], check=True, capture_output=True, cwd="/"
    )
    yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/")


def kill_workers_at_random(url: str, folder: Path) -> int:
    """Run workers, kill some, replace them, wait for the rest, and return the number of killed workers."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["acsnet.experiments", "optuna", "sqlalchemy"])
    names = {"url": url, "study": "test", "jobs": JOBS, "folder": str(folder)}
    chance = random.Random(0)

    def start() -> multiprocessing.process.BaseProcess:
        process = context.Process(target=runpy.run_path, args=(str(WORKER), names, "__main__"))
        process.start()
        return process

    workers = [start() for _ in range(WORKERS)]
    killed = 0
    deadline = time.monotonic() + 120
    while any(worker.is_alive() for worker in workers):
        assert time.monotonic() < deadline, "the workers did not end"
        time.sleep(chance.uniform(0.1, 0.6))
        victim = chance.choice(workers)
        if killed < KILLS and any(folder.glob("*.started")) and victim.is_alive():
            victim.kill()
            victim.join()
            workers.remove(victim)
            workers.append(start())
            killed += 1
    assert all(worker.exitcode == 0 for worker in workers)
    return killed


def check(url: str, folder: Path) -> None:
    killed = kill_workers_at_random(url, folder)
    assert killed == KILLS
    trials = optuna.load_study(study_name="test", storage=url).trials
    done = [trial.user_attrs["job"] for trial in trials if trial.state.name == "COMPLETE"]
    assert sorted(done) == JOBS, "each job is done, and counted once"
    assert not [trial for trial in trials if trial.state.name in ("RUNNING", "WAITING")]
    for job in JOBS:
        assert (folder / f"{job}.state").read_text() == "10"
        # A worker may be killed after its job is finished and before the database is updated.
        finished = len((folder / f"{job}.finished").read_text())
        attempts = len((folder / f"{job}.started").read_text())
        assert 1 <= finished <= attempts
    started = sum(len((folder / f"{job}.started").read_text()) for job in JOBS)
    assert started <= len(JOBS) + killed, "only jobs of killed workers were started again"


@pytest.fixture(autouse=True)
def workers_are_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_killing_workers_loses_and_repeats_nothing(tmp_path: Path) -> None:
    check(f"sqlite:///{tmp_path}/queue.sqlite3", tmp_path)


@pytest.mark.postgresql
def test_killing_workers_loses_and_repeats_nothing_on_postgresql(server: str, tmp_path: Path) -> None:
    check(server, tmp_path)
