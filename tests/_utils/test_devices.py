"""The choice of the device, on machines with and without GPUs."""

import pytest
import torch

from acsnet._utils.devices import choose_device, list_devices
from acsnet.errors import InputError


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "devices", "preferred"),
    [
        (0, False, ["cpu"], "cpu"),
        (0, True, ["mps", "cpu"], "mps"),
        (1, False, ["cuda:0", "cpu"], "cuda"),
        (2, True, ["cuda:0", "cuda:1", "mps", "cpu"], "cuda"),
    ],
)
def test_the_preferred_device(
    cuda: int, mps: bool, devices: list[str], preferred: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, cuda, mps)
    assert list_devices() == devices
    assert choose_device() == torch.device(preferred)
    for name in (*devices, preferred):
        assert choose_device(name) == choose_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "cuda", "mps", "there"),
    [
        ("cuda", 0, False, "cpu"),
        ("cuda:2", 2, False, "cuda:0, cuda:1, cpu"),
        ("mps", 1, False, "cuda:0, cpu"),
        ("gpu", 0, True, "mps, cpu"),
        ("", 0, False, "cpu"),
        ("cuda", 0, True, "mps, cpu"),
    ],
)
def test_a_device_that_is_absent(name: str, cuda: int, mps: bool, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda, mps)
    with pytest.raises(InputError) as caught:
        choose_device(name)
    assert str(caught.value) == f"there is no device {name!r} here: this machine has {there}"
