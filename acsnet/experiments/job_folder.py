"""The folder that the workers of an experiment share."""

import uuid
from pathlib import Path

from filelock import FileLock

from acsnet.errors import RunError

_LOCK_FILE = ".plan.lock"
_DATABASE = "queue.sqlite3"


def lock_folder(work_dir: Path) -> FileLock:
    """Create a folder if it is missing and return its lock, so that workers plan one after the other.

    Raises:
        RunError: if a file has that name.
    """
    if work_dir.exists() and not work_dir.is_dir():
        raise RunError(f"{work_dir} is a file: choose a folder by --work-dir")
    work_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(work_dir / _LOCK_FILE)


def check_free(work_dir: Path, purpose: str) -> None:
    """Check that a folder is empty before an experiment is started in it.

    Raises:
        RunError: if it is not.
    """
    if any(not path.name.startswith(".") for path in work_dir.iterdir()):
        raise RunError(
            f"{work_dir} exists already and does not contain a {purpose}: choose another folder by --work-dir"
        )


def own_storage(work_dir: Path) -> str:
    """Return the address of the SQLite database in a folder."""
    # Absolute: SQLite resolves a relative path from the current folder of the process.
    return f"sqlite:///{work_dir.resolve() / _DATABASE}"


def new_study(purpose: str) -> str:
    """Return a unique name for a queue, independent of the names of folders on the machines of its workers."""
    return f"{purpose}-{uuid.uuid4().hex}"
