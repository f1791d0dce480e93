"""The plan of a cross-validation: the file ``crossval.json`` in its folder, which all workers share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from acsnet._utils.files import write_text
from acsnet._utils.reading import read_text
from acsnet.config import Config, build_config, changed_keys
from acsnet.errors import ConfigError, RunError
from acsnet.experiments.job_folder import broken_entry, check_free, is_folder_name, new_study

PLAN_FILE = "crossval.json"
# Start of the text of a changed fold; each job has its own fold.
_FOLD = "data.folds.index "


class PlannedConfiguration(BaseModel):
    """One configuration of a plan.

    Attributes:
        training: name of the configuration whose trainings are evaluated: its own, or that of an earlier one that
            differs only in ``evaluation``.
        config: the resolved configuration; ``data.folds.index`` has no meaning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: str
    config: dict[str, Any]


class Plan(BaseModel):
    """All configurations and folds of a cross-validation.

    Attributes:
        study: name of the queue in the database.
        folds: number of folds.
        configurations: the configurations by name, in the order in which they were added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    study: str
    folds: int = Field(ge=2)
    configurations: dict[str, PlannedConfiguration] = Field(min_length=1)

    @field_validator("configurations")
    @classmethod
    def _check_names(cls, planned: dict[str, PlannedConfiguration]) -> dict[str, PlannedConfiguration]:
        for name, own in planned.items():
            if not is_folder_name(name):
                raise ValueError(f"{name!r} is not the name of a folder")
            if own.training not in planned or planned[own.training].training != own.training:
                raise ValueError(f"{name!r} has the trainings of {own.training!r}, which is not planned")
        return planned

    def config(self, name: str, fold: int) -> Config:
        """Return the configuration of one fold, 0 to ``folds`` - 1."""
        return build_config(self.configurations[name].config, [f"data.folds.index={fold}"], f"{PLAN_FILE}, {name}")


def extend_plan(work_dir: Path, configs: Mapping[str, Config]) -> tuple[Plan, list[str]]:
    """Plan a cross-validation in a folder, or extend the existing plan; nothing is written.

    Args:
        work_dir: the folder, locked (:func:`~acsnet.experiments.lock_folder`).
        configs: the configurations by name.

    Returns:
        The plan, and the names of the configurations that were added to it.

    Raises:
        ConfigError: if a configuration has no folds, or another number of folds.
        RunError: if the folder has other content, or a configuration of the same name with other values.
    """
    plan = read_plan(work_dir) if (work_dir / PLAN_FILE).is_file() else _new_plan(work_dir)
    for name in configs:
        if not is_folder_name(name):
            raise ConfigError(f"the configuration {name!r} is not the name of a folder: rename it")
    added = [name for name in configs if name not in plan.configurations]
    for name, config in configs.items():
        if name in added:
            plan = _add(plan, name, config)
        else:
            # Validated again: keys that were added to the package since then had their default values.
            _check_unchanged(work_dir, name, plan.config(name, 0).to_dict(), config)
    return plan, added


def write_plan(work_dir: Path, plan: Plan) -> None:
    """Write ``crossval.json`` atomically."""
    write_text(work_dir / PLAN_FILE, plan.model_dump_json(indent=2) + "\n")


def read_plan(work_dir: str | Path) -> Plan:
    """Read the plan of a folder.

    Raises:
        RunError: if there is no plan, or it is broken.
    """
    work_dir = Path(work_dir)
    path = work_dir / PLAN_FILE
    try:
        return Plan.model_validate_json(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"there is no {path}: start a cross-validation with acsnet crossval") from None
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}): start a new cross-validation in another folder"
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path} is broken ({broken_entry(error)}): start a new cross-validation in another folder"
        ) from error


def _new_plan(work_dir: Path) -> Plan:
    check_free(work_dir, "cross-validation")
    return Plan.model_construct(study=new_study("crossval"), folds=0, configurations={})


def _check_unchanged(work_dir: Path, name: str, old: Mapping[str, Any], config: Config) -> None:
    changed = [key for key in changed_keys(old, config.to_dict()) if not key.startswith(_FOLD)]
    if changed:
        raise RunError(
            f"{work_dir} has the configuration {name} with other values: {', '.join(changed)}; resume it with the "
            "old ones, or choose another folder by --work-dir"
        )


def _add(plan: Plan, name: str, config: Config) -> Plan:
    folds = config.data.folds
    if config.data.split_file is not None:
        raise ConfigError(
            f"{name}: data.split_file is a single split: set it to null for a cross-validation, and "
            "data.image_list to its name for the same images"
        )
    if folds.test is not None:
        raise ConfigError(f"{name}: data.folds.test is a single split: set data.folds.count for a cross-validation")
    if plan.configurations and folds.count != plan.folds:
        raise ConfigError(
            f"{name}: data.folds.count is {folds.count}, but {plan.folds} in the other configurations: set the same "
            "number"
        )
    owner = next((other for other in plan.configurations if _trains_alike(plan.config(other, 0), config)), name)
    planned = PlannedConfiguration(training=owner, config=config.to_dict())
    return plan.model_copy(update={"folds": folds.count, "configurations": {**plan.configurations, name: planned}})


def _trains_alike(first: Config, second: Config) -> bool:
    """Return whether two configurations differ only in their evaluation."""
    return all(key.startswith(("evaluation.", _FOLD)) for key in changed_keys(first.to_dict(), second.to_dict()))
