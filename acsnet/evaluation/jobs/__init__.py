"""Jobs that any number of workers share, on one machine or on many."""

from acsnet.evaluation.jobs.folder import check_free, lock_folder, new_study, own_storage
from acsnet.evaluation.jobs.queue import Claim, JobQueue, JobTakenOver
from acsnet.evaluation.jobs.storage import DEFAULT_HEARTBEAT, open_storage
from acsnet.evaluation.jobs.worker import work

__all__ = [
    "DEFAULT_HEARTBEAT",
    "Claim",
    "JobQueue",
    "JobTakenOver",
    "check_free",
    "lock_folder",
    "new_study",
    "open_storage",
    "own_storage",
    "work",
]
