import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from filelock import FileLock

from acsnet._utils.files import WriteError
from acsnet.config import Config, build_config
from acsnet.errors import ConfigError, DataError, RunError
from acsnet.experiments import Search, Sweep, result_table, write_sweep

GRID = {"method": "grid", "parameters": {"optimizer.learning_rate": {"values": [1e-8, 1e-2]}}}


@pytest.fixture(scope="session")
def base(phantom_root: Path) -> Config:
    content = {
        "model": {"name": "unetpp", "in_channels": 1, "arguments": {"width": 4, "depth": 2}},
        "data": {"root": str(phantom_root), "image_size": [32, 32], "folds": {"count": 2, "validation": 0.34}},
        "training": {"epochs": 3, "batch_size": 4},
    }
    return build_config(content, [], "base")


def search(**content: Any) -> Search:
    return Search.model_validate(content)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, base: Config) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "rates"
    sweep = Sweep(folder, base, search(**GRID), progress=False)
    assert sweep.run() == {}
    assert write_sweep(sweep, {}) == folder / "sweep.html"
    return folder


def test_every_combination_is_tried_and_the_best_is_first(finished: Path, base: Config) -> None:
    results = Sweep(finished, base, search(**GRID), progress=False).results()
    assert {tuple(result.values.items()) for result in results} == {
        (("optimizer.learning_rate", 1e-8),),
        (("optimizer.learning_rate", 1e-2),),
    }
    assert results[0].score >= results[1].score
    for result in results:
        with (finished / result.name / "history.csv").open() as file:
            history = list(csv.DictReader(file))
        assert result.score == max(float(row["score"]) for row in history)
        assert result.curve == {int(row["epoch"]): float(row["score"]) for row in history}
        config = yaml.safe_load((finished / result.name / "config.yaml").read_text())
        assert config["optimizer"]["learning_rate"] == result.values["optimizer.learning_rate"]


