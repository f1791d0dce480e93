import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from acsnet.checkpoints import read_metadata, read_weights
from acsnet.config import build_config, load_config
from acsnet.errors import CheckpointError
from acsnet.training import Trainer, prepare_training
from acsnet.training.initial_weights import load_initial_weights


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 3, 1))


def test_matching_tensors_are_loaded_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    given = {"0.weight": torch.ones(2, 1, 3, 3).half(), "0.bias": torch.ones(5), "elsewhere": torch.ones(1)}
    save_file(given, path)
    network, before = net(), net().state_dict()
    initial = load_initial_weights(network, path)
    after = network.state_dict()
    assert after["0.weight"].dtype == torch.float32
    assert (after.pop("0.weight") == 1).all()
    assert all(torch.equal(value, before[key]) for key, value in after.items())
    assert initial.weights.not_loaded == tuple(after)
    assert initial.weights.unused == ("elsewhere",)
    assert initial.summary == (
        f"initial weights: 1 of 9 tensors loaded from {path}; 8 start at random (0.bias, 1.weight, 1.bias, "
        "1.running_mean, ...); 1 of the file are not used (elsewhere)"
    )
    assert initial.record == {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors_taken": 1,
        "tensors": 9,
        "dataset_hash": None,
        "split_hash": None,
    }


def test_all_tensors_match(tmp_path: Path) -> None:
    path = tmp_path / "same.safetensors"
    save_file({key: value + 1 for key, value in net().state_dict().items()}, path)
    network = net()
    assert load_initial_weights(network, path).summary.endswith(f"9 of 9 tensors loaded from {path}")
    assert all(torch.equal(value, net().state_dict()[key] + 1) for key, value in network.state_dict().items())


def test_counters_alone_are_not_weights(tmp_path: Path) -> None:
    path = tmp_path / "counters.safetensors"
    save_file({"1.num_batches_tracked": torch.tensor(3), "0.weight": torch.ones(1)}, path)
    with pytest.raises(
        CheckpointError,
        match=r"model\.initial_weights: .*counters\.safetensors does not match the architecture of Sequential: .*; 0%",
    ):
        load_initial_weights(net(), path)


def test_a_file_that_is_not_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(net().state_dict(), path)
    with pytest.raises(
        CheckpointError, match=r"weights\.pt is a pickled file \(\.pt, \.pth\), which may run code, and is not opened"
    ):
        load_initial_weights(net(), path)


def test_a_training_starts_from_them(
    trained_run: Path, tiny_settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    best = tmp_path / "first.safetensors"
    best.write_bytes((trained_run / "best.safetensors").read_bytes())
    overrides = [f"model.initial_weights={best}", "data.folds.index=1", "training.epochs=1", "training.seed=3"]
    config = build_config(tiny_settings, overrides, "test")
    run = tmp_path / "run"
    with caplog.at_level(logging.INFO, "acsnet"):
        trainer = Trainer.from_config(config, run, progress=False)
        weights = read_weights(best)
        assert all(torch.equal(value, weights[key]) for key, value in trainer.network.state_dict().items())
        trainer.fit()
    recorded = json.loads((run / "environment.json").read_text())["initial_weights"]
    assert recorded["sha256"] == hashlib.sha256(best.read_bytes()).hexdigest()
    assert recorded["tensors_taken"] == recorded["tensors"] == len(weights)
    logged = [record.getMessage() for record in caplog.records]
    assert any(f"{len(weights)} of {len(weights)} tensors loaded from {best}" in text for text in logged)
    # The other fold's training images are validated or tested here.
    assert any("initial weights were trained on the same images with another split" in text for text in logged)
    assert read_metadata(run / "best.safetensors").config["model"]["initial_weights"] is None
    # A resumed run does not need them.
    best.unlink()
    again = Trainer.from_config(load_config(run / "config.yaml"), run, resume=True, progress=False)
    assert again.epoch == 1


def test_a_missing_file_matters_until_the_training_has_begun(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(tiny_settings, [f"model.initial_weights={tmp_path / 'none.safetensors'}"], "test")
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*none\.safetensors"):
        prepare_training(config, progress=False)
    prepare_training(config, progress=False, resuming=True)
