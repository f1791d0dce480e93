import shutil
from pathlib import Path

import pytest

from acsnet.report.training import read_training


def test_files_of_a_training(trained_run: Path) -> None:
    training, problems = read_training(trained_run)
    assert problems == []
    assert training.config is not None
    assert training.config.model.name == "acsnet"
    assert [row["epoch"] for row in training.history] == [1, 2]
    assert {"loss", "val_loss", "val_dice", "val_accuracy", "learning_rate"} <= {*training.history[0]}
    assert training.seconds == pytest.approx(sum(row["seconds"] for row in training.history))
    assert "torch" in training.environment["packages"]


def test_another_configuration_than_that_in_the_folder(trained_run: Path) -> None:
    training, problems = read_training(trained_run, {"model": {"name": "unet"}})
    assert problems == []
    assert training.config is not None
    assert training.config.model.name == "unet"
    training, (problem,) = read_training(trained_run, {"model": {"nam": "unet"}})
    assert training.config is None
    assert problem.startswith("the configuration in crossval.json: ")


def test_an_unknown_training_has_no_problems() -> None:
    training, problems = read_training(None)
    assert (training.config, training.history, training.seconds, problems) == (None, (), None, [])


def test_missing_and_broken_files_are_reported(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    training, problems = read_training(tmp_path / "empty")
    assert (training.config, training.history, dict(training.environment)) == (None, (), {})
    assert [problem.partition(":")[0].partition(" can")[0] for problem in problems] == [
        f"there is no configuration file {tmp_path / 'empty' / 'config.yaml'}",
        f"there is no {tmp_path / 'empty' / 'history.csv'}",
        str(tmp_path / "empty" / "environment.json"),
    ]

    broken = tmp_path / "broken"
    shutil.copytree(trained_run, broken)
    (broken / "history.csv").write_text("epoch,loss\n1,2\n")
    (broken / "environment.json").write_text("{")
    training, problems = read_training(broken)
    assert training.config is not None
    assert problems == [
        f"{broken / 'history.csv'} has no column learning_rate, val_loss, seconds: the training curves of this run are "
        "missing",
        f"{broken / 'environment.json'} cannot be read: the environment of the run is unknown",
    ]
    (broken / "history.csv").write_text("epoch,learning_rate,loss,val_loss,seconds\n1,0.1,high,1,1\n")
    assert "the training curves of this run are missing" in read_training(broken)[1][0]
