"""Every configuration trains and tests by the same two commands; it takes minutes and is run by `make test-slow`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import acsnet
from acsnet.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PATHS = sorted([*CONFIGS.glob("*.yaml"), *CONFIGS.glob("pairs/*.yaml"), *CONFIGS.glob("aumente2025/**/*.yaml")])
Invoke = Callable[..., tuple[int, str, str]]


def test_every_network_has_a_configuration() -> None:
    assert {load_config(path).model.name for path in PATHS} == set(acsnet.list_models())


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_trains_two_epochs_and_tests(path: Path, invoke: Invoke, phantom_root: Path, tmp_path: Path) -> None:
    """The network at its full size; small images, no pre-trained weights, and folds that 36 phantoms allow."""
    overrides = [f"data.root={phantom_root}", "data.image_size=[64, 64]", "model.encoder_weights=null"]
    overrides += ["data.folds={count: 4, index: 0, validation: 0.34}", "training.epochs=2", "training.batch_size=4"]
    arguments = [part for override in overrides for part in ("--set", override)]
    status, _, errors = invoke("train", path, *arguments, "--work-dir", tmp_path / "run")
    assert status == 0, errors
    status, output, errors = invoke("test", "--checkpoint", tmp_path / "run" / "best.safetensors")
    assert status == 0, errors
    shown = {"segmentation": "Dice", "classification": "accuracy"}
    assert all(shown[task] in output for task in load_config(path).model.tasks)
    assert json.loads((tmp_path / "run" / "test" / "metrics.json").read_text())["n"] > 5
