"""Trackers: their names, what they get, offline without an account, resuming, and failures."""

import json
import logging
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from accelerate import PartialState
from accelerate.tracking import GeneralTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from acsnet._utils.files import WriteError
from acsnet.config import Config, build_config
from acsnet.errors import ConfigError, UnknownNameError
from acsnet.training import RunFolder, Trainer, prepare_training, trackers
from acsnet.training.tracker_settings import PACKAGES, TrackedRun, has_wandb_account, settings_of
from acsnet.training.trackers import Trackers, check_trackers, list_trackers, plain_settings

ACCOUNTS = (
    "WANDB_API_KEY",
    "WANDB_IDENTITY_TOKEN_FILE",
    "WANDB_BASE_URL",
    "WANDB_MODE",
    "WANDB_DIR",
    "WANDB_PROJECT",
    "COMET_API_KEY",
    "SWANLAB_API_KEY",
    "SWANLAB_MODE",
    "CLEARML_API_ACCESS_KEY",
    "CLEARML_CONFIG_FILE",
    "CLEARML_OFFLINE_MODE",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_NAME",
)


@pytest.fixture(autouse=True)
def _no_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ACCOUNTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(trackers, "_TRACKERS", {})
    PartialState()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def make_config(*names: str) -> Config:
    return build_config({"model": {"name": "unet"}, "training": {"trackers": list(names)}}, [], "example")


class LabBook(GeneralTracker):
    """A tracker of a user, which remembers its calls; ``fails_in`` names the one that fails."""

    name = "lab_book"
    requires_logging_directory = True
    calls: ClassVar[list[tuple[Any, ...]]] = []
    fails_in = ""

    def __init__(self, run_name: str, logging_dir: Path) -> None:
        super().__init__()
        self._call("init", run_name, logging_dir)

    def _call(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] == self.fails_in:
            raise OSError("the\nserver is gone")

    @property
    def tracker(self) -> None:
        return None

    def start(self) -> None:
        self._call("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._call("store", values)

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self._call("log", values, step)

    def finish(self) -> None:
        self._call("finish")


@pytest.fixture
def lab_book(monkeypatch: pytest.MonkeyPatch) -> type[LabBook]:
    monkeypatch.setattr(LabBook, "calls", [])
    monkeypatch.setattr(LabBook, "fails_in", "")
    return trackers.register_tracker("lab_book")(LabBook)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "wandbb",
            r"^unknown tracker in training\.trackers 'wandbb': did you mean 'wandb' or 'swanlab'\? known: aim, ",
        ),
        ("TensorBoard", r"'TensorBoard': did you mean 'tensorboard'\?"),
        ("lab_bok", r"'lab_bok': did you mean 'lab_book'\?"),
        ("all", r"unknown tracker in training\.trackers 'all': "),
    ],
)
def test_an_unknown_tracker(name: str, message: str, lab_book: type[LabBook]) -> None:
    with pytest.raises(UnknownNameError, match=message):
        check_trackers(["tensorboard", name])


@pytest.mark.parametrize("name", sorted(set(PACKAGES) - {"tensorboard"}))
def test_a_tracker_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: ["tensorboard"])
    package = {"wandb": r"'acsnet\[trackers\]'", "mlflow": r"'acsnet\[trackers\]'"}.get(name, name)
    expected = rf"^training\.trackers has {name}, whose package is not installed: pip install {package}, or remove it$"
    with pytest.raises(ConfigError, match=expected):
        check_trackers([name])


def test_trackers_are_checked_before_any_image_is_decoded(tiny_settings: dict[str, Any]) -> None:
    settings = {**tiny_settings, "data": {"root": "/nowhere"}, "training": {"trackers": ["mlfow"]}}
    with pytest.raises(UnknownNameError, match="did you mean 'mlflow'"):
        prepare_training(build_config(settings, [], "example"), progress=False)


def test_all_trackers_are_listed(lab_book: type[LabBook]) -> None:
    from accelerate.utils import LoggerType

    assert set(list_trackers()) == {*map(str, LoggerType), "lab_book"} - {"all"}
    assert all(settings_of(name, TrackedRun(Path("runs/a"), 0)) for name in PACKAGES if name != "mlflow")


# --- what they get ---------------------------------------------------------------------------------------------------


