import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from acsnet import create_model, load_model
from acsnet._utils.download import file_sha256
from acsnet.checkpoints import open_checkpoint, read_metadata, read_weights, rewrite_metadata, save_checkpoint
from acsnet.config import Config, build_config
from acsnet.data import CachedRecords
from acsnet.data.images import to_channels, to_network_input
from acsnet.errors import AcsnetError, CheckpointError, ConfigError, InputError, UnknownNameError
from acsnet.evaluation.protocol import resolve_test_config, run_test
from acsnet.experiments import save_ensemble
from acsnet.losses import DistillationLoss
from acsnet.models import MultiTaskOutput
from acsnet.training import Trainer, prepare_training
from acsnet.training.teacher import GrayscaleAdapter


def student(settings: dict[str, Any], teacher: Path, *overrides: str) -> Config:
    named = [f"loss.distillation.teacher={teacher}", "training.seed=5"]
    return build_config(settings, [*named, *overrides], "test")


@pytest.fixture(scope="module")
def teacher(trained_run: Path) -> Path:
    return trained_run / "best.safetensors"


@pytest.fixture(scope="module")
def ensemble(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    fold = folder / "fold.safetensors"
    rewrite_metadata(teacher, fold, read_metadata(teacher).model_copy(update={"split_hash": "another fold"}))
    save_ensemble(folder / "ensemble.safetensors", [teacher, fold])
    return folder / "ensemble.safetensors"


def distance(trainer: Trainer) -> float:
    """Return the distance of the student from its teacher over the validation images."""
    dataset = trainer.loaders.val_dataset
    images = torch.stack([dataset[(index, 0)]["image"] for index in range(len(dataset))])
    inputs = to_network_input(images, trainer.config.data.mean, trainer.config.data.std)
    assert trainer.teacher is not None
    with torch.no_grad():
        taught: MultiTaskOutput = trainer.teacher.network(inputs)
        own = trainer.network.eval()(inputs)
    loss = DistillationLoss(temperature=1.0)
    # Minus the minimum of the cross entropy, the teacher's own entropy: 0 for equal probabilities.
    return float(loss(own, taught) - loss(taught, taught))


def test_a_student_of_the_teacher_alone_approaches_it(
    teacher: Path, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    config = student(tiny_settings, teacher, "loss.distillation.weight=1.0", "training.epochs=6", "augmentation=[]")
    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)
    before = distance(trainer)
    trainer.fit()
    assert distance(trainer) < 0.5 * before
    history = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    losses = [float(row["distillation_loss"]) for row in history]
    assert losses[-1] < losses[0]
    assert [float(row["loss"]) for row in history] == pytest.approx(losses, rel=1e-5)
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["teacher"][0]
    metadata = read_metadata(teacher)
    assert recorded == {
        "sha256": file_sha256(teacher),
        "model": "acsnet",
        "members": 1,
        "split_hash": metadata.split_hash,
        "same_split": True,
    }
    own = read_metadata(tmp_path / "run" / "best.safetensors")
    assert (
        f"distilled from a teacher of the same split (acsnet, SHA-256 {recorded['sha256']})" in own.metrics["protocol"]
    )
    assert own.config["loss"]["distillation"]["teacher"] == [teacher.name], "no path of the machine"
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert not state["loss"], "the teacher's weights are its own file's"


def test_the_teacher_does_not_change_and_sees_the_batch(
    teacher: Path, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    config = student(tiny_settings, teacher, "training.epochs=1")
    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)
    assert trainer.teacher is not None
    seen: list[torch.Tensor] = []
    both: list[torch.Tensor] = []
    trainer.teacher.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer.network.register_forward_pre_hook(
        lambda module, inputs: both.append(inputs[0]) if module.training else None
    )
    trainer.fit()
    assert len(seen) == len(both) > 0
    assert all(torch.equal(one, other) for one, other in zip(seen, both, strict=True))
    assert not trainer.teacher.network.training
    weights = read_weights(teacher)
    assert all(torch.equal(value, weights[key]) for key, value in trainer.teacher.network.state_dict().items())


def test_the_teacher_leaves_the_first_weights_to_the_seed(teacher: Path, tiny_settings: dict[str, Any]) -> None:
    alone = prepare_training(build_config(tiny_settings, ["training.seed=5"], "test"), progress=False)
    taught = prepare_training(student(tiny_settings, teacher), progress=False)
    expected = alone.network.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in taught.network.state_dict().items())


OTHER_SPLIT = (
    r"the teacher may have been trained on images that are validated and tested here; use a teacher of the same"
)


def test_a_teacher_of_another_split_is_refused(teacher: Path, tiny_settings: dict[str, Any]) -> None:
    hash_ = read_metadata(teacher).split_hash
    with pytest.raises(ConfigError, match=rf"best\.safetensors is trained on the split {hash_}, .*{OTHER_SPLIT}"):
        prepare_training(student(tiny_settings, teacher, "data.folds.index=1"), progress=False)


