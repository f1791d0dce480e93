"""Runs that were damaged, or whose data was replaced, are refused in one line before anything is written."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from acsnet._utils.files import DiskFullError, WriteError
from acsnet.checkpoints import read_metadata, read_weights
from acsnet.config import Config, load_config
from acsnet.data import Record, Split
from acsnet.errors import RunError
from acsnet.training import RunFolder, Trainer
from acsnet.training.data import TrainingData
from acsnet.training.resuming import check_same_data, check_same_images, data_hashes, load_checked_state

# --- the data --------------------------------------------------------------------------------------------------------

NAMES = ("a.png", "b.png", "c.png", "d.png")
RECORDS = tuple(
    Record(Path(name), (), "benign", name, digest=f"pixels of {name}", mask_digest=f"mask of {name}") for name in NAMES
)


def make_data(*records: Record, swap: bool = False) -> TrainingData:
    test, val, *train = reversed(records) if swap else records
    return TrainingData(records, Split(tuple(train), (val,), (test,)), (), 0, None, None)  # type: ignore[arg-type]


@pytest.fixture
def started(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    data = make_data(*RECORDS)
    folder.start(load_config(Path("configs/acsnet_busi.yaml")), data.split, data_hashes(data))
    return folder


def change(index: int, **values: Any) -> list[Record]:
    return [replace(record, **values) if i == index else record for i, record in enumerate(RECORDS)]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (make_data(*change(0, digest="other")), "the pixels of images differ"),
        (make_data(*change(3, digest="other")), "the pixels of images differ"),
        (make_data(*change(1, mask_digest="other")), "the masks differ"),
        (make_data(*change(2, mask_digest="other")), "the masks differ"),
        (make_data(*change(2, mask_digest="x", digest="y")), "the pixels of images differ, the masks differ"),
        (make_data(*RECORDS[:3]), "the image busi/d.png is removed"),
        (make_data(*RECORDS[2:]), "2 images are, such as busi/a.png, removed"),
        (make_data(*RECORDS, replace(RECORDS[0], name="e.png")), "the image busi/e.png is added"),
        (make_data(*change(1, name="z.png")), "the image busi/b.png is removed, the image busi/z.png is added"),
        (make_data(*change(1, label="normal")), "the image busi/b.png is of another class now"),
        (make_data(*RECORDS, swap=True), "the split differs"),
    ],
)
def test_other_data_is_refused_and_named(started: RunFolder, data: TrainingData, what: str) -> None:
    before = {path: path.read_bytes() for path in started.path.iterdir()}
    with pytest.raises(RunError) as caught:
        check_same_data(started, data)
    assert str(caught.value) == (
        f"{started.path} was started on other data ({what}): point data.root at the same images, or start a new run by "
        "--work-dir"
    )
    assert {path: path.read_bytes() for path in started.path.iterdir()} == before


def test_the_same_data_at_another_place_is_accepted(started: RunFolder) -> None:
    moved = [replace(record, image=Path("elsewhere") / record.image) for record in RECORDS]
    check_same_data(started, make_data(*moved))
    environment = json.loads(started.environment.read_text())
    del environment["mask_hash"]
    started.environment.write_text(json.dumps(environment))
    check_same_data(started, make_data(*RECORDS))


def test_without_the_list_of_images_the_hashes_tell(started: RunFolder) -> None:
    started.split_list.unlink()
    with pytest.raises(RunError, match=r"was started on other data \(the pixels of images differ\)"):
        check_same_data(started, make_data(*change(0, digest="other")))


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "\x00"])
def test_a_broken_environment(started: RunFolder, content: str) -> None:
    started.environment.write_text(content)
    with pytest.raises(RunError, match=r"environment\.json is broken: put the file back, or start a new run"):
        check_same_data(started, make_data(*RECORDS))


def test_a_missing_environment(started: RunFolder) -> None:
    started.environment.unlink()
    check_same_data(started, make_data(*RECORDS))
    started.last.touch()
    with pytest.raises(RunError, match=r"environment\.json is missing, so the images that the run was started on are"):
        check_same_data(started, make_data(*RECORDS))


def test_runs_of_an_experiment_have_the_same_images(started: RunFolder, tmp_path: Path) -> None:
    check_same_images([started, RunFolder(tmp_path / "not started")], make_data(*RECORDS, swap=True))
    for changed in ({"digest": "x"}, {"mask_digest": "x"}, {"label": "normal"}):
        with pytest.raises(RunError, match=r"the images or masks differ from those of .*/run, so the two cannot be"):
            check_same_images([started], make_data(*change(3, **changed)))


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def write_picture(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    Image.fromarray(picture).save(path)


def replace_pixels(root: Path) -> None:
    path = root / "benign" / "benign (3).png"
    write_picture(path, 255 - read_picture(path))


def replace_mask(root: Path) -> None:
    path = root / "malignant" / "malignant (2)_mask.png"
    write_picture(path, read_picture(path)[:, ::-1])


def empty_mask(root: Path) -> None:
    path = root / "benign" / "benign (1)_mask.png"
    write_picture(path, 0 * read_picture(path))


def remove_image(root: Path) -> None:
    (root / "normal" / "normal (1).png").unlink()
    (root / "normal" / "normal (1)_mask.png").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("change_files", "what"),
    [
        (replace_pixels, r"the pixels of images differ"),
        (replace_mask, r"the masks differ"),
        (empty_mask, r".*the masks differ"),
        (remove_image, r"the image busi/normal/normal \(1\)\.png is removed"),
    ],
)
def test_files_that_were_replaced(
    change_files: Callable[[Path], None],
    what: str,
    run: RunFolder,
    tiny_config: Path,
    phantom_root: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(phantom_root, tmp_path / "set")
    config = load_config(tiny_config, [f"data.root={tmp_path / 'set'}"])
    change_files(tmp_path / "set")
    assert_refused(run, config, rf"run was started on other data \({what}\): point data\.root at the same images, or s")


# --- the state -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run of two epochs, which may be damaged."""
    shutil.copytree(trained_run, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def config(tiny_config: Path) -> Config:
    return load_config(tiny_config)


def edit(run: RunFolder, change: Callable[[dict[str, Any]], Any]) -> None:
    state = torch.load(run.last, weights_only=True)
    change(state)
    torch.save(state, run.last)


def assert_refused(run: RunFolder, config: Config, message: str) -> None:
    """The message matches, and nothing was written."""
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=message) as caught:
        Trainer.from_config(config, run.path, resume=True, progress=False)
    assert "\n" not in str(caught.value)
    assert "by --work-dir" in str(caught.value)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("key", ["epoch", "history", "network", "optimizer", "split_hash"])
