"""Temporary folders of the cache, and the removal of what killed processes left."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from acsnet._utils.folders import remove_stale

BUILDING_PREFIX = ".building-"
_LOCK = "lock"
# A folder gets its lock in much less time after it was made.
_LOCKED_SECONDS = 60
# For folders without a lock.
_ABANDONED_SECONDS = 24 * 3600


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a temporary folder, so that no other process removes it; the end of a process frees the lock."""
    lock = FileLock(folder / _LOCK)
    # Some network file systems have no locks: nobody else removes the folder then.
    with contextlib.suppress(OSError, NotImplementedError):
        lock.acquire(timeout=0)
    try:
        yield
    finally:
        lock.release()
        (folder / _LOCK).unlink(missing_ok=True)


def _is_abandoned(folder: Path) -> bool:
    """Return whether the process that made a temporary folder has ended."""
    # Clocks may have been set forward or back since.
    age = abs(time.time() - folder.stat().st_mtime)
    if not (folder / _LOCK).exists():
        return age > _ABANDONED_SECONDS
    if age < _LOCKED_SECONDS:
        return False
    try:
        with FileLock(folder / _LOCK, timeout=0):
            return True
    except (Timeout, OSError, NotImplementedError):
        return False


def remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders and files of the cache whose processes have ended."""
    for path in parent.glob(f"{BUILDING_PREFIX}*"):
        if _is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    remove_stale(parent)


def remove_folder(path: Path) -> None:
    """Remove a cache."""
    # Renamed first, so that no process opens a partly removed cache.
    hidden = Path(tempfile.mkdtemp(prefix=BUILDING_PREFIX, dir=path.parent))
    # Another process may have removed it.
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, hidden / path.name)
    shutil.rmtree(hidden, ignore_errors=True)
