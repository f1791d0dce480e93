"""What a search tries: a YAML file of parameters, their ranges, and how they are chosen."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from acsnet._utils.yaml_files import explain, read_yaml
from acsnet.config import PositiveInt, Real, Section, Whole
from acsnet.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

Scalar = bool | int | float | str


class Parameter(Section):
    """The values of one key of the configuration: ``values``, or all from ``low`` to ``high``.

    Whole numbers where ``low`` and ``high`` are, in steps of ``step``; ``log`` for a range of several powers of ten.
    """

    values: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    low: Whole | Real | None = None
    high: Whole | Real | None = None
    step: Whole | Real | None = None
    log: bool = False

    @model_validator(mode="after")
    def _values_or_range(self) -> "Parameter":
        ends = (self.low, self.high)
        if (self.values is None) == (None in ends) or (self.values is not None and ends != (None, None)):
            raise ValueError("give either values, as a list, or low and high")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low is {self.low}, high {self.high}: low has to be below high")
        if self.log and (self.low is None or self.low <= 0 or self.step is not None):
            raise ValueError("log needs low and high above 0, and no step")
        if self.step is not None and (self.values is not None or self.step <= 0):
            raise ValueError(f"step is {self.step}: it needs low and high, and has to be above 0")
        return self

    def suggest(self, trial: "Trial", key: str) -> Scalar:
        """Have Optuna choose a value, or give the one that is fixed for this trial."""
        if self.values is not None:
            return trial.suggest_categorical(key, self.values)
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(key, self.low, self.high, step=step, log=self.log)
        assert self.low is not None  # a validator has seen to it
        assert self.high is not None
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """Every value, or both ends of the range."""
        if self.values is not None:
            return self.values
        return tuple(end for end in (self.low, self.high) if end is not None)


class PruningConfig(Section):
    """Ends trials early whose best score so far is below the median of others' at the same epoch (Optuna's pruner).

    The first ``startup_trials``, and the first ``warmup_epochs`` of each, are left alone.
    """

    startup_trials: Annotated[Whole, Field(ge=0)] = 5
    warmup_epochs: Annotated[Whole, Field(ge=0)] = 5


class Search(Section):
    """A search over keys of a configuration.

    Attributes:
        method: ``grid`` (every combination of the values), ``tpe`` (Bergstra et al. 2011, NeurIPS) or ``random``.
        trials: how many, but for a grid.
        seed: with one worker, the same gives the same search.
        pruning: or None.
        parameters: by the dotted key of the configuration.
    """

    method: Literal["grid", "tpe", "random"]
    trials: PositiveInt | None = None
    seed: Annotated[Whole, Field(ge=0)] = 0
    pruning: PruningConfig | None = None
    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]

    @field_validator("parameters")
    @classmethod
    def _test_part_is_not_searched(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        for key in parameters:
            if key.startswith(("data.folds", "data.split_file", "data.split", "training.selection")):
                raise ValueError(f"{key} says what is measured: it cannot be searched")
        return parameters

    @model_validator(mode="after")
    def _what_the_method_needs(self) -> "Search":
        if self.method == "grid":
            ranges = [key for key, parameter in self.parameters.items() if parameter.values is None]
            if ranges:
                raise ValueError(f"a grid needs values, {', '.join(ranges)} has a range: list them")
            if self.trials is not None:
                raise ValueError("trials is given, but a grid tries every combination: leave it out")
        elif self.trials is None:
            raise ValueError(f"trials is missing: say how many {self.method} is to try")
        return self

    def jobs(self) -> dict[str, dict[str, Scalar]]:
        """The trials by name, those of a grid with their values."""
        if self.method != "grid":
            return {f"trial{number:04d}": {} for number in range(self.trials or 0)}
        keys = list(self.parameters)
        combinations = itertools.product(*(self.parameters[key].examples for key in keys))
        return {
            f"trial{number:04d}": dict(zip(keys, values, strict=True)) for number, values in enumerate(combinations)
        }

    def sampler(self, job: str) -> "BaseSampler":
        """Optuna's sampler for one trial; its own seed keeps two workers from choosing the same."""
        from optuna.samplers import RandomSampler, TPESampler

        seed = self.seed * 1_000_003 + int(job.removeprefix("trial"))
        return TPESampler(seed=seed, constant_liar=True) if self.method == "tpe" else RandomSampler(seed=seed)

    def pruner(self) -> "BasePruner":
        """Optuna's pruner."""
        from optuna.pruners import MedianPruner, NopPruner

        if self.pruning is None:
            return NopPruner()
        # Optuna counts from 0, epochs from 1.
        return MedianPruner(self.pruning.startup_trials, self.pruning.warmup_epochs + 1)


def load_search(path: Path) -> Search:
    """Read a search from its YAML file.

    Raises:
        ConfigError: for a file that is missing or wrong, with the key, what was expected and the nearest spelling.
    """
    try:
        return Search.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(explain(error, Search))}") from error


def as_overrides(values: Mapping[str, Scalar]) -> list[str]:
    """Values as overrides of a configuration, ``key=value`` each."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]
