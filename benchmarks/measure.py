"""Interleaved timing, so that a machine whose speed wanders does not decide, and the memory of a process."""

import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from acsnet.training import peak_memory_mb

Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One figure of a benchmark.

    Attributes:
        benchmark: ``deform_conv``, ``train``, ``infer``, ``data`` or ``growth``.
        case: what is done, the same for all that are compared.
        contender: what does it.
        seconds: median time of one repetition.
        ratio: to the case's reference: the median, over the rounds, of the two times of one round. None for a case
            without reference.
        reference: the contender that is the reference.
        memory_mb: peak memory in MB, of the whole process on a CPU and of the device's tensors on a GPU; None where
            it was not measured.
    """

    benchmark: str
    case: str
    contender: str
    seconds: float
    ratio: float | None
    reference: str | None
    memory_mb: float | None = None


def measure(
    benchmark: str,
    case: str,
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    memory: Mapping[str, float] | None = None,
    progress: bool = True,
) -> list[Row]:
    """Time some callables in turn, round after round; the first of them is the reference of the ratios.

    Each is called once before, unmeasured. Calls shorter than 20 ms are repeated within their turn.
    """
    repetitions = {name: max(1, round(0.02 / max(_time(run, 1), 1e-6))) for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in tqdm(range(rounds), desc=f"{benchmark} {case}", leave=False, disable=None if progress else True):
        for name, run in contenders.items():
            times[name].append(_time(run, repetitions[name]))
    reference = next(iter(contenders))
    return [
        Row(
            benchmark=benchmark,
            case=case,
            contender=name,
            seconds=statistics.median(own),
            ratio=statistics.median(a / b for a, b in zip(own, times[reference], strict=True)),
            reference=reference,
            memory_mb=None if memory is None else memory.get(name),
        )
        for name, own in times.items()
    ]


def time_once(run: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call, after one that is not measured."""
    _time(run, 1)
    return statistics.median(_time(run, 1) for _ in range(rounds))


def _time(run: Callable[[], object], repetitions: int) -> float:
    """Seconds a call, whatever the device."""
    _synchronize()
    started = time.perf_counter()
    for _ in range(repetitions):
        run()
    _synchronize()
    return (time.perf_counter() - started) / repetitions


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_fresh_process(function: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    """Call a function of a module in a new process; return its result and the process's peak memory in MB.

    On a GPU it is the peak of the device's memory, without the CUDA context and the allocator's reserve.
    """
    # No pool of multiprocessing: it waits for ever for a process that was killed, for want of memory say.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call"
        path.write_bytes(pickle.dumps((function, arguments)))
        code = f"from benchmarks.measure import run_call; run_call({str(path)!r})"
        subprocess.run([sys.executable, "-c", code], check=True)
        return pickle.loads(path.read_bytes())


def run_call(path: str) -> None:
    """What the new process does: make the call that a file holds, and leave result and peak memory in its place."""
    function, arguments = pickle.loads(Path(path).read_bytes())
    result = function(*arguments)
    memory = peak_memory_mb(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    Path(path).write_bytes(pickle.dumps((result, memory)))


def matmul_rate(device: torch.device, dtype: torch.dtype, rounds: int = 5) -> float:
    """Operations a second of a large matrix product: what the device has to give."""
    size = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / time_once(lambda: a @ b, rounds)
