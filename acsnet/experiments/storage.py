"""The database that workers share: Optuna's, on SQLite or PostgreSQL."""

import warnings
from typing import TYPE_CHECKING

from acsnet.errors import InputError, RunError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

# Seconds between two signs of life of a worker.
DEFAULT_HEARTBEAT = 15
# A worker that gave none for so many times as long is taken for dead.
_MISSED_HEARTBEATS = 6
_SQLITE_TIMEOUT_SECONDS = 120


def open_storage(url: str, heartbeat: int = DEFAULT_HEARTBEAT) -> "RDBStorage":
    """Open, or create, the database of jobs.

    A worker gives a sign of life every ``heartbeat`` seconds; of one that was silent for six times as long, the job is
    waiting again. The clock is the database's, so those of the machines need not agree.

    Args:
        url: ``sqlite:///PATH`` for the workers of one machine, ``postgresql+psycopg://USER@HOST/DATABASE`` for several.
        heartbeat: seconds, the same for all workers.

    Raises:
        InputError: for a heartbeat below 1.
        RunError: for an address that cannot be understood, a missing driver, or a database that does not answer.
    """
    if heartbeat < 1:
        raise InputError(f"the heartbeat is {heartbeat} seconds: it has to be a whole number of at least 1")
    import optuna
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    is_sqlite = url.startswith("sqlite")
    try:
        with warnings.catch_warnings():
            # Heartbeats are called experimental, as they have been since Optuna 2.9.
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
        raise RunError(f"the storage {url} does not answer: {_first_line(error)}") from error
    if is_sqlite:
        _serialize(storage)
    return storage


def _serialize(storage: "RDBStorage") -> None:
    """Have every transaction take SQLite's one lock at its beginning.

    Optuna claims a job by reading that it waits and then writing that it runs, with the row locked in between. SQLite
    has no locks of rows, and by default locks nothing for reading: two workers could claim one job.
    """
    from sqlalchemy import event

    @event.listens_for(storage.engine, "connect")
    def _leave_transactions_alone(connection, _):  # type: ignore[no-untyped-def]
        connection.isolation_level = None

    @event.listens_for(storage.engine, "begin")
    def _begin_immediate(connection):  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    # Connections that are open already know nothing of this.
    storage.engine.dispose()


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
