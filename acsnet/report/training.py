"""The configuration, history and environment of a training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acsnet._utils.csv_io import read_csv
from acsnet._utils.json_text import parse_json
from acsnet._utils.reading import read_text
from acsnet.config import Config, build_config, read_config
from acsnet.errors import AcsnetError, DataError

# The required columns of a training history.
_HISTORY_COLUMNS = ("epoch", "learning_rate", "loss", "val_loss", "seconds")


@dataclass(frozen=True)
class Training:
    """The files of one training that could be read.

    Attributes:
        folder: the run folder, or None if unknown.
        config: the resolved configuration, or None.
        history: one mapping per epoch with every number in ``history.csv``; empty if the file is missing.
        environment: the content of ``environment.json``.
    """

    folder: Path | None = None
    config: Config | None = None
    history: tuple[Mapping[str, float], ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """The duration in seconds, or None without a history."""
        return sum(row["seconds"] for row in self.history) if self.history else None


def read_training(folder: Path | None, config: Mapping[str, Any] | None = None) -> tuple[Training, list[str]]:
    """Read the files of a training.

    Args:
        folder: the run folder, or None if unknown.
        config: the resolved configuration as plain values, if it differs from the one in the folder.

    Returns:
        The training, and one line per file that is broken or missing.
    """
    problems: list[str] = []

    def attempt(read: Any, *arguments: Any, default: Any) -> Any:
        try:
            return read(*arguments)
        except AcsnetError as error:
            problems.append(str(error))
            return default

    if config is not None:
        resolved = attempt(build_config, config, (), "the configuration in crossval.json", default=None)
    else:
        resolved = None if folder is None else attempt(read_config, folder / "config.yaml", default=None)
    if folder is None:
        return Training(None, resolved), problems
    history = attempt(_read_history, folder / "history.csv", default=())
    return Training(folder, resolved, history, attempt(_read_environment, folder, default={})), problems


def _read_history(path: Path) -> tuple[dict[str, float], ...]:
    columns, rows = read_csv(path, f"there is no {path}: the training curves of this run are missing")
    missing = [column for column in _HISTORY_COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}: the training curves of this run are missing")
    try:
        return tuple({key: float(cell) for key, cell in row.items() if cell} for _, row in rows)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} is broken ({error}): the training curves of this run are missing") from error


def _read_environment(folder: Path) -> dict[str, Any]:
    path = folder / "environment.json"
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: the environment of the run is unknown") from error
    return content if isinstance(content, dict) else {}
