"""The database of Optuna that workers share, on SQLite or PostgreSQL."""

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acsnet._utils.printable import mask_passwords
from acsnet.errors import InputError, RunError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL

# Seconds between two heartbeats of a worker.
DEFAULT_HEARTBEAT = 15
# A worker counts as dead after so many missed heartbeats.
_MISSED_HEARTBEATS = 6
_SQLITE_TIMEOUT_SECONDS = 120
# In the place of an address where a path is given.
_SQLITE_FILE = "sqlite:///file"
_SQLITE_REMEDY = (
    "check its path and permissions, free some space if the disk is full, and run the command again; if the file is "
    "damaged, put it back, or choose another folder by --work-dir"
)
_POSTGRESQL = "postgresql+psycopg://USER@HOST/DATABASE"


def open_storage(database: str | Path, heartbeat: int = DEFAULT_HEARTBEAT) -> "RDBStorage":
    """Open the database of jobs, or create it.

    A worker records a heartbeat every ``heartbeat`` seconds. If it misses six of them, its job is queued again. Times
    are those of the database, so the clocks of the machines may differ.

    Args:
        database: a file for workers on one machine, or an address: ``sqlite:///PATH`` for one machine,
            ``postgresql+psycopg://USER@HOST/DATABASE`` for several.
        heartbeat: seconds between two heartbeats, the same for all workers.

    Raises:
        InputError: if the heartbeat is below 1.
        RunError: if the address is invalid, its driver is not installed, or the database does not respond.
    """
    if heartbeat < 1:
        raise InputError(f"the heartbeat is {heartbeat} seconds: it must be an integer of at least 1")
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = _SQLITE_FILE if isinstance(database, Path) else database
    shown = mask_passwords(str(database))
    address = _parse(url)
    try:
        with warnings.catch_warnings():
            # Heartbeats have been marked as experimental since Optuna 2.9.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                # Optuna takes braces for the fields of a template.
                url.replace("{", "{{").replace("}", "}}"),
                engine_kwargs=_engine_settings(database, address),
                heartbeat_interval=heartbeat,
                grace_period=_MISSED_HEARTBEATS * heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    inherit_intermediate_values=True
                ),
            )
    except ImportError as error:
        raise RunError(
            f"the storage {shown} needs a package that is not installed ({_reason(error, address)}): "
            f"write {_POSTGRESQL}, and pip install 'acsnet[postgresql]'"
        ) from error
    # TypeError: the driver does not know a setting behind the question mark.
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError, TypeError, ValueError) as error:
        reason = _reason(error, address)
        if address.get_backend_name() == "sqlite":
            raise RunError(f"the storage {shown} cannot be opened: {reason}; {_SQLITE_REMEDY}") from error
        raise RunError(
            f"the storage {shown} does not respond: {reason}; check the address, and whether the database runs"
        ) from error
    if address.get_backend_name() == "sqlite":
        _serialize(storage)
    return storage


@contextmanager
def explained_storage() -> Iterator[None]:
    """Raise an error of the database of jobs in the block as one line; what the workers computed stays.

    Raises:
        RunError: if the database cannot be read or written.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise RunError(
            f"the database of jobs cannot be read or written ({_reason(error)}): check its disk and connection, "
            "free some space if the disk is full, and run the command again; finished jobs are kept"
        ) from error


def _engine_settings(database: str | Path, address: "URL") -> dict[str, Any]:
    if isinstance(database, Path):
        # Not by the address: versions of SQLAlchemy differ in the characters that it may have.
        return {
            "creator": lambda: sqlite3.connect(database, _SQLITE_TIMEOUT_SECONDS, check_same_thread=False),
        }
    is_sqlite = address.get_backend_name() == "sqlite"
    return {"connect_args": {"timeout": _SQLITE_TIMEOUT_SECONDS}} if is_sqlite else {}


def _parse(url: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(url)
        problem = "" if address.get_backend_name() in ("sqlite", "postgresql") else "an unknown kind of database"
    except (ArgumentError, ValueError) as error:
        problem = _reason(error)
    if not problem and address.get_backend_name() == "sqlite":
        problem = _sqlite_problem(url, address)
    if problem:
        raise RunError(
            f"the storage {mask_passwords(url)} cannot be used: {problem}; expected sqlite:///FILE or {_POSTGRESQL} "
            "(pip install 'acsnet[postgresql]')"
        )
    return address


def _sqlite_problem(url: str, address: "URL") -> str:
    if url == _SQLITE_FILE:
        return ""
    if "?" in url and not {"uri", "timeout"} & set(address.query):
        return "a question mark begins settings, not a part of the path: choose a path without one"
    if address.database and Path(address.database).is_dir():
        return f"{address.database} is a folder"
    return ""


def _serialize(storage: "RDBStorage") -> None:
    """Make every transaction take the lock of SQLite when it begins.

    Optuna claims a job by reading that it is waiting and then writing that it is running, with a lock on the row.
    SQLite has no row locks, and by default takes no lock for reading: two workers could claim the same job.
    """
    from sqlalchemy import event

    @event.listens_for(storage.engine, "connect")
    def _leave_transactions_alone(connection, _):  # type: ignore[no-untyped-def]
        connection.isolation_level = None

    @event.listens_for(storage.engine, "begin")
    def _begin_immediate(connection):  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    # Open connections do not use these settings.
    storage.engine.dispose()


def _reason(error: BaseException, address: "URL | None" = None) -> str:
    """Return the first line of an error, without the password."""
    cause = error.__cause__ or error
    reason = next(iter(str(cause).strip().splitlines()), "") or type(cause).__name__
    if address is not None and "@" in (address.host or ""):
        # Of a password with an unescaped @, the driver takes the rest for a part of the host.
        rest, _, host = str(address.host).rpartition("@")
        reason = reason.replace(f"{rest}@{host}", f"***@{host}")
    if address is not None and address.password:
        reason = reason.replace(str(address.password), "***")
    return mask_passwords(reason)
