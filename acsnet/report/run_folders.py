"""The tests named by the arguments of a report: run folders, result folders and cross-validations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acsnet.errors import AcsnetError, RunError
from acsnet.experiments.crossval_plan import PLAN_FILE, read_plan

_KINDS = (
    "a run folder (with test/ in it), a result folder (with metrics.json), a cross-validation (crossval.json) or the "
    "folder of a configuration in one"
)


@dataclass(frozen=True)
class TestFolder:
    """The folders of one test and of its training.

    Attributes:
        result: the folder with ``metrics.json`` and ``cases.csv``.
        training: the run folder, or None if unknown.
        name: the name of the network; None for the name of its model.
        config: the resolved configuration as plain values; None if it is the one in the run folder.
    """

    __test__ = False  # pytest would collect the class otherwise

    result: Path
    training: Path | None
    name: str | None = None
    config: Mapping[str, Any] | None = None


def find_tests(arguments: Sequence[str]) -> tuple[list[TestFolder], list[str]]:
    """Find the tests that the arguments name, each test once.

    Args:
        arguments: folders, or NAME=FOLDER.

    Returns:
        The tests, and one line per argument without a test.
    """
    tests: dict[tuple[Path, str | None], TestFolder] = {}
    problems = []
    for argument in arguments:
        try:
            for test in _find(*_split_argument(argument)):
                tests.setdefault((test.result.resolve(), test.name), test)
        except AcsnetError as error:
            problems.append(str(error))
    return [*tests.values()], problems


def _split_argument(argument: str) -> tuple[str | None, Path]:
    name, equals, folder = argument.partition("=")
    # The name of an existing folder may contain "=".
    if not equals or Path(argument).exists():
        return None, Path(argument)
    if not name.strip() or not folder:
        raise RunError(f"{argument}: expected NAME=FOLDER")
    return name.strip(), Path(folder)


def _find(name: str | None, folder: Path) -> Iterator[TestFolder]:
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}: pass {_KINDS}")
    if (folder / PLAN_FILE).is_file():
        yield from _find_folds(name, folder)
    elif (folder.resolve().parent / PLAN_FILE).is_file():
        yield from _find_folds(name, folder.resolve().parent, folder.resolve().name)
    elif (folder / "metrics.json").is_file():
        yield TestFolder(folder, _training(folder.parent), name)
    elif (folder / "test").is_dir() or (folder / "config.yaml").is_file():
        yield TestFolder(folder / "test", _training(folder), name)
    else:
        raise RunError(f"{folder} is not a folder of results: pass {_KINDS}")


def _training(folder: Path) -> Path | None:
    return folder if (folder / "config.yaml").is_file() else None


def _find_folds(name: str | None, folder: Path, only: str | None = None) -> Iterator[TestFolder]:
    plan = read_plan(folder)
    if only is not None and only not in plan.configurations:
        raise RunError(f"{folder / PLAN_FILE} has no configuration {only}: it has {', '.join(plan.configurations)}")
    chosen = [*plan.configurations] if only is None else [only]
    if name is not None and len(chosen) > 1:
        raise RunError(
            f"{folder / PLAN_FILE} has the configurations {', '.join(chosen)}, which cannot all be named {name}: omit "
            "the name, or pass run folders"
        )
    for own in chosen:
        planned = plan.configurations[own]
        for fold in range(plan.folds):
            training = folder / planned.training / f"fold{fold}"
            yield TestFolder(folder / own / f"fold{fold}" / "test", training, name or own, planned.config)
