"""Jobs that any number of workers share, on one machine or on many."""

from acsnet.evaluation.jobs.queue import Claim, JobQueue, JobTakenOver
from acsnet.evaluation.jobs.storage import DEFAULT_HEARTBEAT, open_storage
from acsnet.evaluation.jobs.worker import work

__all__ = ["DEFAULT_HEARTBEAT", "Claim", "JobQueue", "JobTakenOver", "open_storage", "work"]
