"""The networks of a report: test results and trainings, pooled over folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acsnet.config import Config, changed_keys
from acsnet.errors import AcsnetError, RunError
from acsnet.report.run_folders import TestFolder, find_tests
from acsnet.report.training import Training, read_training
from acsnet.statistics import RunResult, read_run
from acsnet.statistics.pooling import leave_out_incomplete, pool_folds
from acsnet.statistics.runs import SELECTED_ON_TEST

# The settings in which the folds of one network may differ.
_FOLD_SETTINGS = ("data.folds.index ", "training.seed ")


@dataclass(frozen=True)
class Network:
    """One network with all its folds.

    Attributes:
        name: its name.
        result: the test results, pooled over its folds.
        runs: the test results of each fold, in the order of the arguments.
        trainings: the training of each fold.
    """

    name: str
    result: RunResult
    runs: tuple[RunResult, ...]
    trainings: tuple[Training, ...]

    @property
    def config(self) -> Config | None:
        """The configuration of the first fold that has one."""
        return next((training.config for training in self.trainings if training.config), None)

    @property
    def selection_remark(self) -> str:
        """A remark for rows of tables if the epoch was selected on the test subset, otherwise ""."""
        return SELECTED_ON_TEST if self.result.selected_on_test else ""

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """The evaluation settings recorded by the test, otherwise those of the configuration."""
        written = self.runs[0].provenance[0].get("evaluation")
        if isinstance(written, Mapping):
            return written
        return self.config.evaluation.model_dump(mode="json") if self.config else {}


@dataclass(frozen=True)
class _Test:
    folder: TestFolder
    result: RunResult
    training: Training


def read_networks(arguments: Sequence[str]) -> tuple[list[Network], list[str]]:
    """Read the networks that the arguments name.

    Args:
        arguments: folders, or NAME=FOLDER; folders of one name are folds of one network.

    Returns:
        The networks that can be used, and one line per problem with a missing or broken file.

    Raises:
        RunError: if no run can be used, or two runs of one model without names are not folds of each other.
    """
    folders, problems = find_tests(arguments)
    tests = []
    for folder in folders:
        try:
            result = read_run(folder.result, folder.name)
        except AcsnetError as error:
            problems.append(str(error))
            continue
        training, training_problems = read_training(folder.training, folder.config)
        problems += training_problems
        tests.append(_Test(folder, result, training))
    if not tests:
        raise RunError(f"no run can be used: {'; '.join(problems) or 'no folder was passed'}")
    for name in dict.fromkeys(test.result.name for test in tests):
        _check_folds([test for test in tests if test.result.name == name and test.folder.name is None])
    complete, problems_of_folds = leave_out_incomplete([test.result for test in tests])
    # If no network is complete, all are used: comparing them names the difference.
    names = {run.name for run in complete or [test.result for test in tests]}
    networks = [_pool(name, tests) for name in dict.fromkeys(test.result.name for test in tests) if name in names]
    return networks, [*dict.fromkeys(problems + (problems_of_folds if complete else []))]


def _pool(name: str, tests: Sequence[_Test]) -> Network:
    own = [test for test in tests if test.result.name == name]
    runs = tuple(test.result for test in own)
    return Network(name, pool_folds(runs), runs, tuple(test.training for test in own))


def _check_folds(tests: Sequence[_Test]) -> None:
    """Check that unnamed runs of one model are folds of each other."""
    for test in tests[1:]:
        reason = _fold_difference(tests[0], test)
        if reason:
            one, other = (each.folder.training or each.folder.result for each in (tests[0], test))
            raise RunError(
                f"{one} and {other} are both of the network {test.result.name}, but not its folds ({reason}): "
                f"name them, as in NAME={other}"
            )


def _fold_difference(first: _Test, second: _Test) -> str:
    if set(first.result.images) & set(second.result.images):
        return "they were tested on the same images"
    if first.training.config is None or second.training.config is None:
        return ""
    changed = changed_keys(first.training.config.to_dict(), second.training.config.to_dict())
    return ", ".join(key for key in changed if not key.startswith(_FOLD_SETTINGS))
