"""The folder of a run, and what in it resuming needs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from acsnet._utils.files import whole_file, write_csv, write_json, write_text
from acsnet.config import Config, build_config, changed_keys
from acsnet.data import Split, write_split_list
from acsnet.errors import RunError


def _is_seen(path: Path) -> bool:
    # A process killed while it wrote a file leaves a hidden one.
    return not path.name.startswith(".")


class RunFolder:
    """``config.yaml``, ``environment.json``, ``split.csv``, ``history.csv``, ``tensorboard/``, ``last.pt`` and
    ``best.safetensors``.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.parts = path / "split.csv"
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
        """Check that a new run may be started here.

        Raises:
            RunError: where the folder exists and is not empty.
        """
        if self.path.exists() and (not self.path.is_dir() or any(map(_is_seen, self.path.iterdir()))):
            raise RunError(
                f"{self.path} exists already and is never overwritten: go on with it by --resume, or choose another "
                "folder by --work-dir"
            )

    def check_resume(self, config: Config) -> None:
        """Check that the run that is here can go on with a configuration.

        Raises:
            RunError: where there is no run, its configuration is broken, or it differs; the keys are named.
            ConfigError: where this version of the package cannot read its configuration.
        """
        if not self.config.is_file():
            raise RunError(f"there is no run to resume in {self.path}: start it without --resume")
        # Keys that came into the package since the run was started have had their defaults.
        started = build_config(self._read_config(), (), str(self.config))
        changed = changed_keys(started.to_dict(), config.to_dict())
        if changed:
            raise RunError(
                f"{self.path} was started with another configuration: {', '.join(changed)}; go on with the old one, or "
                "start a new run by --work-dir"
            )

    def _read_config(self) -> dict[str, Any]:
        try:
            content = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, ValueError):
            content = None
        if not isinstance(content, dict):
            raise RunError(f"{self.config} is broken: mend it, or start a new run by --work-dir")
        return content

    def start(self, config: Config, split: Split, environment: Mapping[str, Any]) -> None:
        """Write the resolved configuration, the split and, last, the environment."""
        write_text(self.config, config.to_yaml())
        write_split_list(self.parts, split)
        write_json(self.environment, dict(environment))

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``history.csv``, a row an epoch."""
        write_csv(self.history, rows)

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write ``last.pt``: tensors and plain values only, so that it is read without unpickling objects."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        with whole_file(self.last) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load_state(self) -> dict[str, Any] | None:
        """Read ``last.pt``; None where no epoch was finished.

        Raises:
            RunError: where the file is broken or holds more than tensors and plain values.
        """
        if not self.last.exists():
            return None
        with self.last.open("rb") as file:
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            # torch raises a dozen kinds, depending on which byte is broken, and its words advise to unpickle after all.
            except Exception as error:
                raise RunError(
                    f"{self.last} is broken or holds more than tensors and plain values: start a new run by --work-dir"
                ) from error
