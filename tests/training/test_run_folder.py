import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from acsnet.config import Config, build_config, load_config
from acsnet.data import Record, Split, read_split_list
from acsnet.errors import RunError
from acsnet.training import RunFolder

# One image per subset.
SPLIT = Split(*((Record(Path(f"{part}.png"), (), "normal", part),) for part in ("train", "val", "test")))


def config(*overrides: str) -> Config:
    return build_config(
        {"model": {"name": "acsnet"}, "augmentation": [{"name": "Rotate", "p": 0.5}]}, overrides, "test"
    )


@pytest.fixture
def started(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "first")
    folder.start(config("optimizer.learning_rate=1e-5"), SPLIT, {"torch": "2.4", "gpu": None})
    return folder


def test_what_a_started_run_holds(started: RunFolder) -> None:
    assert sorted(path.name for path in started.path.iterdir()) == ["config.yaml", "environment.json", "split.csv"]
    assert read_split_list(started.split_list).hash == SPLIT.hash
    assert load_config(started.config) == config("optimizer.learning_rate=1e-5")
    assert json.loads(started.environment.read_text()) == {"torch": "2.4", "gpu": None}
    assert started.last == started.path / "last.pt"
    assert started.best == started.path / "best.safetensors"
    assert started.tensorboard == started.path / "tensorboard"


def test_history_has_one_row_per_epoch(started: RunFolder) -> None:
    started.write_history([{"epoch": 1, "dice": 0.5}])
    started.write_history([{"epoch": 1, "dice": 0.5}, {"epoch": 2, "dice": 0.25}])
    assert started.history.read_text() == "epoch,dice\n1,0.5\n2,0.25\n"


# --- new runs --------------------------------------------------------------------------------------------------------


def test_a_new_run_may_start_in_a_folder_that_is_missing_or_empty(tmp_path: Path) -> None:
    RunFolder(tmp_path / "missing").check_new()
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty").check_new()


def test_what_a_killed_process_left_half_written_is_no_run(tmp_path: Path) -> None:
    (tmp_path / ".config.123.tmp.yaml").write_text("mod")
    RunFolder(tmp_path).check_new()


def test_a_run_is_never_overwritten(started: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (started.path, tmp_path / "file"):
        with pytest.raises(RunError) as caught:
            RunFolder(path).check_new()
        assert str(caught.value) == (
            f"{path} exists already and is never overwritten: resume it by --resume, or choose another folder "
            "by --work-dir"
        )


@pytest.mark.parametrize("name", ["notes.txt", "best.safetensors", "tensorboard"])
def test_a_folder_with_something_else_is_no_place_for_a_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RunError) as caught:
        RunFolder(tmp_path).check_new()
    assert str(caught.value) == (
        f"{tmp_path} has files but no config.yaml, so it is not a run: choose another folder by --work-dir"
    )


# --- resuming --------------------------------------------------------------------------------------------------------


def test_a_run_is_resumed_with_its_own_configuration(started: RunFolder) -> None:
    started.check_resume(config("optimizer.learning_rate=1e-5"))
    started.check_resume(config("optimizer.learning_rate=1e-5", "data.root=elsewhere", "data.workers=3"))


def test_a_run_of_an_earlier_version_is_resumed(started: RunFolder) -> None:
    """Its configuration lacks the keys that were added since."""
    content = yaml.safe_load(started.config.read_text())
    del content["evaluation"]["test_time_augmentation"], content["evaluation"]["postprocessing"]
    started.config.write_text(yaml.safe_dump(content))
    started.check_resume(config("optimizer.learning_rate=1e-5"))
    with pytest.raises(RunError, match=r"evaluation\.test_time_augmentation\.vertical_flip \(False -> True\); resume"):
        started.check_resume(config("evaluation.test_time_augmentation.vertical_flip=true"))


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    for name in ("missing", "."):
        with pytest.raises(RunError, match=r"there is no run to resume in .*: start it without --resume$"):
            RunFolder(tmp_path / name).check_resume(config())


def test_another_configuration_is_refused_and_its_keys_named(started: RunFolder) -> None:
    with pytest.raises(RunError) as caught:
        started.check_resume(config("optimizer.learning_rate=1e-4", "training.epochs=3"))
    assert str(caught.value) == (
        f"{started.path} was started with another configuration: optimizer.learning_rate (1e-05 -> 0.0001), "
        "training.epochs (90 -> 3); resume it with the old one, or start a new run by --work-dir"
    )


@pytest.mark.parametrize("content", [b"", b"model: [", b"- a\n", b"\xff\xfe", b"a: !!timestamp 2024-99-99"])
def test_a_broken_configuration(started: RunFolder, content: bytes) -> None:
    started.config.write_bytes(content)
    with pytest.raises(RunError) as caught:
        started.check_resume(config())
    assert str(caught.value) == f"{started.config} is broken: fix it, or start a new run by --work-dir"


