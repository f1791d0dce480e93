"""``acsnet crossval`` and ``acsnet sweep`` on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path, phantom_root: Path) -> Path:
    """A configuration whose folds train in about a second each."""
    content = {
        "model": {"name": "unetpp", "in_channels": 1, "arguments": {"width": 4, "depth": 2}},
        "data": {"root": str(phantom_root), "image_size": [32, 32], "folds": {"count": 2, "validation": 0.34}},
        "training": {"epochs": 1, "batch_size": 4},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def write(path: Path, **content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def assert_error(result: tuple[int, str, str], text: str) -> None:
    status, _, errors = result
    assert status == 2
    line = errors.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert text in line
    assert "Traceback" not in errors


def test_crossval(invoke: Invoke, config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    refined = write(
        tmp_path / "refined.yaml",
        base=config.name,
        evaluation={"refining": {"empty_mask_for_normal": True, "normal_for_empty_mask": True}},
    )
    folder = tmp_path / "run"
    status, output, errors = invoke("crossval", config, refined, "--work-dir", folder, "--set", "optimizer.name=sgd")
    assert status == 0, errors
    assert "small - refined" in output
    assert f"report: acsnet report {folder} --out {folder}/report" in output
    assert "refined/fold1 (3 of 4 jobs are done)" in caplog.text
    assert "name: sgd" in (folder / "small" / "fold1" / "config.yaml").read_text()
    assert (folder / "refined" / "ensemble.safetensors").is_file()

    caplog.clear()
    status, output, errors = invoke("crossval", config, "--work-dir", folder, "--set", "optimizer.name=sgd")
    assert status == 0, errors
    assert "small - refined" in output
    assert "jobs are done" not in caplog.text, "nothing was left to do"


def test_wrong_input_of_crossval(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / config.name
    twin.write_text(config.read_text())
    assert_error(
        invoke("crossval", config, twin, "--work-dir", folder), "is a second configuration named small: rename"
    )
    assert_error(invoke("crossval", tmp_path / "no.yaml", "--work-dir", folder), "there is no configuration file")
    wrong = ("--set", "training.epoch=1")
    assert_error(invoke("crossval", config, "--work-dir", folder, *wrong), "did you mean 'epochs'")
    assert_error(
        invoke("crossval", config, "--work-dir", folder, "--set", "data.folds={test: 0.2}"), "is a single split"
    )
    assert_error(
        invoke("crossval", config, "--work-dir", folder, "--storage", "nonsense"), "the storage nonsense cannot"
    )
    assert_error(invoke("crossval", config, "--work-dir", folder, "--heartbeat", "0"), "the heartbeat is 0 seconds")
    assert not (folder / "crossval.json").exists()
    assert_error(invoke("crossval", config, "--work-dir", config), "is a file: choose a folder by --work-dir")
    message = "does not contain a cross-validation: choose another folder"
    assert_error(invoke("crossval", config, "--work-dir", tmp_path), message)


def test_a_fold_that_cannot_be_done_ends_in_an_error(
    invoke: Invoke, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acsnet.errors import RunError
    from acsnet.training import Trainer

    def fail(_: Trainer, on_epoch: Any = None) -> Path:
        raise RunError("the loss became nan in epoch 1, step 1")

    monkeypatch.setattr(Trainer, "fit", fail)
    result = invoke("crossval", config, "--work-dir", tmp_path / "run")
    assert_error(result, "small/fold0 failed: the loss became nan in epoch 1, step 1; small/fold1 failed: the loss")
    assert "there is no" in result[1], "the comparison is printed first"


def test_sweep(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    rates = {"optimizer.learning_rate": {"values": [1e-4, 1e-2]}}
    search = write(tmp_path / "rates.yaml", method="grid", parameters=rates)
    folder = tmp_path / "run"
    status, output, errors = invoke("sweep", config, "--search", search, "--work-dir", folder)
    assert status == 0, errors
    assert "optimizer.learning_rate" in output
    assert f"{folder}/sweep.html; the best configuration: {folder}/best.yaml" in output
    status, _, errors = invoke("train", folder / "best.yaml", "--work-dir", tmp_path / "best")
    assert status == 0, errors


def test_wrong_input_of_sweep(invoke: Invoke, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert_error(invoke("sweep", config, "--search", tmp_path / "no.yaml", "--work-dir", folder), "there is no config")
    wrong = write(tmp_path / "wrong.yaml", method="grid", parameters={"a": {"low": 0, "high": 1}})
    assert_error(invoke("sweep", config, "--search", wrong, "--work-dir", folder), "a grid needs values, a has a range")
    failing = write(
        tmp_path / "failing.yaml", method="grid", parameters={"optimizer.learning_rate": {"values": [1e30]}}
    )
    result = invoke("sweep", config, "--search", failing, "--work-dir", folder, "--set", "training.epochs=2")
    assert_error(result, "trial0000 failed: the loss became")
    assert "no trial is done" in result[1]


def test_trainings_become_an_ensemble_that_is_tested_on_their_split(
    invoke: Invoke, tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [tmp_path / f"seed{seed}" for seed in range(2)]
    for seed, run in enumerate(runs):
        options = ["--set", "training.epochs=1", "--set", f"training.seed={seed}", "--work-dir", run]
        assert invoke("train", tiny_config, *options)[0] == 0
    ensemble = tmp_path / "both.safetensors"
    call = ["ensemble", *(run / "best.safetensors" for run in runs), "--out", ensemble]
    status, output, errors = invoke(*call)
    assert status == 0, errors
    assert "both.safetensors: 2 networks, whose probabilities are averaged" in output

    test = ["test", "--checkpoint", ensemble, "--config", tiny_config, "--out", tmp_path / "test"]
    assert invoke(*test)[0] == 0
    assert "too good" not in caplog.text
    assert "another split" not in caplog.text

    status, _, errors = invoke(*call)
    assert status == 2
    assert "both.safetensors exists: choose another name by --out, or pass --overwrite" in errors
