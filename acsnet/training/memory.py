"""How freed memory is kept for the next step."""

import ctypes
import platform

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
