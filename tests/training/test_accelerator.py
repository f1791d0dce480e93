"""The device of a training."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from acsnet.config import TrainingConfig
from acsnet.errors import ConfigError, InputError
from acsnet.training import accelerator
from acsnet.training.accelerator import build_accelerator


def test_the_cpu_is_chosen_by_name() -> None:
    built = build_accelerator(TrainingConfig(), "cpu")
    assert built.device == torch.device("cpu")
    assert built.num_processes == 1


def test_a_device_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"^there is no device 'cuda:1' here: this machine has "):
        build_accelerator(TrainingConfig(), "cuda:1")


def test_float16_needs_a_gpu_also_where_the_cpu_is_chosen() -> None:
    with pytest.raises(ConfigError, match=r"training\.precision is float16, which needs a GPU: choose auto"):
        build_accelerator(TrainingConfig(precision="float16"), "cpu")


@pytest.mark.parametrize(
    ("name", "processes", "device", "current"),
    [
        ("cuda:1", 1, "cuda:1", ["cuda:1"]),
        ("cuda", 1, "cuda", []),
        ("cpu", 1, "cpu", []),
        ("cuda", 2, "cuda:0", []),
    ],
)
def test_accelerate_uses_the_chosen_device(
    name: str, processes: int, device: str, current: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda chosen: made.append(str(chosen)))
    state: Any = SimpleNamespace(num_processes=processes, device=torch.device("cuda:0"))
    accelerator._set_device(state, torch.device(name))
    assert (state.device, made) == (torch.device(device), current)


@pytest.mark.parametrize(
    ("device", "processes", "gpus", "backend"),
    [("cuda", 2, 1, "gloo"), ("cuda", 4, 4, None), ("cuda", None, 1, None), ("cpu", 2, 0, None)],
)
def test_processes_share_gpus_without_nccl(
    device: str, processes: int | None, gpus: int, backend: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if processes is None:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert accelerator._backend(torch.device(device)) == backend


def test_processes_take_a_gpu_each() -> None:
    state: Any = SimpleNamespace(num_processes=4, device=torch.device("cuda:0"))
    with pytest.raises(
        InputError, match="--device is cuda:1, but this training has 4 processes, which take a GPU each"
    ):
        accelerator._set_device(state, torch.device("cuda:1"))
