"""The database of Optuna that workers share, on SQLite or PostgreSQL."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from acsnet.errors import InputError, RunError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

# Seconds between two heartbeats of a worker.
DEFAULT_HEARTBEAT = 15
# A worker counts as dead after so many missed heartbeats.
_MISSED_HEARTBEATS = 6
_SQLITE_TIMEOUT_SECONDS = 120


def open_storage(url: str, heartbeat: int = DEFAULT_HEARTBEAT) -> "RDBStorage":
    """Open the database of jobs, or create it.

    A worker records a heartbeat every ``heartbeat`` seconds. If it misses six of them, its job is queued again. Times
    are those of the database, so the clocks of the machines may differ.

    Args:
        url: ``sqlite:///PATH`` for workers on one machine, ``postgresql+psycopg://USER@HOST/DATABASE`` for several.
        heartbeat: seconds between two heartbeats, the same for all workers.

    Raises:
        InputError: if the heartbeat is below 1.
        RunError: if the address is invalid, its driver is not installed, or the database does not respond.
    """
    if heartbeat < 1:
        raise InputError(f"the heartbeat is {heartbeat} seconds: it must be an integer of at least 1")
    import optuna
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_sqlite = url.startswith("sqlite")
    try:
        with warnings.catch_warnings():
            # Heartbeats have been marked as experimental since Optuna 2.9.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": _SQLITE_TIMEOUT_SECONDS}} if is_sqlite else {},
                heartbeat_interval=heartbeat,
                grace_period=_MISSED_HEARTBEATS * heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    inherit_intermediate_values=True
                ),
            )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise RunError(
            f"the storage {url} cannot be used: {_first_line(error)}; expected sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/DATABASE (pip install 'psycopg[binary]')"
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
        raise RunError(f"the storage {url} does not respond: {_first_line(error)}") from error
    if is_sqlite:
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
            f"the database of jobs cannot be read or written ({_first_line(error)}): check its disk and connection, "
            "free some space if the disk is full, and run the command again; finished jobs are kept"
        ) from error


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


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
