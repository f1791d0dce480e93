"""Memory of the process: keeping what was freed for the next step, and the peak."""

import ctypes
import platform
import re
import resource
import sys
from pathlib import Path

import torch

# <malloc.h>: from which size on free memory at the end of the heap goes back to the system, and how many blocks may be
# mapped on their own, which go back at once.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next allocation, until the process ends.

    By default it returns each large block to the system at once, and a training step on a CPU then spends a fourth of
    its time having the same pages mapped and cleared anew.

    Returns:
        Whether it took effect: only glibc has the setting.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))


def peak_memory_mb(device: torch.device) -> float:
    """Highest memory so far in MB (10^6 bytes): of the tensors on a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage, whose peak is also that of the process that started this one.
        peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), flags=re.MULTILINE)
        if peak is not None:
            return int(peak[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