def test_a_state_without_a_key(run: RunFolder, config: Config, key: str) -> None:
    edit(run, lambda state: state.pop(key))
    with pytest.raises(RunError, match=rf"last\.pt is not the state of a run \({key}: Field required\): put the right"):
        load_checked_state(run, config)


@pytest.mark.parametrize(
    ("key", "value"), [("epoch", "two"), ("epoch", 0), ("history", None), ("network", {"weight": 1.0}), ("steps", 2.5)]
)
def test_a_state_with_a_value_of_another_kind(run: RunFolder, config: Config, key: str, value: Any) -> None:
    edit(run, lambda state: state.update({key: value}))
    with pytest.raises(RunError, match=rf"last\.pt is not the state of a run \({key}.*: .*\): put the right file back"):
        load_checked_state(run, config)


@pytest.mark.parametrize("content", [[1, 2], "text", torch.zeros(3), 7])
def test_a_state_of_something_else(run: RunFolder, config: Config, content: Any) -> None:
    torch.save(content, run.last)
    with pytest.raises(RunError, match=r"last\.pt is not the state of a run \(the content: "):
        load_checked_state(run, config)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["network", "optimizer"])
def test_a_state_that_is_not_finite(run: RunFolder, config: Config, part: str, value: float) -> None:
    def spoil(state: dict[str, Any]) -> None:
        content = state["network"] if part == "network" else state["optimizer"]["state"][0]
        tensor = next(tensor for tensor in content.values() if tensor.ndim and tensor.is_floating_point())
        tensor[(0,) * tensor.ndim] = value

    edit(run, spoil)
    with pytest.raises(RunError, match=r"last\.pt has weights that are not finite: put the right file back, or start"):
        load_checked_state(run, config)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["history"].pop(),
        lambda state: state["history"].append(state["history"][0]),
        lambda state: state["history"][0].pop("score"),
        lambda state: state.update(epoch=1),
    ],
)
def test_a_state_with_another_history(run: RunFolder, config: Config, change: Callable[[Any], Any]) -> None:
    edit(run, change)
    with pytest.raises(RunError, match=r"last\.pt is of epoch \d, but its history is not that of \d epochs: put the"):
        load_checked_state(run, config)


