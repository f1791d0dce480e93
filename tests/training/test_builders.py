import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import acsnet
from acsnet.config import Config, DataConfig, FoldsConfig, build_config
from acsnet.data import Record, Split, describe_split, images, load_cached_records
from acsnet.errors import ConfigError, DataError, RunError
from acsnet.losses import class_weights_from_counts, focal_alpha_from_counts
from acsnet.models import _registry
from acsnet.training import RunFolder, Trainer, preparation, prepare_training
from acsnet.training.builders import build_augmentation, build_loss, build_model, model_arguments
from acsnet.training.data import TrainingData, build_data, build_loaders, log_split


def make_config(settings: dict[str, Any], *overrides: str) -> Config:
    return build_config(settings, overrides, "test")


def load(config: Config) -> TrainingData:
    channels = config.model.in_channels
    augmentation = build_augmentation(config.augmentation, config.data.image_size, channels)
    return build_data(config.data, load_cached_records(config.data, channels, progress=False), augmentation)


def test_oversampled_epoch_is_balanced_and_validation_is_not(tiny_settings: dict[str, Any]) -> None:
    # Few enough normal cases to be repeated: 14 benign, 12 malignant, 10 normal, of which the split keeps about half.
    config = make_config(tiny_settings, "data.oversample=largest_class")
    data = load(config)
    trained = Counter(record.label for record in data.split.train)
    factors = {label: round(max(trained.values()) / count) for label, count in trained.items()}
    assert data.class_counts(config.data.classes) == [trained[c] * factors[c] for c in config.data.classes]
    loaders = build_loaders(data, config.data, config.training)
    assert len(loaders.sampler) == len(data.drawn)
    assert len(loaders.val_dataset) == len(data.split.val)


def test_plain_copies_come_first_and_are_not_augmented(tiny_settings: dict[str, Any]) -> None:
    flip = "augmentation=[{name: VerticalFlip, p: 1.0}]"
    config = make_config(tiny_settings, "data.plain_copies=true", flip)
    data = load(config)
    half = len(data.split.train)
    assert data.drawn == data.split.train * 2
    assert data.plain == half
    dataset = build_loaders(data, config.data, config.training).train.dataset
    for index in range(half):
        plain, flipped = dataset[(index, 0)], dataset[(index + half, 0)]
        assert torch.equal(plain["image"].flip(0), flipped["image"])
        assert torch.equal(plain["mask"].flip(1), flipped["mask"])
        assert plain["label"] == flipped["label"]


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
    built = build_loss(config.loss, ("classification",), [6, 3, 1])
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
def test_a_model_that_needs_it_gets_the_index_of_the_normal_class(tiny_settings: dict[str, Any]) -> None:
    settings = {**tiny_settings, "model": {"name": "needs_normal"}}
    config = make_config(settings, "data.classes=[normal, benign, malignant]")
    assert model_arguments(config.model, config.data.classes)["normal_index"] == 0
    assert build_model(config.model, config.data.classes).normal_index == 0
    without = make_config(settings, "data.classes=[benign, malignant]")
    with pytest.raises(
        ConfigError, match=r"model needs_normal needs a class 'normal', data\.classes has benign, malig"
    ):
        build_model(without.model, without.data.classes)


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
    expected = [("INFO", line) for line in describe_split(split, ["benign"]).splitlines()]
    expected += [("WARNING", warning)] if group and not grouped else []
    assert [(log.levelname, log.getMessage()) for log in caplog.records] == expected


def test_preparing_and_training_are_two_steps(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    prepared = prepare_training(make_config(tiny_settings, "training.epochs=1"), progress=False)
    assert not list(tmp_path.iterdir()), "preparing writes no run folder"
    trainer = Trainer(prepared, RunFolder(tmp_path / "run"), progress=False)
    assert trainer.data is prepared.data
    assert not (tmp_path / "run").exists()
    assert trainer.fit() == tmp_path / "run" / "best.safetensors"
    with pytest.raises(RunError, match="exists already and is never overwritten"):
        Trainer(prepared, RunFolder(tmp_path / "run"), progress=False)


def test_folds_share_the_decoded_images(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the jobs of a cross-validation do: each file is decoded by the first one only."""
    decoded: Counter[str] = Counter()
    open_image = images._open

    def count(path: Path, load: bool = True) -> Any:
        decoded[str(path)] += load
        return open_image(path, load)

    monkeypatch.setattr(images, "_open", count)
    for fold in (0, 1):
        config = make_config(tiny_settings, f"data.cache={tmp_path}", f"data.folds.index={fold}")
        prepare_training(config, progress=False)
        assert set(decoded.values()) == {1}
        assert len(decoded) == len(list(Path(tiny_settings["data"]["root"]).rglob("*.png")))


def test_a_new_network_has_no_operating_points(tiny_settings: dict[str, Any]) -> None:
    """Refused before any image is decoded."""
    config = make_config(tiny_settings, "data.root=/nowhere", "evaluation.operating_point=specificity_90")
    with pytest.raises(ConfigError, match="operating_point is specificity_90, but a new network has no"):
        prepare_training(config, progress=False)


def test_missing_data_is_found_before_weights_are_downloaded(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "build_model", lambda *_: pytest.fail("the network is built too early"))
    config = make_config(tiny_settings, "model.encoder_weights=imagenet", f"data.root={tmp_path / 'none'}")
    with pytest.raises(DataError, match=r"there is no data root .*none"):
        prepare_training(config, progress=False)
