"""A worker: takes jobs until all are done."""

import logging
from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

from acsnet.experiments.queue import Claim, JobQueue

logger = logging.getLogger(__name__)

# How often a worker without a job of its own looks whether one of the others has died.
_POLL_SECONDS = 2.0


def run_worker(
    queue: JobQueue, ready: Callable[[set[str]], Mapping[str, Mapping[str, Any]]], do: Callable[[str, Claim], float]
) -> dict[str, str]:
    """Take jobs until none is left, waiting for those of other workers, whose jobs are taken over where they die.

    Any number of workers may do this at the same time, and each may end at any time: a job is done once.

    Args:
        queue: the jobs.
        ready: the jobs that can be done once some are, of whose names it is given the set; see :meth:`JobQueue.add`.
        do: does a job, see :meth:`JobQueue.take`.

    Returns:
        Why jobs failed, of those that did. Jobs that had failed before are tried once more.
    """
    queue.requeue_lost()
    queue.add(ready(queue.done()))
    is_idle = False
    while True:
        states = queue.states()
        jobs = ready(queue.done())
        queue.add({job: fixed for job, fixed in jobs.items() if states.get(job, "lost") == "lost"})
        running = [job for job, state in queue.states().items() if state == "running"]
        if queue.is_waiting():
            is_idle = False
            queue.take(do)
        elif running:
            if not is_idle:
                logger.info("waiting for other workers at %s", ", ".join(running))
            is_idle = True
            sleep(_POLL_SECONDS)
            queue.requeue_lost()
        else:
            return queue.errors()
