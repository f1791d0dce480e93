"""A worker for tests in its own process: each job counts to ten in a file, and can be resumed.

It is run with the names ``url``, ``study``, ``jobs`` and ``folder``. Each attempt adds a letter to ``JOB.started`` and,
if it ends, to ``JOB.finished``.
"""

import time
from pathlib import Path
from typing import Any

from acsnet._utils.files import write_text
from acsnet.experiments.job_folder import lock_folder
from acsnet.experiments.queue import Claim, JobQueue
from acsnet.experiments.storage import open_storage
from acsnet.experiments.worker import run_worker

STEPS = 10


def count(folder: Path, job: str, claim: Claim) -> float:
    state = folder / f"{job}.state"
    append(folder / f"{job}.started")
    for step in range(int(state.read_text()) if state.exists() else 0, STEPS):
        time.sleep(0.05)
        claim.check()
        write_text(state, str(step + 1))
    return float(STEPS)


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("x")


def main(values: dict[str, Any]) -> None:
    folder = Path(values["folder"])
    with lock_folder(folder):
        queue = JobQueue(open_storage(values["url"], heartbeat=1), values["study"])

    def run_job(job: str, claim: Claim) -> float:
        score = count(folder, job, claim)
        append(folder / f"{job}.finished")
        return score

    failures = run_worker(queue, lambda _: {job: {} for job in values["jobs"]}, run_job)
    assert not failures


if __name__ == "__main__":
    main(globals())
