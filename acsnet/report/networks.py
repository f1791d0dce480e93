"""The networks of a report: their tests read, named and pooled over folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acsnet.config import Config, changed_keys
from acsnet.errors import AcsnetError, RunError
from acsnet.report.run_folders import Source, find_sources
from acsnet.report.training import Training, read_training
from acsnet.statistics import RunResult, read_run
from acsnet.statistics.pooling import leave_out_incomplete, pool_folds

# In what folds of one network may differ, beside which fold they are.
_OF_A_FOLD = ("data.folds.index ", "training.seed ")


@dataclass(frozen=True)
class Network:
    """One network with all its folds.

    Attributes:
        name: what it is called.
        result: what it made of the images, pooled over its folds.
        runs: the result of each fold, in the order given.
        trainings: the training of each fold.
    """

    name: str
    result: RunResult
    runs: tuple[RunResult, ...]
    trainings: tuple[Training, ...]

    @property
    def config(self) -> Config | None:
        """The configuration, that of the first fold that has one."""
        return next((training.config for training in self.trainings if training.config), None)

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """How it was evaluated: the settings that the test wrote, else those of its configuration."""
        written = self.runs[0].provenance[0].get("evaluation")
        if isinstance(written, Mapping):
            return written
        return self.config.evaluation.model_dump(mode="json") if self.config else {}


@dataclass(frozen=True)
class _Test:
    source: Source
    result: RunResult
    training: Training


def read_networks(arguments: Sequence[str]) -> tuple[list[Network], list[str]]:
    """Read the networks that arguments name, each a folder or NAME=FOLDER; folders of one name are folds of one.

    Returns:
        The networks that can be used, and a line for everything that is missing or broken.

    Raises:
        RunError: where no run can be used, or two of one model are no folds of each other and have no names.
    """
    sources, problems = find_sources(arguments)
    tests = []
    for source in sources:
        try:
            result = read_run(source.result, source.name)
        except AcsnetError as error:
            problems.append(str(error))
            continue
        training, lacking = read_training(source.training, source.config)
        problems += lacking
        tests.append(_Test(source, result, training))
    if not tests:
        raise RunError(f"no run can be used: {'; '.join(problems) or 'none is named'}")
    for name in dict.fromkeys(test.result.name for test in tests):
        _check_folds([test for test in tests if test.result.name == name and test.source.name is None])
    kept, incomplete = leave_out_incomplete([test.result for test in tests])
    # Networks of which none is whole have no split in common: comparing them says what differs.
    names = {run.name for run in kept or [test.result for test in tests]}
    networks = [_pool(name, tests) for name in dict.fromkeys(test.result.name for test in tests) if name in names]
    return networks, [*dict.fromkeys(problems + (incomplete if kept else []))]


def _pool(name: str, tests: Sequence[_Test]) -> Network:
    own = [test for test in tests if test.result.name == name]
    runs = tuple(test.result for test in own)
    return Network(name, pool_folds(runs), runs, tuple(test.training for test in own))


def _check_folds(tests: Sequence[_Test]) -> None:
    """Check that runs without a name, of one model, are folds of each other."""
    for test in tests[1:]:
        reason = _no_folds(tests[0], test)
        if reason:
            one, other = (each.source.training or each.source.result for each in (tests[0], test))
            raise RunError(
                f"{one} and {other} are both of the network {test.result.name} and no folds of each other ({reason}): "
                f"name them, as in NAME={other}"
            )


def _no_folds(first: _Test, second: _Test) -> str:
    if set(first.result.images) & set(second.result.images):
        return "they were tested on the same images"
    if first.training.config is None or second.training.config is None:
        return ""
    changed = changed_keys(first.training.config.to_dict(), second.training.config.to_dict())
    return ", ".join(key for key in changed if not key.startswith(_OF_A_FOLD))
