import time

import pytest
import torch

from benchmarks import measure as module
from benchmarks.measure import Measurement, in_fresh_process, matmul_rate, measure, time_once

_ONES = "__import__('torch').ones({}).numel()"


class Clock:
    """A clock that moves only when someone works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def worker(self, name: str, *seconds: float) -> "Worker":
        return Worker(self, name, list(seconds))


class Worker:
    def __init__(self, clock: Clock, name: str, seconds: list[float]) -> None:
        self._clock, self._name, self._seconds = clock, name, seconds

    def __call__(self) -> None:
        self._clock.calls.append(self._name)
        self._clock.now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]


def test_contenders_take_turns_and_ratios_are_those_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    # The machine is ten times slower in the second round; the ratio of each round is still 3.
    runs = {"reference": clock.worker("r", 5, 1, 10, 1), "other": clock.worker("o", 9, 3, 30, 3)}
    rows = measure("train", "a case", runs, rounds=3, memory={"other": 7.0}, progress=False)
    assert clock.calls == ["r", "o"] * 4
    assert rows == [
        Measurement("train", "a case", "reference", 1.0, 1.0, "reference", None),
        Measurement("train", "a case", "other", 3.0, 3.0, "reference", 7.0),
    ]


def test_short_calls_are_repeated_within_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    (row,) = measure("train", "a case", {"short": clock.worker("s", 0.001)}, rounds=2, progress=False)
    assert len(clock.calls) == 1 + 2 * 20
    assert row.seconds == pytest.approx(0.001)


def test_time_once_leaves_the_first_call_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert time_once(Clock(monkeypatch).worker("w", 100, 1, 3, 2), rounds=3) == 2


def test_a_fresh_process_gives_result_and_memory() -> None:
    small, large = (in_fresh_process(eval, _ONES.format(count)) for count in (2**18, 1000 * 2**18))
    assert (small[0], large[0]) == (2**18, 1000 * 2**18)
    assert 800 < large[1] - small[1] < 1200


def test_matmul_rate_counts_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time_once", lambda run, rounds: 2.0 if run() is not None else 0.0)
    assert matmul_rate(torch.device("cpu"), torch.float32) == 2 * 2048**3 / 2
