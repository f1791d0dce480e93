import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch._dynamo.utils import counters

from acsnet import load_model
from acsnet._utils.files import WriteError, write_text
from acsnet.checkpoints import read_metadata
from acsnet.config import Config, EvaluationConfig, build_config, load_config
from acsnet.data import Framing, Split, read_busi
from acsnet.data.images import read_image
from acsnet.errors import AcsnetError, ConfigError, DataError, InputError, RunError, UnknownNameError
from acsnet.inference import Predictor
from acsnet.training import Trainer
from acsnet.training.normalization import resolve_normalization
from acsnet.training.trial import trial_batch

REPOSITORY = Path(__file__).resolve().parents[2]


def make_config(settings: dict[str, Any], *overrides: str) -> Config:
    return build_config(settings, overrides, "test")


def load_last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.pt", weights_only=True)


def read_history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_run_folder_holds_everything(trained_run: Path, tiny_config: Path, phantom_root: Path) -> None:
    names = {path.name for path in trained_run.iterdir()}
    files = {"environment.json", "history.csv", "last.pt", "best.safetensors", "split.csv"}
    assert names == {"config.yaml", "tensorboard", *files}
    assert load_config(trained_run / "config.yaml") == resolve_normalization(load_config(tiny_config), ())
    environment = json.loads((trained_run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert environment["dataset"]["n"] == len(read_busi(phantom_root))
    history = read_history(trained_run)
    assert [row["epoch"] for row in history] == ["1", "2"]
    for row in history:
        score = 0.7 * float(row["val_dice"]) + 0.3 * float(row["val_accuracy"])
        assert float(row["score"]) == pytest.approx(score)
        assert float(row["peak_memory_mb"]) > 50


def test_checkpoint_rebuilds_the_network(trained_run: Path) -> None:
    metadata = read_metadata(trained_run / "best.safetensors")
    assert metadata.class_names == ("benign", "malignant", "normal")
    assert metadata.split_hash == json.loads((trained_run / "environment.json").read_text())["split_hash"]
    assert metadata.config["data"]["root"] is None, "a checkpoint holds no path of the machine"
    best = max(read_history(trained_run), key=lambda row: float(row["score"]))
    assert metadata.metrics["dice"] == float(best["val_dice"])
    assert f"epoch {best['epoch']}" in metadata.metrics["protocol"]
    output = load_model(trained_run / "best.safetensors")(torch.zeros(1, 3, 64, 64))
    assert output.mask.shape == (1, 1, 64, 64)
    assert output.label.shape == (1, 3)


def test_tensorboard_has_scalars_and_panels(trained_run: Path) -> None:
    events = EventAccumulator(str(trained_run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("val/dice")] == [1, 2]
    assert {"train/loss", "train/learning_rate", "val/accuracy", "val/score", "epoch/seconds"} <= set(
        events.Tags()["scalars"]
    )
    assert len(events.Images("validation")) == 2


def test_a_framing_is_trained_and_stored(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    """The network is trained on the framed images of the cache, and the checkpoint predicts with the same framing."""
    overrides = ("data.crop_margins=true", "data.keep_aspect=true", "training.epochs=1")
    trainer = Trainer.from_config(make_config(tiny_settings, *overrides), tmp_path / "run", progress=False)
    best = trainer.fit()
    metadata = read_metadata(best)
    assert (metadata.crop_margins, metadata.keep_aspect) == (True, True)
    framing = Framing.of(metadata)
    assert framing == Framing.of(trainer.config.data)
    record = trainer.data.records[0]
    image = read_image(record.image)
    expected = framing.frame(image, metadata.input_size).image_to_input(image)
    np.testing.assert_array_equal(trainer.data.cache.images[0], expected)
    predicted = Predictor.from_checkpoint(best)(record.image)
    assert predicted.mask is not None
    assert predicted.mask.shape == image.shape[:2]


def test_validation_never_sees_the_test_subset(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer.from_config(make_config(tiny_settings), tmp_path / "run", progress=False)
    split: Split = trainer.data.split
    train, val, test = ({record.name for record in subset} for subset in (split.train, split.val, split.test))
    assert not train & val
    assert not test & (train | val)
    assert len(trainer.loaders.train.dataset) == len(split.train)  # type: ignore[arg-type]
    assert len(trainer.loaders.val_dataset) == len(split.val)


def test_a_checkpoint_that_was_selected_on_the_test_subset_is_stamped(
    tiny_settings: dict[str, Any], trained_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(tiny_settings, "data.folds.validation=test", "training.epochs=1")
    best = Trainer.from_config(config, tmp_path / "run", progress=False).fit()
    metadata = read_metadata(best)
    assert metadata.selected_on == "test"
    assert metadata.metrics["protocol"].startswith("test subset at 64x64")
    assert "data.folds.validation is test: the best epoch is selected on the test subset" in caplog.text
    assert read_metadata(trained_run / "best.safetensors").selected_on == "validation"
    subsets = {row["subset"] for row in csv.DictReader((tmp_path / "run" / "split.csv").open())}
    assert subsets == {"train", "test"}


@pytest.mark.parametrize("seed", [42_949, 20_240_101, 2**32 - 1])
def test_large_seeds_train(seed: int, tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = build_config(tiny_settings, [f"training.seed={seed}", "training.epochs=1"], "test")
    assert Trainer.from_config(config, tmp_path / "run", progress=False).fit().is_file()


def test_same_seed_same_weights_other_seed_others(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = make_config(tiny_settings, "training.epochs=1", f"training.seed={seed}")
        Trainer.from_config(config, tmp_path / name, progress=False).fit()
        states.append(load_last(tmp_path / name)["network"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_killed_and_resumed_run_ends_with_the_same_weights(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch, then --resume: the same result as an uninterrupted run, bit for bit."""
    settings = {**tiny_settings, "loss": {"weighting": "uncertainty"}, "schedule": {"warmup_epochs": 1}}
    settings["training"] = {**tiny_settings["training"], "epochs": 6, "ema_decay": 0.9, "gradient_clip": 1.0}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    Trainer.from_config(load_config(config), tmp_path / "whole", progress=False).fit()

    command = [
        sys.executable,
        str(REPOSITORY / "tools" / "train.py"),
        str(config),
        "--work-dir",
        str(tmp_path / "killed"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        wait_for(tmp_path / "killed" / "last.pt", process)
        # Well inside the next epoch: the whole run has six of them.
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
    finished = load_last(tmp_path / "killed")["epoch"]
    assert process.returncode == -signal.SIGKILL
    assert 1 <= finished < 6

    Trainer.from_config(load_config(config), tmp_path / "killed", resume=True, progress=False).fit()
    whole, killed = load_last(tmp_path / "whole"), load_last(tmp_path / "killed")
    for part in ("network", "ema", "loss"):
        assert whole[part].keys() == killed[part].keys()
        for key, value in whole[part].items():
            assert torch.equal(value, killed[part][key]), f"{part}.{key}"
    assert (tmp_path / "whole" / "best.safetensors").read_bytes() == (
        tmp_path / "killed" / "best.safetensors"
    ).read_bytes()
    measured = [
        {k: v for k, v in row.items() if k not in ("seconds", "peak_memory_mb")}
        for row in read_history(tmp_path / "killed")
    ]
    assert measured == [
        {k: v for k, v in row.items() if k not in ("seconds", "peak_memory_mb")}
        for row in read_history(tmp_path / "whole")
    ]


def wait_for(path: Path, process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(f"the training ended early: {process.stderr.read()}")
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_resuming_a_finished_run_changes_nothing(trained_run: Path, tiny_config: Path) -> None:
    before = (trained_run / "last.pt").read_bytes()
    trainer = Trainer.from_config(load_config(tiny_config), trained_run, resume=True, progress=False)
    assert trainer.epoch == 2
    trainer.fit()
    assert (trained_run / "last.pt").read_bytes() == before


def test_existing_run_is_not_overwritten(trained_run: Path, tiny_config: Path) -> None:
    with pytest.raises(RunError, match=r"exists already and is never overwritten: resume it by --resume"):
        Trainer.from_config(load_config(tiny_config), trained_run, progress=False)


def test_resume_names_changed_keys(trained_run: Path, tiny_config: Path) -> None:
    changed = load_config(tiny_config, ["training.epochs=3", "optimizer.learning_rate=0.5"])
    with pytest.raises(RunError, match=r"optimizer.learning_rate \(0.001 -> 0.5\), training.epochs \(2 -> 3\)"):
        Trainer.from_config(changed, trained_run, resume=True, progress=False)


def test_resume_of_nothing(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run to resume in .*: start it without --resume"):
        Trainer.from_config(load_config(tiny_config), tmp_path / "none", resume=True, progress=False)


def test_resume_on_other_data(trained_run: Path, tiny_config: Path, tmp_path: Path) -> None:
    from acsnet.phantom import write_phantoms

    counts = {"benign": 14, "malignant": 12, "normal": 11}
    write_phantoms(tmp_path / "other", counts, size=(64, 64), vary_size=False, progress=False)
    config = load_config(tiny_config, [f"data.root={tmp_path / 'other'}"])
    with pytest.raises(RunError, match="was started on other data"):
        Trainer.from_config(config, trained_run, resume=True, progress=False)


@pytest.mark.parametrize("step", [2, 4], ids=["in the middle", "last of the epoch"])
def test_loss_that_becomes_nan_names_epoch_and_step_and_keeps_checkpoints(
    step: int, tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer.from_config(make_config(tiny_settings, "training.epochs=3"), tmp_path / "run", progress=False)
    forward = trainer.loss.forward
    calls = 0

    def poisoned(*arguments: Any) -> Any:
        nonlocal calls
        calls += trainer.model.training
        values = forward(*arguments)
        # After the trial step and the four whole batches of the training subset, epoch 2 starts.
        return values._replace(total=values.total * float("nan")) if calls == 5 + step else values

    monkeypatch.setattr(trainer.loss, "forward", poisoned)
    assert len(trainer.train_batches) == 4
    with pytest.raises(
        RunError, match=f"the loss became nan in epoch 2, step {step}: .* the checkpoints of epoch 1 in"
    ):
        trainer.fit()
    assert calls <= 6 + step, "one step later it is known"
    state = load_last(tmp_path / "run")
    assert state["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in state["network"].values())
    assert load_model(tmp_path / "run" / "best.safetensors") is not None


def test_a_network_whose_outputs_are_not_finite_is_not_saved(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses were finite in all steps: the last step spoiled the weights."""
    trainer = Trainer.from_config(make_config(tiny_settings), tmp_path / "run", progress=False)
    train = trainer._train

    def spoil(reporter: Any) -> Any:
        means = train(reporter)
        with torch.no_grad():
            next(trainer.network.parameters()).fill_(float("nan"))
        return means

    monkeypatch.setattr(trainer, "_train", spoil)
    message = r"^the outputs of the network are not finite after epoch 1: training stopped, nothing is saved; lo"
    with pytest.raises(RunError, match=message):
        trainer.fit()
    assert not (tmp_path / "run" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        (
            {},
            ["data.image_size=[32, 32]", "training.batch_size=1"],
            "acsnet cannot be trained with 1 images of 32x32: ",
        ),
        (
            {"name": "mt_nnunet", "arguments": {"width": 4}},
            ["data.image_size=[32, 32]"],
            "mt_nnunet cannot be trained with 4 images of 32x32: ",
        ),
    ],
    ids=["one value per channel", "one pixel"],
)
def test_a_network_that_cannot_take_the_batch_leaves_no_folder(
    model: dict[str, Any], overrides: list[str], message: str, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    config = make_config({**tiny_settings, "model": model or tiny_settings["model"]}, *overrides)
    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match=message):
        trainer.fit()
    assert not (tmp_path / "run").exists()


def test_a_step_that_does_not_fit_into_memory_leaves_no_folder(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer.from_config(make_config(tiny_settings), tmp_path / "run", progress=False)

    def forward(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(trainer, "_losses", forward)
    message = (
        r"^a training step of acsnet with 4 images of 64x64 does not fit into memory: lower training\.batch_size or "
        r"data\.image_size$"
    )
    with pytest.raises(ConfigError, match=message):
        trainer.fit()
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_made(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer.from_config(make_config(tiny_settings), tmp_path / "file" / "run", progress=False)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        WriteError, match=r"file/run could not be written \(.*\): choose another folder, since a file is"
    ):
        trainer.fit()


def test_the_trial_step_changes_nothing(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer.from_config(make_config(tiny_settings), tmp_path / "run", progress=False)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    trainer._try_step()
    after = trainer.network.state_dict()
    assert any("running_mean" in name for name in before), "batch normalization has statistics to keep"
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in trainer.network.parameters())


@pytest.mark.parametrize(
    ("device", "batch", "size", "processes", "images"),
    [
        ("cpu", 8, 64, 1, 2),
        ("cpu", 8, 64, 8, 1),
        ("cpu", 1, 64, 1, 1),
        ("cpu", 16, 256, 1, 2),
        ("cpu", 17, 256, 1, 17),
        ("meta", 8, 64, 1, 8),
        ("meta", 8, 64, 2, 4),
    ],
)
def test_a_trial_on_a_cpu_is_small_unless_memory_may_be_short(
    tiny_settings: dict[str, Any], device: str, batch: int, size: int, processes: int, images: int
) -> None:
    config = make_config(tiny_settings, f"training.batch_size={batch}", f"data.image_size=[{size}, {size}]")
    sample = trial_batch(config, processes, torch.device(device))
    assert sample["image"].shape[:3] == (images, size, size)
    assert sample["mask"].shape == (images, 1, size, size)
    assert sample["label"].shape == (images,)


def test_a_trial_of_a_compiled_step_has_its_shape(tiny_settings: dict[str, Any]) -> None:
    config = make_config(tiny_settings, "training.compile=true", "training.batch_size=5")
    assert len(trial_batch(config, 1, torch.device("cpu"))["image"]) == 5


def test_two_trainings_cannot_share_a_folder(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    """Both checked the folder before either had written anything."""
    first, second, third = (
        Trainer.from_config(make_config(tiny_settings, f"training.seed={seed}"), tmp_path / "run", progress=False)
        for seed in range(3)
    )
    errors = []

    def start_second(_row: Mapping[str, Any]) -> None:
        with pytest.raises(RunError) as caught:
            second.fit()
        errors.append(str(caught.value))

    first.fit(start_second)
    assert len(errors) == 2
    assert set(errors) == {
        f"another process is training in {tmp_path / 'run'}: wait until it ends, or choose another folder by --work-dir"
    }
    with pytest.raises(RunError, match="run exists already and is never overwritten: resume it by --resume"):
        third.fit()
    assert len(list((tmp_path / "run" / "tensorboard").glob("events*"))) == 1


def test_the_callback_gets_each_epoch_and_may_end_the_training(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(tiny_settings, "training.epochs=3")
    rows = []

    def stop_at_two(row: Mapping[str, Any]) -> None:
        rows.append(dict(row))
        if row["epoch"] == 2:
            raise InterruptedError

    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)
    with pytest.raises(InterruptedError):
        trainer.fit(stop_at_two)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["epoch"] for row in read_history(tmp_path / "run")] == ["1"], "the second is not saved"
    resumed = Trainer.from_config(config, tmp_path / "run", resume=True, progress=False)
    resumed.fit(lambda row: rows.append(dict(row)))
    assert [row["epoch"] for row in rows] == [1, 2, 2, 3]
    assert rows[1]["loss"] == rows[2]["loss"]


def test_a_run_killed_while_its_folder_was_written_is_resumed(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(tiny_settings, "training.epochs=1")
    write_text(tmp_path / "run" / "config.yaml", config.to_yaml())
    Trainer.from_config(config, tmp_path / "run", resume=True, progress=False).fit()
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["split_hash"]


def test_compiled_steps_train_as_plain_ones(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_, seen = torch.compile, []

    def compile_quickly(function: Any, **options: Any) -> Any:
        """Without the code generator, which takes minutes."""
        seen.append(options)
        return compile_(function, dynamic=options["dynamic"], backend="aot_eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", compile_quickly)
    overrides = ("training.epochs=2", "training.precision=float32", "training.ema_decay=0.9")
    for name in ("false", "true"):
        config = make_config(tiny_settings, *overrides, f"training.compile={name}")
        torch.compiler.reset()
        counters.clear()
        Trainer.from_config(config, tmp_path / name, progress=False).fit()
    assert [options["mode"] for options in seen] == ["default" if not torch.cuda.is_available() else "reduce-overhead"]
    assert counters["stats"]["unique_graphs"] == 1, "neither validation nor a last batch is compiled"
    plain, compiled = (load_last(tmp_path / name)["network"] for name in ("false", "true"))
    assert list(plain) == list(compiled), "compiling does not change the keys"
    for row, other in zip(read_history(tmp_path / "false"), read_history(tmp_path / "true"), strict=True):
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=1e-3)
    assert load_model(tmp_path / "true" / "best.safetensors") is not None


def test_early_stopping(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(tiny_settings, "training.epochs=9", "training.patience=2")
    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)
    # The score is constant, so no epoch is better than the first.
    trainer.selection = lambda _: 0.5
    trainer.fit()
    assert len(read_history(tmp_path / "run")) == 3


def test_selection_by_the_number_of_the_epoch_keeps_the_last(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(
        tiny_settings, "training.epochs=3", "training.selection={epoch: 1}", "optimizer.learning_rate=1e-9"
    )
    best = Trainer.from_config(config, tmp_path / "run", progress=False).fit()
    assert [float(row["score"]) for row in read_history(tmp_path / "run")] == [1, 2, 3]
    assert read_metadata(best).metrics["protocol"].endswith("epoch 3")


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_single_task(task: str, tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    metric = {"segmentation": "dice", "classification": "accuracy"}[task]
    config = make_config(
        tiny_settings,
        f"model.tasks=[{task}]",
        f"training.selection={{{metric}: 1}}",
        "training.epochs=1",
        "data.mean=[0.3]",
    )
    Trainer.from_config(config, tmp_path / "run", progress=False).fit()
    (row,) = read_history(tmp_path / "run")
    assert f"val_{metric}" in row
    assert ("val_accuracy" in row) == (task == "classification")
    assert np.isfinite(float(row["loss"]))


def test_one_channel_and_float32_and_sgd(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(
        tiny_settings,
        "model.in_channels=1",
        "training.precision=float32",
        "training.epochs=1",
        "optimizer.name=sgd",
        "schedule.name=plateau",
        "training.channels_last=false",
        "evaluation.threshold=validation",
        "evaluation.postprocessing.fill_holes=true",
    )
    Trainer.from_config(config, tmp_path / "run", progress=False).fit()
    metadata = read_metadata(tmp_path / "run" / "best.safetensors")
    assert metadata.arguments["in_channels"] == 1
    assert metadata.evaluation == EvaluationConfig(postprocessing={"fill_holes": True}), "its threshold is a number"
    assert load_config(tmp_path / "run" / "config.yaml").evaluation.threshold == "validation"
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["precision"] == "float32"


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        (
            "training.selection={dise: 0.7}",
            UnknownNameError,
            "unknown metric in training.selection 'dise': did you mean 'dice'",
        ),
        pytest.param(
            "training.precision=float16",
            ConfigError,
            "training.precision is float16, which needs a GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU takes float16"),
        ),
        ("data.image_size=[60, 64]", InputError, "images are 60x64 .* the nearest valid size is 64x64"),
        ("training.batch_size=1000", ConfigError, "training.batch_size is 1000, but the training subset has"),
        ("data.root=/nowhere", DataError, "there is no data root /nowhere: download BUSI"),
        ("data.classes=[benign, malignant, cyst]", DataError, "no training image of class cyst"),
        ("data.root=null", DataError, "no data is named"),
        ("model.name=acsnett", UnknownNameError, "unknown network 'acsnett': did you mean 'acsnet'"),
        ("loss.segmentation=[{name: dise}]", UnknownNameError, "unknown segmentation loss 'dise': did you mean 'dice'"),
    ],
)
def test_nothing_is_written_when_the_training_cannot_start(
    override: str, error: type[AcsnetError], message: str, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        Trainer.from_config(make_config(tiny_settings, override), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_as_one(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    """torchrun: the batch is shared, the metrics are over all images, the weights are close to those of one process."""
    settings = {**tiny_settings, "augmentation": [], "loss": {"weighting": "uncertainty"}}
    settings["model"] = {**tiny_settings["model"], "arguments": tiny_settings["model"]["arguments"]}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29617"]
    command += [str(REPOSITORY / "tools" / "train.py"), str(config), "--work-dir", str(tmp_path / "two")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2
    Trainer.from_config(load_config(config), tmp_path / "one", progress=False).fit()
    for two, one in zip(read_history(tmp_path / "two"), read_history(tmp_path / "one"), strict=True):
        # Batch normalization sees half a batch per process, so the losses are close and not equal.
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=0.1)
