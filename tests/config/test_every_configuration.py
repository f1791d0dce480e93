"""Every configuration trains and tests by the same two commands; it takes minutes and is run by `make test-slow`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import acsnet
from acsnet.config import VALIDATED_ON_TEST, load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PUBLISHED = sorted(CONFIGS.glob("published/*/*.yaml"))
RECOMMENDED = sorted([*CONFIGS.glob("*.yaml"), *CONFIGS.glob("pairs/*.yaml"), *CONFIGS.glob("ablation/**/*.yaml")])
PATHS = [*RECOMMENDED, *PUBLISHED]
Invoke = Callable[..., tuple[int, str, str]]


def name_of(path: Path) -> str:
    return "/".join(path.relative_to(CONFIGS).with_suffix("").parts)


def test_every_network_has_a_configuration() -> None:
    assert {load_config(path).model.name for path in PATHS} == set(acsnet.list_models())


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_a_published_protocol_names_its_publication_and_what_to_use_instead(path: Path) -> None:
    config = load_config(path)
    assert config.protocol is not None
    assert config.protocol.publication == path.parent.name
    assert config.evaluation.published_metrics == (path.parent.name,)
    instead = CONFIGS.parent / config.protocol.instead.split()[0]
    assert instead.exists()
    # Aumente-Maestro et al. have a validation subset, the others select on the images that they test.
    assert (config.data.folds.validation == VALIDATED_ON_TEST) == (path.parent.name != "aumente2025")


@pytest.mark.parametrize("path", RECOMMENDED, ids=name_of)
def test_a_recommended_configuration_is_honest(path: Path) -> None:
    config = load_config(path)
    assert config.protocol is None
    assert config.data.folds.grouped
    assert config.data.folds.validation != VALIDATED_ON_TEST


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_trains_two_epochs_and_tests(path: Path, invoke: Invoke, phantom_root: Path, tmp_path: Path) -> None:
    """The network at its full size; small images, no pre-trained weights, and folds that 36 phantoms allow."""
    overrides = [f"data.root={phantom_root}", "data.dataset=busi", "data.image_size=[64, 64]"]
    overrides += ["model.encoder_weights=null", "training.epochs=2", "training.batch_size=4"]
    if path in PUBLISHED:
        overrides += ["data.image_list=null", "data.allow_missing=true", "augmentation=[{name: HorizontalFlip}]"]
    else:
        overrides += ["data.folds={count: 4, index: 0, validation: 0.34}"]
    arguments = [part for override in overrides for part in ("--set", override)]
    status, _, errors = invoke("train", path, *arguments, "--work-dir", tmp_path / "run")
    assert status == 0, errors
    status, output, errors = invoke("test", "--checkpoint", tmp_path / "run" / "best.safetensors")
    assert status == 0, errors
    shown = {"segmentation": "Dice", "classification": "accuracy"}
    assert all(shown[task] in output for task in load_config(path).model.tasks)
    metrics = json.loads((tmp_path / "run" / "test" / "metrics.json").read_text())
    assert metrics["n"] > 5
    assert set(metrics.get("published", {})) == set(load_config(path).evaluation.published_metrics)
