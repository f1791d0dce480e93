"""Memory that is kept between steps; in processes of their own, since the setting stays until a process ends."""

import platform
import subprocess
import sys

import pytest
import torch

from acsnet.training.memory import keep_freed_memory, peak_memory_mb

_PAGE_FAULTS = """
import resource
import torch
from acsnet.training.memory import keep_freed_memory
{call}
# The heap settles within a few allocations.
for _ in range(10):
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


def test_the_peak_is_that_of_this_process() -> None:
    # Started by a process of more than 1500 MB.
    big = torch.ones(1500 * 250_000)
    code = "import torch; from acsnet.training.memory import peak_memory_mb as p; d = torch.device('cpu'); a = p(d)\n"
    code += "torch.ones(300 * 250_000); print(a, p(d))"
    command = [sys.executable, "-c", code]
    before, after = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert before < 1500 < peak_memory_mb(torch.device("cpu"))
    assert 250 < after - before < 400
    assert big[0] == 1
