"""The search space: a YAML file of parameters, their ranges, and the search method."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from acsnet._utils.invalid_values import explain
from acsnet._utils.seeds import derived_seed
from acsnet._utils.yaml_files import read_yaml
from acsnet.config import PositiveInt, Real, Section, Whole
from acsnet.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

Scalar = bool | int | float | str


class Parameter(Section):
    """The values of one key of the configuration.

    Attributes:
        values: the values, instead of a range.
        low: lowest value of a range.
        high: highest value of a range; only integers are tried if both ends are integers.
        step: step of a range, or None.
        log: search a range on a logarithmic scale.
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
            raise ValueError("set either values, as a list, or low and high")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}: low must be below high")
        if self.log and (self.low is None or self.low <= 0 or self.step is not None):
            raise ValueError("log needs low and high above 0, and no step")
        if self.step is not None and (self.values is not None or self.step <= 0):
            raise ValueError(f"step is {self.step}: it needs low and high, and must be above 0")
        return self

    def suggest(self, trial: "Trial", key: str) -> Scalar:
        """Return the value that Optuna chooses, or the one that is fixed for this trial."""
        if self.values is not None:
            return trial.suggest_categorical(key, self.values)
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(key, self.low, self.high, step=step, log=self.log)
        assert self.low is not None  # checked by a validator
        assert self.high is not None
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """All values, or both ends of the range."""
        if self.values is not None:
            return self.values
        return tuple(end for end in (self.low, self.high) if end is not None)


class PruningConfig(Section):
    """Early stopping of trials whose best score is below the median of other trials at the same epoch.

    Attributes:
        startup_trials: number of first trials that are not pruned.
        warmup_epochs: number of first epochs in which a trial is not pruned.
    """

    startup_trials: Annotated[Whole, Field(ge=0)] = 5
    warmup_epochs: Annotated[Whole, Field(ge=0)] = 5


class Search(Section):
    """A search over keys of a configuration.

    Attributes:
        method: ``grid`` (every combination of the values), ``tpe`` (Bergstra et al. 2011, NeurIPS) or ``random``.
        trials: number of trials; not set for a grid.
        seed: seed of the search, which is reproducible with one worker.
        pruning: early stopping of trials, or None.
        parameters: values of each dotted key of the configuration.

    Example:
        >>> rates = Parameter(values=(1e-4, 1e-3))
        >>> Search(method="grid", parameters={"optimizer.learning_rate": rates}).jobs()
        {'trial0000': {'optimizer.learning_rate': 0.0001}, 'trial0001': {'optimizer.learning_rate': 0.001}}
    """

    method: Literal["grid", "tpe", "random"]
    trials: PositiveInt | None = None
    seed: Annotated[Whole, Field(ge=0)] = 0
    pruning: PruningConfig | None = None
    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]

    @field_validator("parameters")
    @classmethod
    def _check_keys(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        for key in parameters:
            if key.startswith(("data.folds", "data.split_file", "data.split", "training.selection")):
                raise ValueError(f"{key} defines how trials are scored: it cannot be searched")
        return parameters

    @model_validator(mode="after")
    def _check_method(self) -> "Search":
        if self.method == "grid":
            ranges = [key for key, parameter in self.parameters.items() if parameter.values is None]
            if ranges:
                raise ValueError(f"a grid needs values, {', '.join(ranges)} has a range: list them")
            if self.trials is not None:
                raise ValueError("trials is set, but a grid tries every combination: remove it")
        elif self.trials is None:
            raise ValueError(f"trials is missing: set the number of trials of {self.method}")
        return self

    def jobs(self) -> dict[str, dict[str, Scalar]]:
        """Return the trials by name, with the fixed values of a grid."""
        if self.method != "grid":
            return {f"trial{number:04d}": {} for number in range(self.trials or 0)}
        keys = list(self.parameters)
        combinations = itertools.product(*(self.parameters[key].examples for key in keys))
        return {
            f"trial{number:04d}": dict(zip(keys, values, strict=True)) for number, values in enumerate(combinations)
        }

    def sampler(self, job: str) -> "BaseSampler":
        """Build the sampler of one trial, whose own seed prevents two workers from choosing the same values."""
        from optuna.samplers import RandomSampler, TPESampler

        seed = derived_seed(self.seed, int(job.removeprefix("trial")), 1_000_003)
        return TPESampler(seed=seed, constant_liar=True) if self.method == "tpe" else RandomSampler(seed=seed)

    def pruner(self) -> "BasePruner":
        """Build the pruner."""
        from optuna.pruners import MedianPruner, NopPruner

        if self.pruning is None:
            return NopPruner()
        # Optuna counts from 0; epochs count from 1.
        return MedianPruner(self.pruning.startup_trials, self.pruning.warmup_epochs + 1)


def load_search(path: str | Path) -> Search:
    """Read a search from its YAML file.

    Raises:
        ConfigError: if the file is missing or invalid, with the key, the expected value and the nearest spelling.
    """
    path = Path(path)
    try:
        return Search.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, Search)}") from error


def as_overrides(values: Mapping[str, Scalar]) -> list[str]:
    """Return values as overrides of a configuration, ``key=value`` each."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]
