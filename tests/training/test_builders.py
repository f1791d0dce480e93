import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import acsnet
from acsnet.config import Config, DataConfig, FoldsConfig, build_config
from acsnet.data import Record, Split, describe_split, load_records
from acsnet.errors import ConfigError
from acsnet.losses import class_weights_from_counts, focal_alpha_from_counts
from acsnet.models import _registry
from acsnet.training.builders import (
    TrainingData,
    build_loaders,
    build_multi_task_loss,
    build_network,
    load_training_data,
    log_split,
    network_arguments,
    prepare_training,
)


def make_config(settings: dict[str, Any], *overrides: str) -> Config:
    return build_config(settings, overrides, "test")


def load(config: Config) -> TrainingData:
    return load_training_data(config, load_records(config.data, progress=False))


def test_oversampled_epoch_is_balanced_and_validation_is_not(tiny_settings: dict[str, Any]) -> None:
    # Few enough normal cases to be repeated: 14 benign, 12 malignant, 10 normal, of which the split keeps about half.
    config = make_config(tiny_settings, "data.oversample=true")
    data = load(config)
    trained = Counter(record.label for record in data.split.train)
    factors = {label: round(max(trained.values()) / count) for label, count in trained.items()}
    assert data.class_counts(config.data.classes) == [trained[c] * factors[c] for c in config.data.classes]
    loaders = build_loaders(config, data, progress=False)
    assert len(loaders.sampler) == len(data.drawn)
    assert len(loaders.val_dataset) == len(data.split.val)


def test_without_oversampling_each_image_is_drawn_once(tiny_settings: dict[str, Any]) -> None:
    data = load(make_config(tiny_settings))
    assert data.drawn == data.split.train


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("{name: cross_entropy, arguments: {class_weights: balanced}}", class_weights_from_counts([6, 3, 1])),
        ("{name: focal, arguments: {alpha: balanced}}", focal_alpha_from_counts([6, 3, 1])),
    ],
)
def test_balanced_weights_come_from_the_class_counts(
    term: str, expected: torch.Tensor, tiny_settings: dict[str, Any]
) -> None:
    """The loss built by name equals the one given the numbers."""
    config = make_config(tiny_settings, f"loss.classification=[{term}]")
    name = config.loss.classification[0].name
    key = next(iter(config.loss.classification[0].arguments))
    by_hand = acsnet.losses.build_loss("classification", [(name, 1.0, {key: expected.tolist()})])
    built = build_multi_task_loss(config.loss, ("classification",), [6, 3, 1])
    logits, labels = torch.randn(8, 3), torch.tensor([0, 1, 2, 0, 1, 2, 2, 2])
    result = built(acsnet.MultiTaskOutput(None, logits), None, labels)
    torch.testing.assert_close(result.total, by_hand(logits, labels))
    unweighted = acsnet.losses.build_loss("classification", [(name, 1.0, {})])
    assert not torch.allclose(result.total, unweighted(logits, labels))


@pytest.fixture
def _needs_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered network that has to know the normal class."""
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))

    @acsnet.register_model("needs_normal", publication="", adds="", needs_normal_class=True)
    class NeedsNormal(acsnet.MultiTaskModel):
        def __init__(self, normal_index: int = 2, **contract: Any) -> None:
            super().__init__(**contract)
            self.normal_index = normal_index

        def forward_tasks(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
            return acsnet.MultiTaskOutput(None, None)


@pytest.mark.usefixtures("_needs_normal")
def test_network_is_told_which_class_is_normal(tiny_settings: dict[str, Any]) -> None:
    settings = {**tiny_settings, "model": {"name": "needs_normal"}}
    config = make_config(settings, "data.classes=[normal, benign, malignant]")
    assert network_arguments(config)["normal_index"] == 0
    assert build_network(config).normal_index == 0
    without = make_config(settings, "data.classes=[benign, malignant]")
    with pytest.raises(
        ConfigError, match=r"model needs_normal needs a class 'normal', data\.classes has benign, malig"
    ):
        build_network(without)


def test_batch_larger_than_the_epoch(tiny_settings: dict[str, Any]) -> None:
    config = make_config(tiny_settings, "training.batch_size=500")
    with pytest.raises(
        ConfigError, match=r"training\.batch_size is 500, but the training subset has \d+ images: lower it"
    ):
        prepare_training(config, progress=False)


def test_augmentation_is_tried_with_the_channels_of_the_network(tiny_settings: dict[str, Any]) -> None:
    color = "augmentation=[{name: RandomFog, p: 1.0}]"
    load(make_config(tiny_settings, color))
    with pytest.raises(ConfigError, match="augmentation cannot be applied"):
        load(make_config(tiny_settings, color, "model.in_channels=1"))


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("group", ["", "a"])
def test_what_is_logged_of_the_split(grouped: bool, group: str, caplog: pytest.LogCaptureFixture) -> None:
    one, two, three = (Record(Path(f"{n}.png"), (), "benign", name=n, group=group) for n in "abc")
    config = DataConfig(classes=("benign",), folds=FoldsConfig(grouped=grouped))
    split = Split(train=(one,), val=(two,), test=(three,))
    with caplog.at_level(logging.INFO, "acsnet"):
        log_split(split, config)
    warning = (
        "data.folds.grouped is false: 1 of 1 test images have a copy, or another image of their group, in training"
    )
    expected = [("INFO", describe_split(split, ["benign"]))]
    expected += [("WARNING", warning)] if group and not grouped else []
    assert [(log.levelname, log.getMessage()) for log in caplog.records] == expected
