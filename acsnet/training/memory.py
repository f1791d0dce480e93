"""Memory of the process: reuse of freed memory, and peak usage."""

import ctypes
import platform
import re
import resource
import sys
from pathlib import Path

import torch

# <malloc.h>: size of free memory at the end of the heap that is returned to the system, and number of blocks that are
# mapped on their own and returned at once.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for the next allocation, until the process ends.

    By default it returns each large block to the system at once, and a training step on a CPU spends a quarter of its
    time on mapping and clearing the same pages again.

    Returns:
        Whether the setting took effect; only glibc has it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MB (10^6 bytes) of the tensors on a GPU, or of this process.

    Example:
        >>> peak_memory_mb(torch.device("cpu")) > 0
        True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage, whose peak includes that of the parent process.
        peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), flags=re.MULTILINE)
        if peak is not None:
            return int(peak[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