def test_a_tracker_of_a_user(lab_book: type[LabBook], folder: RunFolder) -> None:
    tracked = Trackers(make_config("lab_book", "lab_book"), folder, 0)
    tracked.log({"val/dice": 0.5}, 1)
    tracked.log_picture("validation", np.zeros((4, 8, 3), np.uint8), 1)
    tracked.close()
    names = [call[0] for call in lab_book.calls]
    assert names == ["init", "start", "store", "log", "finish"], "once, and without pictures, which it does not take"
    assert lab_book.calls[0] == ("init", "run", folder.path)
    assert lab_book.calls[2] == ("store", plain_settings(make_config("lab_book", "lab_book")))
    assert lab_book.calls[3] == ("log", {"val/dice": 0.5}, 1)
    assert [*folder.path.iterdir()] == [], "it has no id"


def test_the_configuration_has_no_paths() -> None:
    config = build_config({"model": {"name": "unet"}, "data": {"root": "/home/me/images"}}, [], "example")
    plain = plain_settings(config)
    assert "/home/me/images" not in plain.values()
    assert (plain["training.epochs"], plain["model.tasks"]) == (90, "['segmentation', 'classification']")
    assert all(isinstance(value, bool | int | float | str) for value in plain.values())


def test_no_tracker(folder: RunFolder) -> None:
    tracked = Trackers(make_config(), folder, 0)
    tracked.log({"loss": 1.0}, 1)
    tracked.close()
    assert [*folder.path.iterdir()] == []