def test_a_configuration_that_was_edited_in_the_folder(run: RunFolder, tiny_config: Path) -> None:
    """The command line has the same changes, so that the two agree with each other but not with the training."""
    for override, named in (
        ("training.epochs=9", r"training\.epochs \(2 -> 9\)"),
        ("optimizer.learning_rate=0.5", r"optimizer\.learning_rate \(0\.001 -> 0\.5\)"),
        ("training.seed=3", r"training\.seed \(0 -> 3\)"),
    ):
        config = load_config(tiny_config, [override])
        run.config.write_text(config.to_yaml())
        message = rf"run was trained with another configuration than config\.yaml now has: {named}; restore config"
        assert_refused(run, config, message)


def test_a_state_of_another_network(run: RunFolder, config: Config) -> None:
    edit(run, lambda state: state.update(network={"weight": torch.zeros(2)}))
    assert_refused(run, config, r"last\.pt is of another run, its network does not fit acsnet as configured: put the r")


def test_a_state_of_another_optimizer(run: RunFolder, config: Config) -> None:
    edit(run, lambda state: state["optimizer"]["param_groups"].clear())
    assert_refused(run, config, r"last\.pt is of another run, its optimizer does not fit acsnet as configured: put the")


def test_a_state_of_another_split(run: RunFolder, config: Config) -> None:
    edit(run, lambda state: state.update(split_hash="0123"))
    assert_refused(run, config, r"last\.pt is of another run, its split is 0123: put the right last\.pt back, or start")


def test_a_folder_in_the_place_of_the_state(run: RunFolder, config: Config) -> None:
    run.last.unlink()
    run.last.mkdir()
    assert_refused(run, config, r"last\.pt cannot be read \(Is a directory\): check the disk and the permissions, or s")


@pytest.mark.parametrize("kept", [["history.csv"], ["best.safetensors"], ["best.safetensors", "history.csv"]])
def test_a_state_that_is_gone(run: RunFolder, config: Config, kept: list[str]) -> None:
    for name in {"last.pt", "best.safetensors", "history.csv"} - {*kept}:
        (run.path / name).unlink()
    assert_refused(run, config, rf"last\.pt is missing although .*/run has {' and '.join(kept)} of finished epochs: pu")


# --- the best checkpoint and the history -----------------------------------------------------------------------------


def make_first_epoch_best(state: dict[str, Any]) -> None:
    state["history"][0]["score"], state["history"][1]["score"] = 0.9, 0.1