# --- the state -------------------------------------------------------------------------------------------------------


def make_state() -> dict[str, Any]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best_score": None,
        "history": [{"epoch": 1, "dice": 0.5}],
    }


def test_the_state_comes_back(started: RunFolder) -> None:
    state = make_state()
    started.save_state(state)
    loaded = started.load_state()
    assert loaded is not None
    assert {key: loaded[key] for key in ("epoch", "best_score", "history")} == {
        "epoch": 3,
        "best_score": None,
        "history": [{"epoch": 1, "dice": 0.5}],
    }
    assert all(torch.equal(value, loaded["network"][key]) for key, value in state["network"].items())
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], state["optimizer"]["state"][0]["exp_avg"])
    assert loaded["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]


def test_no_epoch_was_finished(started: RunFolder) -> None:
    assert started.load_state() is None


def test_saving_that_fails_keeps_the_state_before(started: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    started.save_state({"epoch": 1})

    def fill_the_disk(self: Path, _: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(Exception, match=r"last\.pt could not be written: the disk is full"):
        started.save_state({"epoch": 2})
    assert started.load_state() == {"epoch": 1}


class Malicious:
    """Would create a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def assert_refused(folder: RunFolder) -> None:
    with pytest.raises(RunError) as caught:
        folder.load_state()
    assert str(caught.value) == (
        f"{folder.last} is broken or contains other objects than tensors and plain values: start a new run by "
        "--work-dir"
    )


def test_objects_are_refused_and_not_executed(started: RunFolder, tmp_path: Path) -> None:
    started.save_state({"epoch": Malicious(tmp_path / "executed")})
    assert_refused(started)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_state(started: RunFolder, kept: float) -> None:
    started.save_state(make_state())
    content = started.last.read_bytes()
    started.last.write_bytes(content[: int(kept * len(content))])
    assert_refused(started)


@pytest.mark.parametrize("content", [b"a text file\n", b"\x80", bytes(100), b"\x80\x02}q\x00X"])
def test_a_state_that_is_something_else(started: RunFolder, content: bytes) -> None:
    started.last.write_bytes(content)
    assert_refused(started)


def test_broken_bytes_are_refused_or_harmless(started: RunFolder) -> None:
    """Whatever torch raises for a broken byte comes as one clear line."""
    started.save_state({"epoch": 3, "weight": torch.zeros(2)})
    content = started.last.read_bytes()
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for _ in range(150):
        broken = bytearray(content)
        for _ in range(3):
            broken[int(torch.randint(len(content), (), generator=generator))] ^= 0x55
        started.last.write_bytes(bytes(broken))
        try:
            started.load_state()
        except RunError as error:
            refused += 1
            assert "is broken or contains other objects" in str(error)  # noqa: PT017 (some of them load)
    assert refused > 20


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_states_with_one_changed_weight_are_refused(started: RunFolder, place: float) -> None:
    """torch does not compare the checksums of the archive."""
    started.save_state({"epoch": 1, "network": {"weight": torch.ones(10_000)}})
    assert started.load_state() is not None
    content = bytearray(started.last.read_bytes())
    content[int(len(content) * place)] ^= 0x01
    started.last.write_bytes(content)
    with pytest.raises(RunError, match=r"last\.pt is broken or contains other objects"):
        started.load_state()


def test_compressed_states_are_refused_unread(started: RunFolder) -> None:
    """A few kilobytes may unpack to any size."""
    started.save_state({"epoch": 1})
    with zipfile.ZipFile(started.last) as saved:
        members = {info.filename: saved.read(info) for info in saved.infolist()}
    with zipfile.ZipFile(started.last, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match=r"last\.pt is broken or contains other objects"):
        started.load_state()


def _put(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "link": "nothing"}[kind])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("pipe", r"it is a named pipe"), ("device", r"it is a device"), ("folder", r"Is a directory")],
)
def test_states_that_are_not_files_are_not_read(started: RunFolder, kind: str, reason: str) -> None:
    _put(started.last, kind)
    with pytest.raises(RunError, match=rf"last\.pt cannot be read \({reason}\): check the disk and the permissions"):
        started.load_state()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_environments_that_are_not_files_are_not_read(started: RunFolder, kind: str) -> None:
    _put(started.environment, kind)
    with pytest.raises(RunError, match=r"environment\.json is broken: put the file back"):
        started.started_environment()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pipe", "it is a named pipe"),
        ("device", "it is a device"),
        ("folder", "it is a directory"),
        ("link", "it is a link to nothing, which does not exist"),
    ],
)
def test_configurations_that_are_not_files_are_named(started: RunFolder, kind: str, reason: str) -> None:
    """The message "there is no run" would send users to a start without --resume, which refuses the folder."""
    _put(started.config, kind)
    with pytest.raises(RunError, match=rf"config\.yaml cannot be read \({reason}\): put the file back"):
        started.started_config()
