"""Options of the subcommands that run networks: what reaches the package."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acsnet.errors import RunError

Invoke = Callable[..., tuple[int, str, str]]


class _Reached(RunError):
    """Ends a command where its work begins."""


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the functions behind the subcommands receive; they end the command."""
    values: dict[str, Any] = {}

    def record(*arguments: Any, **options: Any) -> None:
        values.update(options, arguments=arguments)
        raise _Reached("reached")

    for name in (
        "acsnet.training.Trainer.from_config",
        "acsnet.evaluation.run_test",
        "acsnet.evaluation.calibrate_checkpoint",
        "acsnet.inference.Predictor.from_checkpoint",
    ):
        monkeypatch.setattr(name, record)
    return values


def test_training(invoke: Invoke, received: dict[str, Any]) -> None:
    options = ["--set", "training.epochs=7", "--epochs", "3", "--batch-size", "6", "--precision", "bfloat16"]
    result = invoke("train", "acsnet_phantom", *options, "--device", "cpu")
    assert result == (2, "", "error: reached\n")
    config, work_dir, resume = received["arguments"]
    assert (config.training.epochs, config.training.batch_size, config.training.precision) == (3, 6, "bfloat16")
    assert (work_dir, resume, received["device"]) == (Path("runs/acsnet_phantom"), False, "cpu")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "many", "training.epochs is 'many'"),
        ("--batch-size", "0", "training.batch_size is 0"),
        ("--precision", "float8", "training.precision is 'float8'"),
    ],
)
def test_short_forms_are_checked_as_the_keys_they_stand_for(
    option: str, value: str, message: str, invoke: Invoke, received: dict[str, Any]
) -> None:
    status, _, errors = invoke("train", "acsnet_phantom", option, value)
    assert (status, received) == (2, {})
    key = message.split(" is ")[0]
    assert f"--set {key}={value}: {key}" in errors


def test_testing(invoke: Invoke, received: dict[str, Any], trained_run: Path, tmp_path: Path) -> None:
    checkpoint = trained_run / "best.safetensors"
    options = ["--batch-size", "3", "--precision", "bfloat16", "--device", "cpu", "--out", tmp_path / "out"]
    assert invoke("test", "--checkpoint", checkpoint, *options)[2] == "error: reached\n"
    assert received["arguments"][1].evaluation.batch_size == 3
    assert (received["device"], received["precision"]) == ("cpu", "bfloat16")
    received.clear()
    options[-1] = tmp_path / "calibrated.safetensors"
    assert invoke("calibrate", "--checkpoint", checkpoint, *options)[2] == "error: reached\n"
    assert received["arguments"][1].evaluation.batch_size == 3
    assert received["arguments"][2:] == ([], ["specificity_90", "sensitivity_95"])
    assert (received["device"], received["precision"]) == ("cpu", "bfloat16")


def test_predicting(invoke: Invoke, received: dict[str, Any], trained_run: Path, tmp_path: Path) -> None:
    call = ["predict", tmp_path, "--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out"]
    assert invoke(*call, "--precision", "float16", "--device", "mps")[2] == "error: reached\n"
    assert (received["device"], received["precision"]) == ("mps", "float16")
    status, _, errors = invoke(*call, "--batch-size", "0")
    assert status == 2
    assert errors.startswith("error: invalid value for '--batch-size': ")


@pytest.mark.parametrize("command", ["test", "predict", "calibrate", "train"])
def test_an_absent_device_is_one_line(
    command: str, invoke: Invoke, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    arguments = {
        "test": ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out"],
        "predict": ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out", tmp_path],
        "calibrate": ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "a.safetensors"],
        "train": [trained_run / "config.yaml", "--work-dir", tmp_path / "run"],
    }
    result = invoke(command, *arguments[command], "--device", "cuda:1")
    assert result == (2, "", "error: there is no device 'cuda:1' here: this machine has cpu\n")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("command", ["train", "models", "curate"])
def test_a_module_that_is_missing_stops_first(
    command: str, invoke: Invoke, received: dict[str, Any], tmp_path: Path
) -> None:
    arguments = {"train": ["x"], "models": [], "curate": ["x", "--out", tmp_path / "out"]}
    status, output, errors = invoke(command, *arguments[command], "--import", "no_such_module")
    assert (status, output, received) == (2, "", {})
    assert errors.startswith("error: --import no_such_module: ")
    assert errors.count("\n") == 1


def test_a_module_registers_a_network(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acsnet.models import _registry

    monkeypatch.setattr(_registry, "_ENTRIES", {"unet": _registry.model_entry("unet")})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "networks_of_mine.py").write_text(
        "from acsnet.models import register_model\nfrom acsnet.models.unet import UNet\n"
        "register_model('my_unet', publication='Mine 2026', adds='nothing')(UNet)\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    status, output, errors = invoke("models", "my*", "--import", "networks_of_mine")
    assert (status, errors) == (0, "")
    assert [line.split()[0] for line in output.splitlines()] == ["name", "my_unet"]


def test_names_of_configurations_where_paths_were(
    invoke: Invoke, received: dict[str, Any], trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "acsnet.experiments.CrossValidation",
        lambda *arguments: SimpleNamespace(run=lambda: {}, table=lambda: arguments),
    )
    monkeypatch.setattr("acsnet.cli.jobs.show", lambda text: received.setdefault("shown", text))
    assert invoke("crossval", "unet_busi", "published/eee402/unet", "--work-dir", tmp_path)[0] == 0
    assert [*received["shown"][1]] == ["unet_busi", "unet"]
    for command, *arguments in (
        ["crossval", "unet_bus", "--work-dir", tmp_path],
        ["sweep", "unet_bus", "--search", "searches/lambda", "--work-dir", tmp_path],
        ["train", "unet_bus"],
        ["test", "--checkpoint", trained_run / "best.safetensors", "--config", "unet_bus"],
    ):
        status, _, errors = invoke(command, *arguments)
        assert status == 2
        assert errors.startswith("error: unknown configuration 'unet_bus': did you mean 'unet_busi'")
    search = ["--search", "searches/lamda", "--work-dir", tmp_path]
    assert "did you mean 'searches/lambda'" in invoke("sweep", "unet_busi", *search)[2]


def test_an_ensemble_of_one_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    status, _, errors = invoke("ensemble", "acsnet_busi", "--out", tmp_path / "one.safetensors")
    assert (status, errors) == (2, "error: an ensemble has at least two networks: name another checkpoint\n")
