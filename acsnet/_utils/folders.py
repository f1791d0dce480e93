"""Output folders: one writing process at a time, and nothing left of killed ones."""

import errno
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from acsnet._utils.files import WriteError, explain_write_error, explained_writes
from acsnet.errors import RunError

_LOCK_FILE = ".lock"
# Names of the temporary files of whole_file, and of the temporary folders of whole_files, with the process.
_TEMPORARY = re.compile(r"\..*\.(?P<process>\d+)\.tmp(\.[^.]*)?", re.DOTALL)
_UNFINISHED = "unfinished"
# A process of another machine, which cannot be seen here, needs less for one file.
_LEAST_AGE_SECONDS = 60
_ABANDONED_SECONDS = 24 * 3600
# Levels of folders in an output folder, such as masks/DATASET/CLASS/.
_DEPTH = 4


@contextmanager
def claimed_folder(folder: Path, doing: str, option: str) -> Iterator[None]:
    """Create a folder if it is missing, and keep other processes from writing into it during the block.

    Temporary files of killed processes are removed from the folder and those in it. A folder that was made here and is
    empty in the end is removed again.

    Args:
        folder: the folder.
        doing: what the process does, for the error message of another one, such as "training in".
        option: the option of the command line that names the folder.

    Raises:
        RunError: if another process has claimed the folder, or it is a link to nothing.
        WriteError: if the folder cannot be made or written to.

    Example:
        >>> from acsnet._utils.folders import claimed_folder
        >>> with claimed_folder(Path("results"), "testing into", "--out"):
        ...     _ = Path("results", "metrics.json").write_text("{}")
        >>> [path.name for path in Path("results").iterdir()]
        ['metrics.json']
    """
    check_link(folder, option)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / _LOCK_FILE
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RunError(
            f"another process is {doing} {folder}: wait until it ends, or choose another folder by {option}"
        ) from None
    except OSError as error:
        _remove_empty(made)
        raise explain_write_error(error, folder) from error
    try:
        remove_stale(folder, _DEPTH)
        yield
    finally:
        # Again, because a process that was killed just before may only now be known to be dead.
        remove_stale(folder, _DEPTH)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()
        _remove_empty(made)


def check_link(folder: Path, option: str) -> None:
    """Check that a path is not a link to nothing, which can be neither used nor created as a folder.

    Raises:
        RunError: if it is.
    """
    if folder.is_symlink() and not folder.exists():
        raise RunError(
            f"{folder} is a link to {os.readlink(folder)}, which does not exist: create that folder, or choose another "
            f"one by {option}"
        )


def check_writable(path: Path) -> None:
    """Check that a file can be written, before what takes long; stale temporary files are removed from its folder.

    A full disk is noticed only by writing.

    Raises:
        WriteError: if the folder cannot be made or written to, the name is too long, or a folder has it.

    Example:
        >>> from acsnet._utils.folders import check_writable
        >>> check_writable(Path("a_new_folder/a.txt"))
        >>> Path("a_new_folder").exists()
        False
    """
    folder = path.parent
    with explained_writes(path):
        # It raises an error for names that no file can have.
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(path.lstat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        made = [parent for parent in path.parents if not parent.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                remove_stale(folder)
        finally:
            _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        # A folder that has content, or whose parent is read-only, stays.
        with suppress(OSError):
            folder.rmdir()


def remove_stale(folder: Path, depth: int = 0) -> None:
    """Remove the temporary files that killed processes left in a folder.

    A file is left if its process may still write it: it runs on this machine, or the file changed within the last
    minute.

    Args:
        folder: the folder; nothing happens if it is missing.
        depth: number of levels of folders below it that are searched too.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            if match is not None:
                _remove_if_stale(path, int(match["process"]))
            elif depth and path.is_dir() and not path.is_symlink():
                remove_stale(path, depth - 1)


def _remove_if_stale(path: Path, process: int) -> None:
    with suppress(OSError):
        age = time.time() - path.lstat().st_mtime
        if age < _LEAST_AGE_SECONDS or (age < _ABANDONED_SECONDS and _may_run(process)):
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _may_run(process: int) -> bool:
    if os.name != "posix":
        # There, os.kill ends the process for every signal.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; after the block its files, also those of folders in it, are moved into a folder.

    If the block fails, for example because the disk is full, the folder is unchanged. Existing files are overwritten.

    Args:
        folder: the folder, created if necessary.

    Raises:
        WriteError: if the files cannot be written or moved; those that were moved and are new are removed again.

    Example:
        >>> from acsnet._utils.folders import whole_files
        >>> with whole_files(Path("tables")) as temporary:
        ...     _ = (temporary / "a.csv").write_text("a")
        ...     _ = (temporary / "b.csv").write_text("b")
        >>> sorted(path.name for path in Path("tables").iterdir())
        ['a.csv', 'b.csv']
    """
    temporary = folder / f".{_UNFINISHED}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _move_all(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise explain_write_error(error, folder) from error
    except WriteError as error:
        # Users know the folder only.
        raise type(error)(str(error).replace(f"{temporary}{os.sep}", f"{folder}{os.sep}")) from error


def _move_all(source: Path, folder: Path) -> None:
    new: list[Path] = []
    try:
        for path in sorted(source.rglob("*")):
            target = folder / path.relative_to(source)
            if path.is_dir():
                target.mkdir(exist_ok=True)
                continue
            if not target.exists():
                new.append(target)
            os.replace(path, target)
    except OSError:
        for target in new:
            with suppress(OSError):
                target.unlink()
        raise


def has_unfinished_files(folder: Path) -> bool:
    """Return whether a process was killed in :func:`whole_files`, so that some of the files may have been moved."""
    with suppress(OSError):
        return any(folder.glob(f".{_UNFINISHED}.*.tmp"))
    return False
