from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from acsnet.config import build_config
from acsnet.errors import ConfigError
from acsnet.experiments import Search, load_search
from acsnet.experiments.search_space import as_overrides

REPOSITORY = Path(__file__).resolve().parents[2]
RATE = {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}


def write(path: Path, **content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_published_grid() -> None:
    jobs = load_search(REPOSITORY / "configs" / "searches" / "lambda.yaml").jobs()
    shares = [values["loss.segmentation_weight"] for values in jobs.values()]
    assert shares == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs" / "searches").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_searches_are_read_and_their_keys_exist(path: Path) -> None:
    search = load_search(path)
    for key, parameter in search.parameters.items():
        for value in parameter.examples:
            build_config({"model": {"name": "unet"}}, as_overrides({key: value}), path.name)


def test_a_grid_is_every_combination() -> None:
    search = Search.model_validate(
        {
            "method": "grid",
            "parameters": {"training.batch_size": {"values": [4, 8]}, "model.name": {"values": ["a", "b"]}},
        }
    )
    assert search.jobs() == {
        "trial0000": {"training.batch_size": 4, "model.name": "a"},
        "trial0001": {"training.batch_size": 4, "model.name": "b"},
        "trial0002": {"training.batch_size": 8, "model.name": "a"},
        "trial0003": {"training.batch_size": 8, "model.name": "b"},
    }


def test_values_become_overrides_of_their_type() -> None:
    values = {
        "optimizer.learning_rate": 1e-05,
        "training.batch_size": 4,
        "training.compile": True,
        "model.name": "unet",
    }
    config = build_config({"model": {"name": "x"}}, as_overrides(values), "test")
    assert config.optimizer.learning_rate == 1e-5
    assert config.training.batch_size == 4
    assert config.training.compile is True
    assert config.model.name == "unet"


def test_suggestions_lie_in_their_ranges() -> None:
    search = Search.model_validate(
        {
            "method": "random",
            "trials": 3,
            "parameters": {
                **RATE,
                "training.batch_size": {"low": 4, "high": 16, "step": 4},
                "loss.segmentation_weight": {"low": 0.2, "high": 0.9},
                "training.compile": {"values": [True, False]},
            },
        }
    )
    study = optuna.create_study(sampler=search.sampler("trial0000"))
    for _ in range(50):
        trial = study.ask()
        values = {key: parameter.suggest(trial, key) for key, parameter in search.parameters.items()}
        assert 1e-4 <= values["optimizer.learning_rate"] <= 1e-1
        assert values["training.batch_size"] in (4, 8, 12, 16)
        assert 0.2 <= values["loss.segmentation_weight"] <= 0.9
        assert values["training.compile"] in (True, False)


@pytest.mark.parametrize("seed", [4_295, 20_240_101, 2**40])
@pytest.mark.parametrize("method", ["tpe", "random"])
def test_large_seeds_are_seeds_of_samplers(seed: int, method: str) -> None:
    search = Search.model_validate({"method": method, "trials": 2, "seed": seed, "parameters": RATE})
    assert search.sampler("trial0000") is not None
    assert search.sampler("trial0001") is not None


def test_trials_of_one_seed_differ_and_come_again() -> None:
    search = Search.model_validate({"method": "tpe", "trials": 2, "parameters": RATE})

    def first_value(job: str) -> float:
        trial = optuna.create_study(sampler=search.sampler(job)).ask()
        return float(search.parameters["optimizer.learning_rate"].suggest(trial, "rate"))

    assert first_value("trial0000") == first_value("trial0000")
    assert first_value("trial0000") != first_value("trial0001")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"method": "grid", "parameters": RATE}, "a grid needs values, optimizer.learning_rate has a range: list them"),
        (
            {"method": "grid", "trials": 3, "parameters": {"a": {"values": [1]}}},
            "a grid tries every combination: remove",
        ),
        ({"method": "tpe", "parameters": RATE}, "trials is missing: set the number of trials of tpe"),
        ({"method": "tpe", "trials": 3, "parameters": {}}, "parameters"),
        ({"method": "bayes", "trials": 3, "parameters": RATE}, "method is 'bayes': expected 'grid', 'tpe' or 'random'"),
        ({"method": "tpe", "trials": 3, "parameter": RATE}, "unknown key 'parameter': did you mean 'parameters'"),
        ({"method": "tpe", "trials": 3, "parameters": {"a": {"low": 1}}}, "a: set either values, as a list, or low"),
        ({"method": "tpe", "trials": 3, "parameters": {"a": {"low": 2, "high": 1}}}, "low must be below high"),
        ({"method": "tpe", "trials": 3, "parameters": {"a": {"low": 0, "high": 1, "log": True}}}, "log needs low and"),
        ({"method": "tpe", "trials": 3, "parameters": {"a": {"values": [1], "low": 0, "high": 1}}}, "either values"),
        ({"method": "tpe", "trials": 3, "parameters": {"a": {"low": 1, "high": 3, "step": 0}}}, "step is 0: it needs"),
        ({"method": "tpe", "trials": 3, "parameters": {"data.split_file": {"values": ["a"]}}}, "it cannot be searched"),
        ({"method": "tpe", "trials": 3, "parameters": {"data.folds.seed": {"values": [1]}}}, "it cannot be searched"),
    ],
)
def test_what_is_wrong_with_a_search_is_one_clear_line(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "search.yaml", **content)
    with pytest.raises(ConfigError) as error:
        load_search(path)
    assert said in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    write(tmp_path / "lambda.yaml", method="grid")
    with pytest.raises(ConfigError, match=r"there is no configuration file .*lamda.yaml; did you mean .*lambda.yaml"):
        load_search(tmp_path / "lamda.yaml")
