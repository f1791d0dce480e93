"""Settings of the trackers of accelerate: offline and in the run folder, unless the user has set an account."""

import netrc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: Package that ``pip`` installs for each tracker of accelerate.
PACKAGES = {
    "aim": "aim",
    "clearml": "clearml",
    "comet_ml": "comet_ml",
    "dvclive": "dvclive",
    "mlflow": "mlflow",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
}
PROJECT = "acsnet"


@dataclass(frozen=True)
class TrackedRun:
    """A run, as a tracker needs to know it.

    Attributes:
        folder: the run folder.
        first_epoch: first epoch of this process, counted from 0.
        known_id: id that the tracker gave to this run when it was started, or None for a new one.
    """

    folder: Path
    first_epoch: int
    known_id: str | None = None


def settings_of(tracker: str, run: TrackedRun) -> dict[str, Any]:
    """Return the arguments with which accelerate builds a tracker.

    Args:
        tracker: its name.
        run: the run.

    Example:
        >>> from pathlib import Path
        >>> settings_of("aim", TrackedRun(Path("runs/a"), 0))
        {'run_name': 'a', 'logging_dir': PosixPath('runs/a')}
    """
    return _SETTINGS[tracker](run)


def has_wandb_account() -> bool:
    """Return whether Weights & Biases has a key in the environment, or a login of this user."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    named = os.environ.get("NETRC")
    files = [Path(named).expanduser()] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for file in files:
        try:
            if netrc.netrc(str(file)).authenticators(host) is not None:
                return True
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
    return False


def _tensorboard(run: TrackedRun) -> dict[str, Any]:
    # Events after the last finished epoch belong to epochs that are now run again.
    return {"run_name": "tensorboard", "logging_dir": run.folder, "purge_step": run.first_epoch + 1}


def _wandb(run: TrackedRun) -> dict[str, Any]:
    settings: dict[str, Any] = {"run_name": os.environ.get("WANDB_PROJECT") or PROJECT, "name": run.folder.name}
    # Only the metrics: by default, everything that the tool prints would be copied to the account.
    settings["settings"] = {"console": "off"}
    if not os.environ.get("WANDB_DIR"):
        settings["dir"] = str(run.folder)
    is_online = has_wandb_account()
    if not os.environ.get("WANDB_MODE") and not is_online:
        settings["mode"] = "offline"
        settings["settings"]["silent"] = True
    if run.known_id is not None:
        settings["id"] = run.known_id
        if is_online:
            settings["resume"] = "allow"
    return settings


def _mlflow(run: TrackedRun) -> dict[str, Any]:
    return {
        "experiment_name": PROJECT,
        "run_name": run.folder.name,
        "run_id": run.known_id,
        "logging_dir": None if _has_mlflow_server() else (run.folder / "mlflow" / "artifacts").absolute().as_uri(),
    }


def mlflow_address(run: TrackedRun) -> str | None:
    """Return the address of the database in the run folder, or None if the user has set an address."""
    if _has_mlflow_server():
        return None
    return f"sqlite:///{(run.folder / 'mlflow' / 'mlflow.db').absolute()}"


def _has_mlflow_server() -> bool:
    import mlflow

    return bool(mlflow.is_tracking_uri_set())


def _comet_ml(run: TrackedRun) -> dict[str, Any]:
    settings: dict[str, Any] = {"run_name": PROJECT, "experiment_key": run.known_id}
    if not os.environ.get("COMET_API_KEY") and not (Path.home() / ".comet.config").is_file():
        settings["online"] = False
    return settings


def _clearml(run: TrackedRun) -> dict[str, Any]:
    has_account = os.environ.get("CLEARML_API_ACCESS_KEY") or os.environ.get("CLEARML_CONFIG_FILE")
    if not has_account and not (Path.home() / "clearml.conf").is_file():
        # Its only switch that works before its client is built.
        os.environ.setdefault("CLEARML_OFFLINE_MODE", "1")
    return {"run_name": PROJECT, "task_name": run.folder.name}


def _swanlab(run: TrackedRun) -> dict[str, Any]:
    settings = {"run_name": PROJECT, "experiment_name": run.folder.name, "logdir": str(run.folder / "swanlab")}
    has_account = os.environ.get("SWANLAB_API_KEY") or (Path.home() / ".swanlab" / ".netrc").is_file()
    if not os.environ.get("SWANLAB_MODE") and not has_account:
        settings["mode"] = "offline"
    return settings


def _dvclive(run: TrackedRun) -> dict[str, Any]:
    return {"dir": str(run.folder / "dvclive"), "resume": run.first_epoch > 0}


def _aim(run: TrackedRun) -> dict[str, Any]:
    return {"run_name": run.folder.name, "logging_dir": run.folder}


def _trackio(run: TrackedRun) -> dict[str, Any]:
    return {"run_name": PROJECT, "name": run.folder.name, "resume": "allow"}


_SETTINGS: dict[str, Callable[[TrackedRun], dict[str, Any]]] = {
    "aim": _aim,
    "clearml": _clearml,
    "comet_ml": _comet_ml,
    "dvclive": _dvclive,
    "mlflow": _mlflow,
    "swanlab": _swanlab,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}
