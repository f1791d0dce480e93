"""Memory that is kept between steps; in processes of their own, since the setting stays until a process ends."""

import platform
import subprocess
import sys

import pytest

from acsnet.training.memory import keep_freed_memory

_PAGE_FAULTS = """
import resource
import torch
from acsnet.training.memory import keep_freed_memory
{call}
for _ in range(3):
    torch.ones(16 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_page_faults(call: str) -> int:
    command = [sys.executable, "-c", _PAGE_FAULTS.format(call=call)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_memory_that_is_kept_is_not_mapped_again() -> None:
    assert count_page_faults("assert keep_freed_memory()") < 100 < count_page_faults("")


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
