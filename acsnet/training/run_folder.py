"""The run folder: its files, and the checks for starting and resuming."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from acsnet._utils.file_kinds import file_fault
from acsnet._utils.files import whole_file, write_csv, write_json, write_text
from acsnet._utils.folders import claimed_folder
from acsnet._utils.reading import read_bytes, read_text
from acsnet._utils.yaml_files import read_yaml
from acsnet.config import Config, build_config, changed_keys
from acsnet.data import Split, write_split_list
from acsnet.errors import ConfigError, RunError


def _is_visible(path: Path) -> bool:
    # A process that was killed while it wrote a file leaves a hidden file.
    return not path.name.startswith(".")


def _check_archive(content: bytes) -> None:
    """Check the checksums of an archive of torch.save, which torch itself does not.

    Raises:
        zipfile.BadZipFile: if it is damaged, or compressed as torch.save does not.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()) or archive.testzip():
            raise zipfile.BadZipFile


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
        trackers: ``trackers.json``, the ids of the run in other trackers, if there are any.
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
        self.trackers = path / "trackers.json"
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
        if not self.path.exists() or (self.path.is_dir() and not any(map(_is_visible, self.path.iterdir()))):
            return
        if self.config.exists() or not self.path.is_dir():
            raise RunError(
                f"{self.path} exists already and is never overwritten: resume it by --resume, or choose another folder "
                "by --work-dir"
            )
        raise RunError(
            f"{self.path} has files but no {self.config.name}, so it is not a run: choose another folder by --work-dir"
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

    def started_environment(self) -> dict[str, Any] | None:
        """Read ``environment.json``, or return None if the run was killed before it was written.

        Raises:
            RunError: if it is broken.
        """
        try:
            content = json.loads(read_text(self.environment))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            content = None
        if not isinstance(content, dict):
            raise RunError(f"{self.environment} is broken: put the file back, or start a new run by --work-dir")
        return content

    def started_config(self) -> Config:
        """Read the configuration that the run was started with.

        Raises:
            RunError: if there is no run, or its configuration is broken.
            ConfigError: if this version of the package cannot read its configuration.
        """
        fault = file_fault(self.config)
        if fault == "it does not exist" or not self.path.is_dir():
            raise RunError(f"there is no run to resume in {self.path}: start it without --resume")
        if fault is not None:
            raise RunError(
                f"{self.config} cannot be read ({fault}): put the file back, or start a new run by --work-dir"
            )
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

    def claimed(self) -> AbstractContextManager[None]:
        """Create the folder if necessary, and keep other processes from training in it.

        Raises:
            RunError: if another process is training in the folder.
            WriteError: if the folder cannot be made or written to.
        """
        return claimed_folder(self.path, "training in", "--work-dir")

    def start(self, config: Config, split: Split, environment: Mapping[str, Any]) -> None:
        """Write the resolved configuration, the split and, last, the environment."""
        write_text(self.config, config.to_yaml())
        self.write_split(split)
        write_json(self.environment, dict(environment))

    def write_split(self, split: Split) -> None:
        """Write ``split.csv``, the subset of each image."""
        write_split_list(self.split_list, split)

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
            RunError: if the file cannot be read, is broken or contains other objects than tensors and plain values, or
                if it is missing although an epoch was finished.
        """
        if not self.last.exists():
            self._check_not_begun()
            return None
        try:
            content = read_bytes(self.last)
        except OSError as error:
            raise RunError(
                f"{self.last} cannot be read ({error.strerror}): check the disk and the permissions, or start a new "
                "run by --work-dir"
            ) from error
        try:
            _check_archive(content)
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        # torch raises a dozen types, depending on the broken byte, and recommends unpickling in its messages.
        except Exception as error:
            raise RunError(
                f"{self.last} is broken or contains other objects than tensors and plain values: start a new run by "
                "--work-dir"
            ) from error

    def _check_not_begun(self) -> None:
        """Check that no epoch was finished; ``last.pt`` is the first file that an epoch writes."""
        left = [path.name for path in (self.best, self.history) if path.exists()]
        if left:
            raise RunError(
                f"{self.last} is missing although {self.path} has {' and '.join(left)} of finished epochs: put the "
                "file back, or start a new run by --work-dir"
            )

    def version_of_state(self) -> tuple[int, int] | None:
        """Return a value that differs after ``last.pt`` was written again; None if there is none."""
        try:
            state = self.last.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_ino