def test_tensorboard_purges_epochs_that_are_run_again(folder: RunFolder) -> None:
    for first_epoch, losses in ((0, [3.0, 2.0]), (1, [1.5])):
        tracked = Trackers(make_config("tensorboard"), folder, first_epoch)
        for epoch, loss in enumerate(losses, start=first_epoch + 1):
            tracked.log({"train/loss": loss}, epoch)
        tracked.log_picture("validation", np.full((4, 8, 3), 255, np.uint8), epoch)
        tracked.close()
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 3.0), (2, 1.5)]
    (picture,) = events.Images("validation")
    assert (picture.height, picture.width, picture.step) == (4, 8, 2)


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["init", "start", "store", "log", "finish"])
def test_a_tracker_that_fails_is_one_warning(
    where: str, lab_book: type[LabBook], folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    lab_book.fails_in = where
    with caplog.at_level(logging.WARNING):
        tracked = Trackers(make_config("lab_book"), folder, 0)
        for epoch in (1, 2):
            tracked.log({"loss": 1.0}, epoch)
        tracked.close()
    expected = "the tracker lab_book failed, and the training continues without it: OSError: the server is gone"
    assert caplog.messages == [expected]
    names = [call[0] for call in lab_book.calls]
    if where != "init":
        assert "finish" in names, "it is not left open"
    assert names.count("log") == {"log": 1, "finish": 2}.get(where, 0)


def test_an_interruption_is_not_a_failure(
    lab_book: type[LabBook], folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    tracked = Trackers(make_config("lab_book"), folder, 0)
    monkeypatch.setattr(LabBook, "log", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tracked.log({"loss": 1.0}, 1)


def test_tensorboard_is_a_part_of_the_run(folder: RunFolder, lab_book: type[LabBook]) -> None:
    """Its files are written, or the training ends, as for the other files of the folder."""
    folder.tensorboard.write_text("in the way")
    with pytest.raises(WriteError, match=r"tensorboard could not be written \(File exists\)"):
        Trackers(make_config("lab_book", "tensorboard"), folder, 0)


# --- accounts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "netrc", "has_account"),
    [
        ({}, None, False),
        ({}, "machine api.wandb.ai login user password secret", True),
        ({}, "machine github.com login user password secret", False),
        ({}, "this is not a netrc", False),
        ({"WANDB_API_KEY": "secret"}, None, True),
        ({"WANDB_API_KEY": ""}, None, False),
        ({"WANDB_BASE_URL": "https://wandb.clinic.example:8080"}, "machine api.wandb.ai login a password b", False),
        (
            {"WANDB_BASE_URL": "https://wandb.clinic.example:8080"},
            "machine wandb.clinic.example login a password b",
            True,
        ),
    ],
)
def test_wandb_is_offline_without_an_account(
    environment: dict[str, str], netrc: str | None, has_account: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if netrc is not None:
        path = Path(os.environ["NETRC"])
        path.write_text(netrc)
        path.chmod(0o600)
    assert has_wandb_account() is has_account
    settings = settings_of("wandb", TrackedRun(Path("runs/a"), 0, "abc"))
    assert settings.get("mode") == (None if has_account else "offline")
    assert settings.get("resume") == ("allow" if has_account else None), "which an offline run does not know"
    assert (settings["id"], settings["dir"], settings["name"]) == ("abc", "runs/a", "a")


def test_the_user_may_choose_the_mode_of_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_DIR", "/elsewhere")
    monkeypatch.setenv("WANDB_PROJECT", "lesions")
    settings = settings_of("wandb", TrackedRun(Path("runs/a"), 0))
    assert settings["run_name"] == "lesions"
    assert not {"mode", "dir", "id", "resume"} & set(settings)


@pytest.mark.parametrize(
    ("name", "key", "login", "offline"),
    [
        ("comet_ml", "COMET_API_KEY", ".comet.config", ("online", False)),
        ("swanlab", "SWANLAB_API_KEY", ".swanlab/.netrc", ("mode", "offline")),
    ],
)
def test_other_services_are_offline_without_an_account(
    name: str, key: str, login: str, offline: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrackedRun(Path("runs/a"), 0)
    option, value = offline
    assert settings_of(name, run)[option] == value
    monkeypatch.setenv(key, "secret")
    assert option not in settings_of(name, run)
    monkeypatch.delenv(key)
    (tmp_path / login).parent.mkdir(exist_ok=True)
    (tmp_path / login).touch()
    assert option not in settings_of(name, run)


@pytest.mark.parametrize("account", ["", "CLEARML_API_ACCESS_KEY", "CLEARML_CONFIG_FILE"])
def test_clearml_is_offline_without_an_account(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARML_OFFLINE_MODE", "")
    monkeypatch.delenv("CLEARML_OFFLINE_MODE")
    if account:
        monkeypatch.setenv(account, "secret")
    settings_of("clearml", TrackedRun(Path("runs/a"), 0))
    assert os.environ.pop("CLEARML_OFFLINE_MODE", None) == (None if account else "1")


# --- the real ones ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_wandb(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(folder.path.parent / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(folder.path.parent / "cache"))
    caplog.set_level(logging.INFO, "acsnet")
    for first_epoch in (0, 1):
        tracked = Trackers(make_config("wandb"), folder, first_epoch)
        tracked.log({"val/dice": 0.5}, first_epoch + 1)
        tracked.log_picture("validation", np.zeros((4, 8, 3), np.uint8), first_epoch + 1)
        tracked.close()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("acsnet")]
    assert [text.partition(",")[0] for text in said] == ["wandb: no account is set"] * 2
    (known,) = json.loads(folder.trackers.read_text()).items()
    runs = [path.name for path in (folder.path / "wandb").glob("offline-run-*")]
    assert {name.rpartition("-")[2] for name in runs} == {known[1]}, "both parts have the id of the run"


@pytest.mark.slow
def test_mlflow(folder: RunFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(folder.path.parent)
    for first_epoch in (0, 1):
        tracked = Trackers(make_config("mlflow"), folder, first_epoch)
        tracked.log({"val/dice": 0.5 + first_epoch / 4}, first_epoch + 1)
        tracked.close()
        assert not mlflow.is_tracking_uri_set(), "the next training of this process has a database of its own"
    assert not [record for record in caplog.records if record.name.startswith("acsnet")]
    client = mlflow.MlflowClient(f"sqlite:///{folder.path}/mlflow/mlflow.db")
    run_id = json.loads(folder.trackers.read_text())["mlflow"]
    history = client.get_metric_history(run_id, "val/dice")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 0.5), (2, 0.75)]
    assert client.get_run(run_id).data.params["training.epochs"] == "90"
    assert sorted(path.name for path in folder.path.iterdir()) == ["mlflow", "trackers.json"]
    assert not list(folder.path.parent.glob("mlruns*"))


@pytest.mark.slow
def test_a_training_with_a_tracker_that_fails(
    tiny_settings: dict[str, Any], tmp_path: Path, lab_book: type[LabBook], caplog: pytest.LogCaptureFixture
) -> None:
    lab_book.fails_in = "log"
    settings = {**tiny_settings, "training": {"epochs": 1, "batch_size": 4, "trackers": ["lab_book", "tensorboard"]}}
    best = Trainer.from_config(build_config(settings, [], "example"), tmp_path / "new", progress=False).fit()
    assert best.is_file()
    assert list((tmp_path / "new" / "tensorboard").glob("events*"))
    assert [text for text in caplog.messages if "lab_book" in text] == [
        "the tracker lab_book failed, and the training continues without it: OSError: the server is gone"
    ]
