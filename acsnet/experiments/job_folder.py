"""The folder that the workers of an experiment share."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from acsnet._utils.files import explained_writes
from acsnet._utils.folders import check_link, remove_stale
from acsnet._utils.printable import shorten
from acsnet.config import Config
from acsnet.errors import RunError
from acsnet.training import RunFolder, Trainer
from acsnet.training.resuming import check_same_images

_LOCK_FILE = ".plan.lock"
_DATABASE = "queue.sqlite3"
# Levels of folders down to the run folder of a fold.
_DEPTH = 2


def lock_folder(work_dir: Path) -> FileLock:
    """Create a folder if it is missing and return its lock, so that workers plan one after the other.

    Temporary files of killed processes are removed.

    Raises:
        RunError: if a file has that name, or it is a link to nothing.
        WriteError: if the folder cannot be made or written to.
    """
    if work_dir.exists() and not work_dir.is_dir():
        raise RunError(f"{work_dir} is a file: choose a folder by --work-dir")
    check_link(work_dir, "--work-dir")
    with explained_writes(work_dir):
        work_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work_dir / _LOCK_FILE)
        # Acquired here too, so that a folder that cannot be written to is one clear line.
        with lock:
            remove_stale(work_dir, _DEPTH)
    return lock


def check_free(work_dir: Path, purpose: str) -> None:
    """Check that a folder is empty before an experiment is started in it.

    A database of jobs without a plan is what a process leaves that was killed before its first job.

    Raises:
        RunError: if it is not.
    """
    names = [path.name for path in work_dir.iterdir()]
    if not all(name.startswith((".", _DATABASE)) for name in names):
        raise RunError(
            f"{work_dir} exists already and does not contain a {purpose}: choose another folder by --work-dir"
        )


def train_job(
    config: Config,
    run: RunFolder,
    others: Iterable[RunFolder],
    progress: bool,
    on_epoch: Callable[[Mapping[str, Any]], None],
) -> Trainer:
    """Train in the run folder of a job, or resume the run in it.

    Args:
        config: the configuration of the job.
        run: its run folder.
        others: the run folders of the other jobs, which have to be trained on the same images.
        progress: show progress bars.
        on_epoch: see :meth:`acsnet.training.Trainer.fit`.

    Returns:
        The trainer, after the last epoch.

    Raises:
        AcsnetError: for every problem that keeps the training from starting or going on.
    """
    resume = run.config.is_file()
    try:
        trainer = Trainer.from_config(config, run.path, resume, progress)
    except RunError as error:
        if not run.path.is_dir():
            raise
        raise RunError(f"{error}; or remove {run.path}, and run the same command to train it again") from error
    check_same_images(others, trainer.data)
    trainer.fit(on_epoch)
    return trainer


def own_storage(work_dir: Path) -> Path:
    """Return the path of the SQLite database in a folder."""
    # Absolute: SQLite resolves a relative path from the current folder of the process.
    return work_dir.resolve() / _DATABASE


def job_folder(work_dir: Path, *names: str) -> Path:
    """Return the folder of a job in an experiment's folder.

    Names of jobs come from files and databases that others may have written.

    Args:
        work_dir: the folder of the experiment.
        names: the names of the folders on the way.

    Raises:
        RunError: if the folder is not in ``work_dir``: a name is not that of a folder, or one of them is a link.

    Example:
        >>> job_folder(Path("runs"), "acsnet", "fold0").as_posix()
        'runs/acsnet/fold0'
    """
    path = work_dir
    for name in names:
        path = path / name
        if not is_folder_name(name) or path.is_symlink():
            raise RunError(
                f"{work_dir} names the job {'/'.join(names)!r}, which is not a folder in it: start the experiment in "
                "another folder"
            )
    return path


def is_folder_name(name: str) -> bool:
    """Return whether a name is that of a folder, rather than a path, on every system."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0")


def new_study(purpose: str) -> str:
    """Return a unique name for a queue, independent of the names of folders on the machines of its workers."""
    return f"{purpose}-{uuid.uuid4().hex}"


def broken_entry(error: ValidationError | UnicodeDecodeError) -> str:
    """Return the first mistake in a file of JSON, in one short line."""
    if isinstance(error, UnicodeDecodeError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return shorten(": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"]))))
