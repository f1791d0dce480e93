"""Choice of the number format: the fastest one of a device without loss of accuracy."""

from pathlib import Path

import torch

from acsnet.config import TrainingConfig

_FAST_CPU_FLAGS = ("avx512_bf16", "amx_bf16")


def resolve_precision(precision: str, device: torch.device) -> str:
    """Resolve ``auto`` to bfloat16 if the device multiplies it faster than float32, otherwise to float32."""
    if precision != "auto":
        return precision
    fast = _cuda_is_fast() if device.type == "cuda" else device.type == "cpu" and _cpu_is_fast()
    return "bfloat16" if fast else "float32"


def _cuda_is_fast() -> bool:
    # Devices from Ampere (8.0) on have tensor cores for bfloat16; older ones emulate it.
    return torch.cuda.get_device_capability() >= (8, 0)


def _cpu_is_fast() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in _FAST_CPU_FLAGS)


def accelerate_name(training: TrainingConfig, device: torch.device) -> str:
    """Return the name of the configured precision in accelerate."""
    names = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
    return names[resolve_precision(training.precision, device)]