def test_table_best_configuration_and_page_are_written(finished: Path, base: Config) -> None:
    results = Sweep(finished, base, search(**GRID), progress=False).results()
    with (finished / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [result.name for result in results]
    assert [float(row["score"]) for row in rows] == [result.score for result in results]
    best = yaml.safe_load((finished / "best.yaml").read_text())
    assert best["optimizer"]["learning_rate"] == results[0].values["optimizer.learning_rate"]
    page = (finished / "sweep.html").read_text()
    assert "0.7*dice + 0.3*accuracy" in page
    assert page.count("data:image/svg+xml") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert results[0].name in result_table(results).splitlines()[2]


def test_again_nothing_is_trained(finished: Path, base: Config) -> None:
    times = {path: path.stat().st_mtime_ns for path in finished.rglob("last.pt")}
    assert Sweep(finished, base, search(**GRID), progress=False).run() == {}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_poor_trials_are_stopped_early(tmp_path: Path, base: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from acsnet.training import trainer

    # The score of a trial is its rate.
    def score(config: Config) -> float:
        return config.optimizer.learning_rate

    original = trainer.Trainer.__init__

    def rated(self: Any, *arguments: Any, **more: Any) -> None:
        original(self, *arguments, **more)
        self.selection = lambda _: score(self.config)

    monkeypatch.setattr(trainer.Trainer, "__init__", rated)
    grid = {"optimizer.learning_rate": {"values": [0.3, 0.2, 0.1, 0.4]}}
    pruning = {"startup_trials": 2, "warmup_epochs": 1}
    sweep = Sweep(tmp_path, base, search(method="grid", pruning=pruning, parameters=grid), progress=False)
    assert sweep.run() == {}
    results = sweep.results()
    assert [(result.score, result.pruned, len(result.curve)) for result in results] == [
        (0.4, False, 3),
        (0.3, False, 3),
        (0.2, False, 3),
        (0.1, True, 2),
    ]
    write_sweep(sweep, {})
    assert "0.100 (stopped early)" in (tmp_path / "sweep.html").read_text()


def test_chosen_values_are_tried_so_many_times(tmp_path: Path, base: Config) -> None:
    rates = {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    quick = build_config(base.to_dict(), ["training.epochs=1"], "quick")
    sweep = Sweep(tmp_path, quick, search(method="tpe", trials=3, parameters=rates), progress=False)
    assert sweep.run() == {}
    values = [result.values["optimizer.learning_rate"] for result in sweep.results()]
    assert len(set(values)) == 3
    assert all(1e-4 <= value <= 1e-2 for value in values)


def test_a_value_that_the_configuration_cannot_have_is_found_first(tmp_path: Path, base: Config) -> None:
    wrong = search(method="grid", parameters={"optimizer.learning_rate": {"values": [0.1, -1.0]}})
    with pytest.raises(
        ConfigError, match=r"the search with --set optimizer.learning_rate=-1.0: optimizer.learning_rate"
    ):
        Sweep(tmp_path / "run", base, wrong, progress=False)
    unknown = search(method="grid", parameters={"optimizer.learning_rat": {"values": [0.1]}})
    with pytest.raises(ConfigError, match=r"unknown key 'optimizer.learning_rat': did you mean 'learning_rate'"):
        Sweep(tmp_path / "run", base, unknown, progress=False)
    assert not [path for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")]


def test_data_that_cannot_be_trained_on_is_found_first(tmp_path: Path, base: Config) -> None:
    config = build_config(base.to_dict(), ["data.classes=[benign, malignant, normal, cyst]"], "cysts")
    with pytest.raises(DataError, match="no training image of class cyst"):
        Sweep(tmp_path, config, search(**GRID), progress=False)


def test_another_search_in_the_folder_is_refused(finished: Path, base: Config) -> None:
    other = search(method="grid", parameters={"optimizer.learning_rate": {"values": [1e-3]}})
    with pytest.raises(RunError, match=r"rates holds another search: parameters.*learning_rate.*; resume that one"):
        Sweep(finished, base, other)
    changed = build_config(base.to_dict(), ["training.epochs=9"], "changed")
    with pytest.raises(RunError, match=r"rates holds another search: training.epochs \(3 -> 9\)"):
        Sweep(finished, changed, search(**GRID))


@pytest.mark.parametrize("content", ["{}", "nonsense"])
def test_a_broken_plan_is_one_clear_line(tmp_path: Path, base: Config, content: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(RunError, match=r"sweep.json is broken \(.*\): start a new search in another folder"):
        Sweep(tmp_path, base, search(**GRID))


def test_a_plan_that_is_not_a_file_is_named(tmp_path: Path, base: Config, make_special: Callable[[Path], str]) -> None:
    path = tmp_path / "sweep.json"
    reason = make_special(path)
    with pytest.raises(RunError, match=rf"sweep\.json cannot be read \({reason}\): start a new search"):
        Sweep(tmp_path, base, search(**GRID))


def test_a_folder_with_something_else_is_refused(tmp_path: Path, base: Config) -> None:
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(
        RunError, match=r"exists already and does not contain a search: choose another folder by --work-dir"
    ):
        Sweep(tmp_path, base, search(**GRID))


@pytest.mark.parametrize("left", [["queue.sqlite3"], ["queue.sqlite3-wal", "queue.sqlite3"], [".sweep.7.tmp.json"]])
def test_a_folder_without_a_plan_is_started_again(tmp_path: Path, base: Config, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).touch()
    assert Sweep(tmp_path, base, search(**GRID), progress=False).results() == []
    assert (tmp_path / "sweep.json").is_file()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, base: Config, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(WriteError, match=rf"run could not be written \({os.strerror(number)}\): c"):
        Sweep(tmp_path / "run", base, search(**GRID), progress=False)


def test_results_that_cannot_be_read_are_one_clear_line(
    finished: Path, base: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(finished, base, search(**GRID), progress=False)

    def fail() -> None:
        raise optuna.exceptions.StorageInternalError("disk I/O error")

    monkeypatch.setattr(sweep._queue, "results", fail)
    with pytest.raises(RunError, match=r"^the database of jobs cannot be read or written \(disk I/O error\): check it"):
        sweep.results()


def test_trials_are_trained_on_the_same_images(tmp_path: Path, base: Config) -> None:
    sweep = Sweep(tmp_path, base, search(**GRID), progress=False)
    environment = tmp_path / "trial0001" / "environment.json"
    environment.parent.mkdir()
    environment.write_text('{"dataset": {"hash": "of other images"}}')
    assert "the images or masks differ from those of" in sweep.run()["trial0000"]


def test_failed_trials_are_reported(tmp_path: Path, base: Config) -> None:
    # A rate that passes every check, but gives a loss of NaN in training.
    rates = {"optimizer.learning_rate": {"values": [1e-3, 1e30]}}
    sweep = Sweep(tmp_path, base, search(method="grid", parameters=rates), progress=False)
    failures = sweep.run()
    assert list(failures) == ["trial0001"]
    assert "the loss became" in failures["trial0001"]
    write_sweep(sweep, failures)
    assert "the loss became" in (tmp_path / "sweep.html").read_text()


def test_where_no_trial_is_done_nothing_is_written(tmp_path: Path, base: Config) -> None:
    sweep = Sweep(tmp_path, base, search(**GRID), progress=False)
    assert write_sweep(sweep, {}) is None
    assert result_table([]) == "no trial is done"
