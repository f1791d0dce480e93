"""Which tests the arguments of a report name: run folders, result folders and cross-validations."""

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
class Source:
    """One test, and the training that it is of.

    Attributes:
        result: the folder with ``metrics.json`` and ``cases.csv``.
        training: the run folder, or None where it is not known.
        name: what the network is called; None leaves that to its model.
        config: the resolved configuration as plain values; None where it is that of the run folder.
    """

    result: Path
    training: Path | None
    name: str | None = None
    config: Mapping[str, Any] | None = None


def find_sources(arguments: Sequence[str]) -> tuple[list[Source], list[str]]:
    """Find the tests that arguments name, each a folder or NAME=FOLDER; every test once.

    Returns:
        The tests, and a line for each argument that names none.
    """
    sources: dict[tuple[Path, str | None], Source] = {}
    problems = []
    for argument in arguments:
        try:
            for source in _find(*_part(argument)):
                sources.setdefault((source.result.resolve(), source.name), source)
        except AcsnetError as error:
            problems.append(str(error))
    return [*sources.values()], problems


def _part(argument: str) -> tuple[str | None, Path]:
    name, equals, folder = argument.partition("=")
    # The name of a folder may have a "=" in it.
    if not equals or Path(argument).exists():
        return None, Path(argument)
    if not name.strip() or not folder:
        raise RunError(f"{argument}: expected NAME=FOLDER")
    return name.strip(), Path(folder)


def _find(name: str | None, folder: Path) -> Iterator[Source]:
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}: name {_KINDS}")
    if (folder / PLAN_FILE).is_file():
        yield from _find_folds(name, folder)
    elif (folder.resolve().parent / PLAN_FILE).is_file():
        yield from _find_folds(name, folder.resolve().parent, folder.resolve().name)
    elif (folder / "metrics.json").is_file():
        yield Source(folder, _training(folder.parent), name)
    elif (folder / "test").is_dir() or (folder / "config.yaml").is_file():
        yield Source(folder / "test", _training(folder), name)
    else:
        raise RunError(f"{folder} is none of these: {_KINDS}")


def _training(folder: Path) -> Path | None:
    return folder if (folder / "config.yaml").is_file() else None


def _find_folds(name: str | None, folder: Path, only: str | None = None) -> Iterator[Source]:
    plan = read_plan(folder)
    if only is not None and only not in plan.configurations:
        raise RunError(f"{folder / PLAN_FILE} has no configuration {only}: it has {', '.join(plan.configurations)}")
    chosen = [*plan.configurations] if only is None else [only]
    if name is not None and len(chosen) > 1:
        raise RunError(
            f"{folder / PLAN_FILE} has the configurations {', '.join(chosen)}, which cannot all be named {name}: leave "
            "the name away, or name run folders"
        )
    for own in chosen:
        planned = plan.configurations[own]
        for fold in range(plan.folds):
            training = folder / planned.training / f"fold{fold}"
            yield Source(folder / own / f"fold{fold}" / "test", training, name or own, planned.config)
