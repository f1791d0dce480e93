from pathlib import Path
from typing import Any

import pytest
import torch

from acsnet.config import TrainingConfig
from acsnet.training import precision
from acsnet.training.precision import accelerate_name, resolve_precision

CPU = torch.device("cpu")


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /proc/cpuinfo; not there until it is written."""
    path = tmp_path / "cpuinfo"

    def locate(name: str) -> Path:
        assert name == "/proc/cpuinfo"
        return path

    monkeypatch.setattr(precision, "Path", locate)
    return path


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_that_multiplies_bfloat16_uses_it(cpuinfo: Path, flag: str) -> None:
    cpuinfo.write_text(f"model name\t: A\nflags\t\t: fpu sse2 {flag} avx2\n")
    assert resolve_precision("auto", CPU) == "bfloat16"


@pytest.mark.parametrize("content", ["flags\t\t: fpu avx2 avx512f\n", ""])
def test_a_cpu_that_does_not_stays_with_float32(cpuinfo: Path, content: str) -> None:
    cpuinfo.write_text(content)
    assert resolve_precision("auto", CPU) == "float32"


def test_a_system_that_does_not_say(cpuinfo: Path) -> None:
    assert not cpuinfo.exists()
    assert resolve_precision("auto", CPU) == "float32"


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((8, 6), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_cuda_devices_from_ampere_on_use_bfloat16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    assert resolve_precision("auto", torch.device("cuda")) == expected


def test_other_devices_stay_with_float32(cpuinfo: Path) -> None:
    cpuinfo.write_text("flags: avx512_bf16")
    assert resolve_precision("auto", torch.device("mps")) == "float32"


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_asked_for_is_used(cpuinfo: Path, name: str, device: str) -> None:
    assert resolve_precision(name, torch.device(device)) == name


@pytest.mark.parametrize(
    ("name", "expected"), [("float32", "no"), ("bfloat16", "bf16"), ("float16", "fp16"), ("auto", "bf16")]
)
def test_accelerate_s_names(cpuinfo: Path, name: Any, expected: str) -> None:
    cpuinfo.write_text("flags: avx512_bf16")
    assert accelerate_name(TrainingConfig(precision=name), CPU) == expected
