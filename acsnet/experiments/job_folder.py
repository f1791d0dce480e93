"""The folder that the workers of one set of jobs share."""

import uuid
from pathlib import Path

from filelock import FileLock

from acsnet.errors import RunError

_LOCK_FILE = ".plan.lock"
_DATABASE = "queue.sqlite3"


def lock_folder(work_dir: Path) -> FileLock:
    """The lock of a folder, made where it is missing: workers that start at the same time plan one after the other.

    Raises:
        RunError: where there is a file of that name.
    """
    if work_dir.exists() and not work_dir.is_dir():
        raise RunError(f"{work_dir} is a file: choose a folder by --work-dir")
    work_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(work_dir / _LOCK_FILE)


def check_free(work_dir: Path, purpose: str) -> None:
    """Check that nothing is in a folder in which something is to be started.

    Raises:
        RunError: where there is.
    """
    if any(not path.name.startswith(".") for path in work_dir.iterdir()):
        raise RunError(f"{work_dir} exists already and holds no {purpose}: choose another folder by --work-dir")


def own_storage(work_dir: Path) -> str:
    """The address of the SQLite database in a folder."""
    # From the root: SQLite would take it from wherever the process is.
    return f"sqlite:///{work_dir.resolve() / _DATABASE}"


def new_study(purpose: str) -> str:
    """A name for a queue that no other has, whatever the folders are called on the machines of its workers."""
    return f"{purpose}-{uuid.uuid4().hex}"
