"""The run folder: its files, and the checks for starting and resuming."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from acsnet._utils.files import explain_write_error, whole_file, write_csv, write_json, write_text
from acsnet._utils.yaml_files import read_yaml
from acsnet.config import Config, build_config, changed_keys
from acsnet.data import Split, write_split_list
from acsnet.errors import ConfigError, RunError


def _is_visible(path: Path) -> bool:
    # A process that was killed while it wrote a file leaves a hidden file.
    return not path.name.startswith(".")


class RunFolder:
    """Paths of the files of a run, and their reading and writing.

    Args:
        path: the folder.

    Attributes:
        config: ``config.yaml``, the resolved configuration.
        environment: ``environment.json``, versions and device.
        split_list: ``split.csv``, the subset of each image.
        history: ``history.csv``, one row per epoch.
        tensorboard: ``tensorboard/``, the events.
        last: ``last.pt``, the state that resuming needs.
        best: ``best.safetensors``, the checkpoint of the best epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.split_list = path / "split.csv"
        self.history = path / "history.csv"
        self.tensorboard = path / "tensorboard"
        self.last = path / "last.pt"
        self.best = path / "best.safetensors"

    def check(self, config: Config, resume: bool) -> None:
        """Check that a run can be started here, or resumed; see :meth:`check_new` and :meth:`check_resume`.

        Raises:
            RunError: if it cannot.
            ConfigError: if the configuration of the run to resume cannot be read.
        """
        if resume:
            self.check_resume(config)
        else:
            self.check_new()

    def check_new(self) -> None:
        """Check that a new run can be started here.

        Raises:
            RunError: if the folder exists and is not empty.
        """
        if self.path.exists() and (not self.path.is_dir() or any(map(_is_visible, self.path.iterdir()))):
            raise RunError(
                f"{self.path} exists already and is never overwritten: resume it by --resume, or choose another folder "
                "by --work-dir"
            )

    def check_resume(self, config: Config) -> None:
        """Check that the run in the folder can be resumed with a configuration.

        Raises:
            RunError: if there is no run, or its configuration is broken or differs; the changed keys are listed.
            ConfigError: if this version of the package cannot read its configuration.
        """
        changed = changed_keys(self.started_config().to_dict(), config.to_dict())
        if changed:
            raise RunError(
                f"{self.path} was started with another configuration: {', '.join(changed)}; resume it with the old "
                "one, or start a new run by --work-dir"
            )

    def started_config(self) -> Config:
        """Read the configuration that the run was started with.

        Raises:
            RunError: if there is no run, or its configuration is broken.
            ConfigError: if this version of the package cannot read its configuration.
        """
        if not self.config.is_file():
            raise RunError(f"there is no run to resume in {self.path}: start it without --resume")
        # Keys that were added to the package after the run was started had their default values.
        return build_config(self._read_config(), (), str(self.config))

    def _read_config(self) -> dict[str, Any]:
        try:
            content = read_yaml(self.config)
        except ConfigError:
            content = {}
        if not content:
            raise RunError(f"{self.config} is broken: fix it, or start a new run by --work-dir")
        return content

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Create the folder if necessary, and keep other processes from training in it.

        Raises:
            RunError: if another process is training in the folder.
        """
        path = self.path / ".lock"
        lock = FileLock(path, timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise RunError(
                f"another process is training in {self.path}: wait until it ends, or choose another folder by "
                "--work-dir"
            ) from None
        except OSError as error:
            raise explain_write_error(error, self.path) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()

    def start(self, config: Config, split: Split, environment: Mapping[str, Any]) -> None:
        """Write the resolved configuration, the split and, last, the environment."""
        write_text(self.config, config.to_yaml())
        write_split_list(self.split_list, split)
        write_json(self.environment, dict(environment))

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``history.csv``, one row per epoch."""
        write_csv(self.history, rows)

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write ``last.pt`` with tensors and plain values only, so that it is read without unpickling objects."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        with whole_file(self.last) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load_state(self) -> dict[str, Any] | None:
        """Read ``last.pt``, or return None if no epoch was finished.

        Raises:
            RunError: if the file is broken or contains other objects than tensors and plain values.
        """
        if not self.last.exists():
            return None
        with self.last.open("rb") as file:
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            # torch raises a dozen types, depending on the broken byte, and recommends unpickling in its messages.
            except Exception as error:
                raise RunError(
                    f"{self.last} is broken or contains other objects than tensors and plain values: start a new run "
                    "by --work-dir"
                ) from error
