import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml

from acsnet import load_model
from acsnet.checkpoints import CheckpointMetadata, read_metadata
from acsnet.config import Config, build_config, load_config
from acsnet.errors import CheckpointError
from acsnet.layers import PretrainedWeights
from acsnet.models import LoadedWeights
from acsnet.training import RunFolder, Trainer, prepare_training
from acsnet.training.initial_weights import InitialWeights
from acsnet.training.normalization import resolve_normalization, with_normalization

ENCODER = "mobilenetv3_small_050"
ORIGIN = PretrainedWeights(ENCODER, "a.pth", None, "timm", 2, 0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def make_config(*overrides: str) -> Config:
    return build_config({"model": {"name": "acsnet"}}, overrides, "test")


def normalization(config: Config) -> tuple[Any, Any]:
    return config.data.mean, config.data.std


def test_without_weights_it_is_that_of_busi() -> None:
    config = make_config()
    assert normalization(config) == (None, None)
    assert normalization(resolve_normalization(config, ())) == ((0.330,), (0.204,))


def test_with_weights_it_is_that_of_their_training() -> None:
    assert normalization(resolve_normalization(make_config(), (ORIGIN,))) == (ORIGIN.mean, ORIGIN.std)
    gray = make_config("model.in_channels=1")
    assert normalization(resolve_normalization(gray, (ORIGIN,))) == ((0.449,), (0.226,))


def test_an_explicit_value_wins() -> None:
    config = make_config("data.mean=[0.3]", "data.std=[0.2]")
    assert resolve_normalization(config, (ORIGIN,)) == config
    assert normalization(resolve_normalization(make_config("data.mean=[0.3]"), (ORIGIN,))) == ((0.3,), ORIGIN.std)
    inherited = build_config({"model": {"name": "acsnet"}, "data": {"mean": [0.3]}}, ["data.mean=null"], "test")
    assert normalization(resolve_normalization(inherited, (ORIGIN,))) == (ORIGIN.mean, ORIGIN.std)
    assert normalization(with_normalization(make_config("data.std=[0.2]"), (0.1,), (0.3,))) == ((0.1,), (0.2,))


@pytest.mark.parametrize(
    ("trained_with", "expected"),
    [
        (((0.4,), (0.1,)), ((0.4,), (0.1,))),
        (((0.4, 0.5, 0.6), (0.1, 0.2, 0.3)), ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))),
        # The checkpoint has two channels, or no metadata.
        (((0.4, 0.5), (0.1, 0.2)), (ORIGIN.mean, ORIGIN.std)),
        (None, (ORIGIN.mean, ORIGIN.std)),
    ],
)
def test_initial_weights_come_before_those_of_the_encoder(trained_with: Any, expected: Any) -> None:
    metadata = None
    if trained_with is not None:
        mean, std = trained_with
        metadata = CheckpointMetadata(
            model="unet",
            arguments={"in_channels": len(mean)},
            class_names=("a", "b"),
            input_size=(32, 32),
            mean=mean,
            std=std,
        )
    initial = InitialWeights(LoadedWeights(Path("a.safetensors"), 1, (), (), metadata), "0" * 64)
    assert normalization(resolve_normalization(make_config(), (ORIGIN,), initial)) == expected
    explicit = make_config("data.mean=[0.3]", "data.std=[0.2]")
    assert resolve_normalization(explicit, (ORIGIN,), initial) == explicit


@pytest.fixture
def config(tiny_settings: dict[str, Any], tmp_path: Path) -> Config:
    """The tiny configuration, which has no own normalization, with encoder weights from a file."""
    torch.manual_seed(2)
    path = tmp_path / "secret" / "weights.pth"
    path.parent.mkdir()
    torch.save(timm.create_model(ENCODER).state_dict(), path)
    return build_config(tiny_settings, [f"model.encoder_weights={path}"], "test")


def test_a_run_with_weights_from_a_file(config: Config, tmp_path: Path) -> None:
    """The run keeps their origin, and neither a resumed run nor the checkpoint needs the file."""
    weights = Path(str(config.model.encoder_weights))
    prepared = prepare_training(config, progress=False)
    state = torch.load(weights, weights_only=True)
    assert torch.equal(prepared.network.state_dict()["encoder.network.conv_stem.weight"], state["conv_stem.weight"])

    folder = RunFolder(tmp_path / "run")
    Trainer(prepared, folder, progress=False).fit()
    used = yaml.safe_load(folder.config.read_text())
    assert (used["data"]["mean"], used["data"]["std"]) == (list(ORIGIN.mean), list(ORIGIN.std))
    assert used["model"]["encoder_weights"] == str(weights)
    (record,) = json.loads(folder.environment.read_text())["encoder_weights"]
    assert (record["encoder"], record["source"], record["format"]) == (ENCODER, "weights.pth", "timm")
    assert (record["tensors"], record["skipped"], len(record["sha256"])) == (len(state) - 4, 4, 64)
    metadata = read_metadata(folder.best)
    assert metadata.encoder_weights == (record,)
    assert (metadata.mean, metadata.std) == (ORIGIN.mean, ORIGIN.std)
    assert metadata.config["model"]["encoder_weights"] == "weights.pth"
    assert "secret" not in metadata.model_dump_json()

    weights.unlink()
    load_model(folder.best)
    resumed = Trainer.from_config(config, folder.path, resume=True, progress=False)
    assert resumed.encoder_weights == [record]
    assert (resumed.mean, resumed.std) == (ORIGIN.mean, ORIGIN.std)
    assert resumed._saver._describe_best(resumed.history).encoder_weights == (record,)
    # The resolved configuration of the run describes the same run.
    Trainer.from_config(load_config(folder.config), folder.path, resume=True, progress=False)
    with pytest.raises(CheckpointError, match=r"there is no file .*weights\.pth"):
        Trainer.from_config(config, tmp_path / "new", progress=False)


def test_a_run_without_weights(trained_run: Path) -> None:
    used = load_config(trained_run / "config.yaml")
    assert normalization(used) == ((0.330,), (0.204,))
    assert "encoder_weights" not in json.loads((trained_run / "environment.json").read_text())
    assert read_metadata(trained_run / "best.safetensors").encoder_weights == ()


def test_cross_validation_resolves_it_per_fold(config: Config, tmp_path: Path) -> None:
    from acsnet.experiments import CrossValidation

    small = config.model_copy(
        update={
            "data": config.data.model_copy(update={"folds": config.data.folds.model_copy(update={"count": 2})}),
            "training": config.training.model_copy(update={"epochs": 1}),
        }
    )
    crossval = CrossValidation(tmp_path / "crossval", {"a": small}, progress=False)
    assert crossval.plan.config("a", 0).data.mean is None
    assert crossval.run() == {}
    CrossValidation(tmp_path / "crossval", {"a": small}, progress=False)
    metadata = read_metadata(tmp_path / "crossval" / "a" / "ensemble.safetensors")
    assert metadata.config["data"]["mean"] == list(ORIGIN.mean)
    assert (metadata.mean, len(metadata.encoder_weights)) == (ORIGIN.mean, 1)
    assert "secret" not in metadata.model_dump_json()
