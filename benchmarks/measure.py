"""Interleaved timing, robust to a varying speed of the machine, and the peak memory of a process."""

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
class Measurement:
    """One measurement of a benchmark.

    Attributes:
        benchmark: ``deform_conv``, ``train``, ``infer``, ``tasks``, ``data``, ``files``,
            ``growth`` or ``around``.
        case: the task, the same for all compared contenders.
        contender: the implementation.
        seconds: the median time of one repetition.
        ratio: the median over rounds of the time relative to the reference in the same round; None without reference.
        reference: the contender that the ratio refers to, or None.
        memory_mb: the peak memory in MB, of the process on a CPU and of the device's tensors on a GPU; None if it was
            not measured.
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
) -> list[Measurement]:
    """Time several callables in turn, round by round; the first one is the reference of the ratios.

    Each is called once before measuring. Calls shorter than 20 ms are repeated within their turn.

    Args:
        benchmark: the name of the benchmark.
        case: the task.
        contenders: the callables by name.
        rounds: the number of timings of each callable.
        memory: the peak memory of each in MB, if it was measured.
        progress: show a progress bar.
    """
    repetitions = {name: max(1, round(0.02 / max(_time(run, 1), 1e-6))) for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in tqdm(range(rounds), desc=f"{benchmark} {case}", leave=False, disable=None if progress else True):
        for name, run in contenders.items():
            times[name].append(_time(run, repetitions[name]))
    reference = next(iter(contenders))
    return [
        Measurement(
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
    """Return the median seconds of a call, after one call that is not measured."""
    _time(run, 1)
    return statistics.median(_time(run, 1) for _ in range(rounds))


def _time(run: Callable[[], object], repetitions: int) -> float:
    """Return the seconds per call, on any device."""
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
    """Call a module-level function in a new process, and return its result and the peak memory in MB.

    On a GPU this is the peak memory of the device's tensors, without the CUDA context and the allocator's reserve.
    """
    # A multiprocessing pool would wait forever for a process that was killed, for lack of memory for example.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call"
        path.write_bytes(pickle.dumps((function, arguments)))
        code = f"from benchmarks.measure import run_call; run_call({str(path)!r})"
        subprocess.run([sys.executable, "-c", code], check=True)
        return pickle.loads(path.read_bytes())


def run_call(path: str) -> None:
    """Run the pickled call in a file, and replace the file by the pickled result and peak memory."""
    function, arguments = pickle.loads(Path(path).read_bytes())
    result = function(*arguments)
    memory = peak_memory_mb(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    Path(path).write_bytes(pickle.dumps((result, memory)))


def matmul_rate(device: torch.device, dtype: torch.dtype, rounds: int = 5) -> float:
    """Return the operations per second of a large matrix product, as an upper bound for the device."""
    size = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / time_once(lambda: a @ b, rounds)
