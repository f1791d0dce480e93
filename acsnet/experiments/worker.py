"""A worker, which runs jobs until all are done."""

import logging
from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

from acsnet.experiments.queue import Claim, JobQueue
from acsnet.experiments.storage import explained_storage

logger = logging.getLogger(__name__)

# Interval at which a worker without a job checks whether another worker has died.
_POLL_SECONDS = 2.0


def run_worker(
    queue: JobQueue,
    find_ready: Callable[[set[str]], Mapping[str, Mapping[str, Any]]],
    run_job: Callable[[str, Claim], float],
) -> dict[str, str]:
    """Run jobs until none is left, waiting for the jobs of other workers and taking over those of dead ones.

    Any number of workers may run at the same time, and each may end at any time: each job is done once.

    Args:
        queue: the jobs.
        find_ready: called with the names of the finished jobs; returns the jobs that can be run, see
            :meth:`JobQueue.add`.
        run_job: runs a job, see :meth:`JobQueue.run_next`.

    Returns:
        The error message of each failed job. Jobs that had failed before are tried once more.

    Raises:
        RunError: if the database cannot be read or written.
    """
    with explained_storage():
        return _run_all(queue, find_ready, run_job)


def _run_all(
    queue: JobQueue,
    find_ready: Callable[[set[str]], Mapping[str, Mapping[str, Any]]],
    run_job: Callable[[str, Claim], float],
) -> dict[str, str]:
    queue.requeue_lost()
    queue.add(find_ready(queue.done()))
    is_idle = False
    while True:
        states = queue.states()
        jobs = find_ready(queue.done())
        queue.add({job: fixed for job, fixed in jobs.items() if states.get(job, "lost") == "lost"})
        running = [job for job, state in queue.states().items() if state == "running"]
        if queue.is_waiting():
            is_idle = False
            queue.run_next(run_job)
        elif running:
            if not is_idle:
                logger.info("waiting for other workers, which run %s", ", ".join(running))
            is_idle = True
            sleep(_POLL_SECONDS)
            queue.requeue_lost()
        else:
            return queue.errors()
