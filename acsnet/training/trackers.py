"""Trackers of a training: TensorBoard, and others of accelerate or of plugins."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers

from acsnet._utils.extras import extra_of
from acsnet._utils.files import explained_writes, write_json
from acsnet._utils.json_text import parse_json
from acsnet._utils.naming import look_up
from acsnet._utils.plugins import load_installed_plugins
from acsnet._utils.printable import shorten
from acsnet._utils.reading import read_text
from acsnet._utils.registration import register
from acsnet.config import Config
from acsnet.errors import ConfigError, InputError
from acsnet.training.run_folder import RunFolder
from acsnet.training.tracker_settings import PACKAGES, TrackedRun, mlflow_address, settings_of

logger = logging.getLogger(__name__)

_Class = TypeVar("_Class", bound=type[GeneralTracker])

_TENSORBOARD = "tensorboard"
_TRACKERS: dict[str, type[GeneralTracker]] = {}


def register_tracker(name: str) -> Callable[[_Class], _Class]:
    """Return a decorator that registers a class as a tracker, for ``training.trackers``.

    It is built with the name of the run and, if its ``requires_logging_directory`` is true, the run folder. Its ``log``
    gets the metrics of each epoch and the epoch, counted from 1. If it fails, the training continues without it.

    Args:
        name: its name in the configuration.

    Raises:
        InputError: if the name is already registered, or the class is not a tracker of accelerate.

    Example:
        >>> import acsnet
        >>> from accelerate.tracking import GeneralTracker
        >>> @acsnet.register_tracker("printed")
        ... class Printed(GeneralTracker):
        ...     name, requires_logging_directory = "printed", False
        ...     tracker = property(lambda self: None)
        ...
        ...     def __init__(self, run_name):
        ...         super().__init__()
        ...
        ...     def log(self, values, step=None, **kwargs):
        ...         print(step, values["val/dice"])
        >>> "printed" in acsnet.training.list_trackers()
        True
    """

    def add(kind: _Class) -> _Class:
        if not isinstance(kind, type) or not issubclass(kind, GeneralTracker):
            raise InputError(f"the tracker {name!r} is not a subclass of accelerate.tracking.GeneralTracker")
        register("tracker", name, kind, _TRACKERS, taken=PACKAGES)
        return kind

    return add


def list_trackers() -> list[str]:
    """Return the sorted names of the trackers, with those of installed plugins; not all need to be installed.

    Example:
        >>> from acsnet.training import list_trackers
        >>> {"mlflow", "tensorboard", "wandb"} <= set(list_trackers())
        True
    """
    load_installed_plugins()
    return sorted({*PACKAGES, *_TRACKERS})


def check_trackers(names: Iterable[str]) -> None:
    """Check that trackers exist and are installed.

    Raises:
        UnknownNameError: for an unknown name, with near matches.
        ConfigError: if the package of a tracker is not installed; the message says how to install it.
    """
    installed = {str(name) for name in get_available_trackers()}
    for name in names:
        known = dict.fromkeys({*PACKAGES, *_TRACKERS})
        look_up("tracker in training.trackers", name, known if name in known else dict.fromkeys(list_trackers()), "")
        if name in PACKAGES and name not in installed:
            extra = extra_of(PACKAGES[name])
            package = PACKAGES[name] if extra is None else f"'acsnet[{extra}]'"
            raise ConfigError(
                f"training.trackers has {name}, whose package is not installed: pip install {package}, or remove it"
            )


class Trackers:
    """The trackers of one run, in the main process.

    TensorBoard is a part of the run folder, so that its files are written or the training ends, as for the other files.
    Any other tracker that fails is left out from then on, with one warning.

    Args:
        config: the configuration of the training.
        folder: the run folder.
        first_epoch: first epoch of this process, counted from 0.

    Raises:
        WriteError: if the files of TensorBoard cannot be written.
    """

    def __init__(self, config: Config, folder: RunFolder, first_epoch: int) -> None:
        self._folder = folder
        self._trackers: dict[str, GeneralTracker] = {}
        self._undo = ExitStack()
        known_ids = _read_ids(folder)
        self._ids = dict(known_ids)
        for name in dict.fromkeys(config.training.trackers):
            run = TrackedRun(folder.path, first_epoch, known_ids.get(name))
            self._guard(name, self._start, name, run, config)
        if self._ids != known_ids:
            write_json(folder.trackers, self._ids)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log the metrics of an epoch, which is counted from 1."""
        for name, tracker in [*self._trackers.items()]:
            self._guard(name, tracker.log, dict(values), step=epoch)

    def log_picture(self, name: str, picture: npt.NDArray[np.uint8], epoch: int) -> None:
        """Log an RGB picture (height, width, 3) where the tracker shows pictures."""
        for key, tracker in [*self._trackers.items()]:
            log_images = getattr(tracker, "log_images", None)
            if log_images is not None:
                options = {"dataformats": "NHWC"} if key == _TENSORBOARD else {}
                self._guard(key, log_images, {name: picture[None]}, step=epoch, **options)

    def close(self) -> None:
        """Write what is left, and end the runs of the trackers."""
        for name, tracker in [*self._trackers.items()]:
            self._guard(name, tracker.finish)
        self._trackers.clear()
        self._undo.close()

    def _start(self, name: str, run: TrackedRun, config: Config) -> None:
        if name in _TRACKERS:
            kind = _TRACKERS[name]
            folder = {"logging_dir": run.folder} if kind.requires_logging_directory else {}
            tracker = kind(run.folder.name, **folder)
        else:
            settings = settings_of(name, run)
            if name == "mlflow":
                self._use_mlflow_in(run)
            tracker = LOGGER_TYPE_TO_CLASS[name](**settings)
        self._trackers[name] = tracker
        tracker.start()
        found = _id_of(name, tracker)
        if found is not None:
            self._ids[name] = found
        if name == "wandb" and "mode" in settings:
            logger.info(
                "wandb: no account is set, so the run stays in %s; `wandb sync` uploads it", run.folder / "wandb"
            )
        # TensorBoard would write a second run for it. Values of a resumed run are stored already.
        if name != _TENSORBOARD and run.known_id is None:
            tracker.store_init_configuration(plain_settings(config))

    def _use_mlflow_in(self, run: TrackedRun) -> None:
        import mlflow

        address = mlflow_address(run)
        if address is not None:
            (run.folder / "mlflow").mkdir(exist_ok=True)
            mlflow.set_tracking_uri(address)
            # The next training of this process has a folder of its own.
            self._undo.callback(mlflow.set_tracking_uri, None)

    def _guard(self, name: str, action: Callable[..., object], *arguments: Any, **options: Any) -> None:
        if name == _TENSORBOARD:
            with explained_writes(self._folder.tensorboard):
                action(*arguments, **options)
            return
        try:
            action(*arguments, **options)
        # Trackers raise errors of their own, of the network, of databases and of the disk.
        except Exception as error:
            tracker = self._trackers.pop(name, None)
            with suppress(Exception):
                # A run that stays open would keep the next one of this process from starting.
                if tracker is not None:
                    tracker.finish()
            reason = shorten(" ".join(f"{type(error).__name__}: {error}".split()))
            logger.warning("the tracker %s failed, and the training continues without it: %s", name, reason)


def plain_settings(config: Config) -> dict[str, bool | int | float | str]:
    """Return a configuration without paths as one value per dotted key; lists are text.

    Example:
        >>> from acsnet.config import build_config
        >>> plain_settings(build_config({"model": {"name": "unet"}}, [], "example"))["data.image_size"]
        '[256, 256]'
    """
    return dict(_flatten(config.for_metadata(), ""))


def _flatten(content: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, bool | int | float | str) else str(value)


def _id_of(name: str, tracker: GeneralTracker) -> str | None:
    """Return the id by which a tracker finds the run again, or None if it has none."""
    if name == "wandb":
        return str(tracker.tracker.id)
    if name == "mlflow":
        return str(tracker.tracker.info.run_id)
    return str(tracker.tracker.get_key()) if name == "comet_ml" else None


def _read_ids(folder: RunFolder) -> dict[str, str]:
    try:
        content = parse_json(read_text(folder.trackers))
    except (OSError, ValueError):
        # A new run, or a file that somebody broke: the trackers start a run of their own.
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)} if isinstance(content, dict) else {}
