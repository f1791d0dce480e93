"""Saving a training after each epoch, and restoring it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.config import Config
from acsnet.errors import RunError
from acsnet.training.checkpoint import describe_checkpoint
from acsnet.training.data import TrainingData
from acsnet.training.resuming import best_row, check_best, check_same_data, is_best_saved, load_checked_state
from acsnet.training.run_folder import RunFolder


class _Stateful(Protocol):
    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> object: ...


@dataclass
class Saver:
    """Writer and reader of the files of a run that change with each epoch.

    ``last.pt`` is written first: all files that a killed process did not write can be written again from it.

    Attributes:
        folder: the run folder.
        config: the configuration of the training.
        data: records and split.
        normalization: mean and standard deviation of the normalization of images.
        encoder_weights: origin of the pretrained weights of each encoder; of the resumed run after :meth:`restore`.
        teacher_protocol: what the teacher was trained on, or None without a teacher.
        components: the components of the training with a state, by name; None for those that it lacks.
        judged: name of the component that is validated and saved as the best checkpoint.
        epoch: the epoch that is saved; 0 for none.
    """

    folder: RunFolder
    config: Config
    data: TrainingData
    normalization: tuple[tuple[float, ...], tuple[float, ...]]
    encoder_weights: Sequence[dict[str, Any]]
    teacher_protocol: str | None
    components: Mapping[str, _Stateful | None]
    judged: str
    epoch: int = 0
    _version: tuple[int, int] | None = None

    def save(self, counters: Mapping[str, Any], improved: bool) -> None:
        """Write ``last.pt``, ``best.safetensors`` if the last epoch is the best, and ``history.csv``.

        Args:
            counters: plain values, with at least ``epoch`` and ``history``.
            improved: whether the last epoch is the best.

        Raises:
            WriteError: if a file cannot be written.
        """
        states = {
            name: None if component is None else component.state_dict() for name, component in self.components.items()
        }
        content = {"encoder_weights": [*self.encoder_weights], "config": self.config.to_dict()}
        self.folder.save_state({**counters, "split_hash": self.data.split.hash, **content, **states})
        self.epoch, self._version = counters["epoch"], self.folder.version_of_state()
        if improved:
            self._save_best(self._describe_best(counters["history"]))
        self.folder.write_history(counters["history"])

    def restore(self) -> dict[str, Any] | None:
        """Load the state of each component, and return the counters; None if no epoch was finished.

        Raises:
            RunError: if the files of the run are missing, broken or of another run, or the data is not the same.
        """
        self._version = self.folder.version_of_state()
        state = load_checked_state(self.folder, self.config)
        check_same_data(self.folder, self.data)
        if state is None:
            return None
        self._load_components(state)
        self.epoch = state["epoch"]
        # Missing in runs of earlier versions of the package.
        self.encoder_weights = state.get("encoder_weights", [])
        history = state["history"]
        check_best(self.folder, self._describe_best(history), best_row(history)["epoch"], self.epoch)
        return state

    def _load_components(self, state: Mapping[str, Any]) -> None:
        other = f"put the right {self.folder.last.name} back, or start a new run by --work-dir"
        if state["split_hash"] != self.data.split.hash:
            raise RunError(f"{self.folder.last} is of another run, its split is {state['split_hash']}: {other}")
        for name, component in self.components.items():
            if component is None:
                continue
            try:
                component.load_state_dict(state[name])
            # torch raises any of these, in many lines, for keys, shapes and types that do not fit.
            except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise RunError(
                    f"{self.folder.last} is of another run, its {name} does not fit {self.config.model.name} as "
                    f"configured: {other}"
                ) from error

    def repair(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write what a process did not write that was killed between two files of an epoch, and the tables of the run.

        Args:
            history: the restored rows; empty if no epoch was finished.

        Raises:
            RunError: if another process has written the state since it was restored.
            WriteError: if a file cannot be written.
        """
        if self.folder.version_of_state() != self._version:
            raise RunError(f"another process has trained in {self.folder.path} meanwhile: run the command again")
        if history:
            metadata = self._describe_best(history)
            if not is_best_saved(self.folder, metadata):
                self._save_best(metadata)
            # The data was compared by its hashes, so that a table that was removed or changed can be written again.
            self.folder.write_split(self.data.split)
            self.folder.write_history(history)

    def describe_kept(self) -> str:
        """Return what a training that stops now leaves, for a message."""
        if self.epoch:
            return f"{self.folder.path} keeps the state after epoch {self.epoch}, and --resume goes on from it"
        if self.folder.config.is_file():
            return f"no epoch is saved in {self.folder.path}, and --resume starts with the first one"
        return "nothing is saved"

    def _save_best(self, metadata: CheckpointMetadata) -> None:
        judged = self.components[self.judged]
        assert judged is not None  # chosen among the components that the training has
        save_checkpoint(self.folder.best, dict(judged.state_dict()), metadata)

    def _describe_best(self, history: Sequence[Mapping[str, Any]]) -> CheckpointMetadata:
        return describe_checkpoint(
            self.config,
            self.data,
            self.normalization,
            self.encoder_weights,
            best_row(history),
            self.teacher_protocol,
        )