def test_an_ensemble_is_refused_unless_it_is_allowed(
    ensemble: Path, tiny_settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=rf"is an ensemble of several splits, .*{OTHER_SPLIT}"):
        prepare_training(student(tiny_settings, ensemble), progress=False)
    allowed = "loss.distillation.allow_other_split=true"
    best = Trainer.from_config(
        student(tiny_settings, ensemble, allowed, "training.epochs=1"), tmp_path / "run", progress=False
    ).fit()
    metadata = read_metadata(best)
    text = "distilled from a teacher of ANOTHER split, which may have seen these images (ensemble of 2 acsnet, SHA-256 "
    assert text in metadata.metrics["protocol"]
    assert metadata.taught_across_splits
    with caplog.at_level(logging.WARNING, "acsnet"):
        checkpoint = open_checkpoint(best)
        run_test(checkpoint, resolve_test_config(checkpoint, None, []), progress=False)
    assert (
        "the checkpoint's teacher may have been trained on the tested images: the metrics are too good" in caplog.text
    )
    # Such a student may not teach either.
    with pytest.raises(ConfigError, match=rf", with a teacher of another split, this training uses .*{OTHER_SPLIT}"):
        prepare_training(student(tiny_settings, best), progress=False)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("data.classes=[malignant, benign, normal]", ConfigError, r"data\.classes is \['malignant', .* the teacher's"),
        (
            "model.tasks=[segmentation]",
            ConfigError,
            r"model\.tasks is \['segmentation'\], the teacher's \(.*\) is \['cl",
        ),
        (
            "model.in_channels=1",
            ConfigError,
            r"model\.in_channels is 1, the teacher's \(.*\) is 3: set it to the teacher's",
        ),
        ("loss.distillation.teacher=acsnet_bsui", UnknownNameError, "unknown released checkpoint 'acsnet_bsui'"),
        (
            "data.mean=[0.5]",
            ConfigError,
            r"loss\.distillation: data\.mean is \[0\.5\], the teacher's \(.*\) is \[0\.33\]",
        ),
        ("data.std=[0.5]", ConfigError, r"data\.std is \[0\.5\], the teacher's"),
        ("loss.distillation.teacher=none.safetensors", CheckpointError, "there is no checkpoint none"),
    ],
)
def test_a_teacher_that_does_not_fit(
    override: str, error: type[AcsnetError], message: str, teacher: Path, tiny_settings: dict[str, Any]
) -> None:
    config = student(tiny_settings, teacher, override, "training.selection={loss: 1}")
    # Checked before any record is read.
    with pytest.raises(error, match=message) as caught:
        prepare_training(config, progress=False, images=CachedRecords([], None))
    assert "\n" not in str(caught.value)


def test_several_teachers_of_other_channels(teacher: Path, tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    """Their mean; a teacher with one channel gets the luminance."""
    gray = create_model("unet", num_classes=3, in_channels=1, width=4, depth=2)
    arguments = {"in_channels": 1, "width": 4, "depth": 2}
    metadata = read_metadata(teacher).model_copy(update={"model": "unet", "arguments": arguments})
    path = tmp_path / "gray.safetensors"
    save_checkpoint(path, gray.state_dict(), metadata)
    both = student(tiny_settings, teacher, f"loss.distillation.teacher=[{teacher}, {path}]")
    prepared = prepare_training(both, progress=False)
    assert prepared.teacher is not None
    assert [record["model"] for record in prepared.teacher.record] == ["acsnet", "unet"]
    assert prepared.teacher.protocol.startswith("distilled from a teacher of the same split (acsnet, SHA-256 ")
    assert both.for_metadata()["loss"]["distillation"]["teacher"] == [teacher.name, path.name]
    images = torch.randn(2, 3, 64, 64)
    luminance = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        taught = prepared.teacher.network(images)
        parts = [load_model(teacher)(images), gray.eval()(luminance)]
    mask = torch.stack([part.mask.sigmoid() for part in parts]).mean(0)
    torch.testing.assert_close(taught.mask.sigmoid(), mask, atol=1e-5, rtol=0)
    label = torch.stack([part.label.softmax(1) for part in parts]).mean(0)
    torch.testing.assert_close(taught.label.softmax(1), label, atol=1e-5, rtol=0)


def test_luminance_equals_the_conversion_to_one_channel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    network = GrayscaleAdapter(nn.Identity())
    own = network(to_network_input(torch.from_numpy(image)[None], (0.33,), (0.2,)))
    read = to_network_input(torch.from_numpy(to_channels(image, 1))[None], (0.33,), (0.2,))
    # Half a gray level of rounding.
    assert (own - read).abs().max() * 0.2 * 255 < 0.51


def test_a_size_that_the_teacher_cannot_take(tiny_settings: dict[str, Any], teacher: Path, tmp_path: Path) -> None:
    """A student with another divisor than its teacher's."""
    path = tmp_path / "unet.safetensors"
    arguments = {"in_channels": 3, "tasks": ["segmentation", "classification"]}
    save_checkpoint(
        path,
        create_model("fpn_resnet50", num_classes=3, encoder="resnet18").state_dict(),
        read_metadata(teacher).model_copy(
            update={"model": "fpn_resnet50", "arguments": {**arguments, "encoder": "resnet18"}}
        ),
    )
    settings = {**tiny_settings, "model": {"name": "mt_unetpp", "arguments": {"widths": [4] * 6}}}
    config = student(settings, path, "data.image_size=[48, 48]")
    with pytest.raises(InputError, match=r"images are 48x48 .* multiples of 32"):
        prepare_training(config, progress=False)