@pytest.mark.parametrize("damage", ["missing", "cut", "a changed weight", "of another epoch", "a folder"])
def test_a_best_checkpoint_that_cannot_be_had_again(run: RunFolder, config: Config, damage: str) -> None:
    edit(run, make_first_epoch_best)
    content = run.best.read_bytes()
    run.best.unlink()
    if damage == "cut":
        run.best.write_bytes(content[: len(content) // 2])
    elif damage == "a changed weight":
        run.best.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "of another epoch":
        run.best.write_bytes(content.replace(b", epoch 1", b", epoch 2"))
    elif damage == "a folder":
        run.best.mkdir()
    assert_refused(
        run,
        config,
        r"best\.safetensors is missing, broken or not of epoch 1, the best, and last\.pt is of epoch 2: put the right",
    )


def test_files_that_a_killed_process_did_not_write_are_written(run: RunFolder, config: Config) -> None:
    """After last.pt, which is the first file of an epoch: the best checkpoint and the history."""
    edit(run, lambda state: state["history"][1].update(score=1.0))
    content = run.best.read_bytes()
    network = torch.load(run.last, weights_only=True)["network"]
    split = run.split_list.read_bytes()
    for best, history in ((None, None), (content[:1000], "epoch,sc"), (content, "")):
        run.best.unlink(missing_ok=True)
        run.history.unlink(missing_ok=True)
        run.split_list.write_text("image,sub")
        if best is not None:
            run.best.write_bytes(best.replace(b", epoch 2", b", epoch 1"))
            run.history.write_text(str(history))
        Trainer.from_config(config, run.path, resume=True, progress=False).fit()
        assert read_metadata(run.best).metrics["protocol"] == "validation subset at 64x64, epoch 2"
        weights = read_weights(run.best)
        assert all(torch.equal(weights[key], value) for key, value in network.items())
        assert [line.partition(",")[0] for line in run.history.read_text().splitlines()] == ["epoch", "1", "2"]
        assert run.split_list.read_bytes() == split


# --- two processes, and disks ----------------------------------------------------------------------------------------


def test_a_process_that_was_overtaken_does_not_go_on(run: RunFolder, config: Config) -> None:
    """Another process resumed the run, and ended, between the reading of the state and the training."""
    overtaken = Trainer.from_config(config, run.path, resume=True, progress=False)
    run.save_state(torch.load(run.last, weights_only=True))
    before = run.last.read_bytes()
    with pytest.raises(RunError, match=r"another process has trained in .*/run meanwhile: run the command again"):
        overtaken.fit()
    assert run.last.read_bytes() == before


def test_a_run_in_which_another_process_trains_is_found_before_the_images_are_read(
    run: RunFolder, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acsnet.training.trainer.prepare_training", None)
    for folder, resume in ((run, True), (RunFolder(tmp_path / "new"), False)):
        with folder.claimed(), pytest.raises(RunError, match=r"another process is training in .*: wait until it ends"):
            Trainer.from_config(config, folder.path, resume=resume, progress=False)


def test_a_folder_that_cannot_be_written_is_found_before_the_images_are_read(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acsnet.training.trainer.prepare_training", None)
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/run could not be written .*: choose another folder, since a file is"):
        Trainer.from_config(config, tmp_path / "file" / "run", progress=False)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(RunError, match=r"link is a link to nowhere, which does not exist: create that folder"):
        Trainer.from_config(config, tmp_path / "link", progress=False)


@pytest.mark.parametrize("name", ["last.pt", "best.safetensors", "history.csv"])
def test_a_disk_that_fills_up_while_an_epoch_is_saved(
    name: str, tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acsnet.config import build_config

    config = build_config(tiny_settings, ["training.epochs=1"], "test")
    place = os.replace

    def fill(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        place(source, target)

    monkeypatch.setattr(os, "replace", fill)
    with pytest.raises(DiskFullError) as caught:
        Trainer.from_config(config, tmp_path / "run", progress=False).fit()
    kept = (
        f"no epoch is saved in {tmp_path / 'run'}, and --resume starts with the first one"
        if name == "last.pt"
        else f"{tmp_path / 'run'} keeps the state after epoch 1, and --resume goes on from it"
    )
    assert str(caught.value) == (
        f"{tmp_path / 'run' / name} could not be written: the disk is full; free some space and run the command again; "
        f"{kept}"
    )
    monkeypatch.undo()
    Trainer.from_config(config, tmp_path / "run", resume=True, progress=False).fit()
    assert {"last.pt", "best.safetensors", "history.csv"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_disk_that_fills_up_while_the_folder_is_started(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)
    monkeypatch.setattr(os, "replace", fill)
    with pytest.raises(
        DiskFullError, match=r"config\.yaml could not be written: the disk is full; .*; nothing is saved"
    ):
        trainer.fit()
    assert not (tmp_path / "run").exists(), "so that the same command starts again"


def test_events_that_cannot_be_written(config: Config, run: RunFolder) -> None:
    shutil.rmtree(run.tensorboard)
    run.tensorboard.write_text("in the way")
    trainer = Trainer.from_config(config, run.path, resume=True, progress=False)
    with pytest.raises(WriteError, match=r"tensorboard could not be written \(File exists\): choose .*; .*/run keeps"):
        trainer.fit()


@pytest.mark.parametrize("where", ["_train", "_validate"])
def test_an_interruption_says_what_is_kept(
    where: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer.from_config(config, tmp_path / "run", progress=False)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, where, interrupt)
    monkeypatch.setattr(trainer, "_train" if where == "_validate" else "_validate", lambda *_: {})
    caplog.set_level("INFO", "acsnet")
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    said = f"stopped in epoch 1 of 2: no epoch is saved in {tmp_path / 'run'}, and --resume starts with the first one"
    assert caplog.messages[-1] == said
