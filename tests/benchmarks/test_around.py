"""The benchmark of whole commands: which run, with which cache, and that they run at all."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from acsnet.cli import main
from acsnet.errors import RunError
from benchmarks import around, benchmark_around


def test_what_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Sequence[Sequence[str]], str]] = []
    monkeypatch.setattr(around, "_run", lambda commands, _, cache: calls.append((commands, cache)))
    rows = benchmark_around(1)
    assert [(row.case.split(",")[0], row.contender, row.reference) for row in rows] == [
        ("acsnet train", "importing acsnet.training", "importing acsnet.training"),
        ("acsnet train", "images in the cache", "importing acsnet.training"),
        ("acsnet train", "empty cache", "importing acsnet.training"),
        ("acsnet crossval", "one worker", "one worker"),
        ("acsnet crossval", "two workers", "one worker"),
    ]
    trainings = [cache for commands, cache in calls if "train" in commands[0]]
    fresh = [cache for cache in trainings if cache != "cache"]
    assert len(fresh) == len(set(fresh)) > 0, "an empty cache is used once"
    assert len(trainings) > len(fresh)
    work_dirs = [commands[0][-1] for commands, _ in calls if "acsnet" in commands[0]]
    assert len(work_dirs) == len(set(work_dirs)), "nothing is resumed"
    assert {len(commands) for commands, _ in calls if "crossval" in commands[0]} == {1, 2}


def test_the_commands_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done(Exception):
        pass

    def run_here(commands: Sequence[Sequence[str]], folder: Path, cache: str) -> None:
        if "train" in commands[0]:
            monkeypatch.chdir(folder)
            monkeypatch.setenv("ACSNET_CACHE", str(folder / cache))
            assert main(commands[0][2:]) == 0
            raise Done

    monkeypatch.setattr(around, "_run", run_here)
    with pytest.raises(Done):
        benchmark_around(1)


@pytest.mark.parametrize("codes", [("pass",), ("pass", "import os; assert os.environ['ACSNET_CACHE'].endswith('c')")])
def test_processes_run_at_the_same_time(codes: tuple[str, ...], tmp_path: Path) -> None:
    around._run([["-S", "-c", code] for code in codes], tmp_path, "c")


@pytest.mark.parametrize("codes", [("raise SystemExit(2)",), ("pass", "raise SystemExit(2)")])
def test_a_command_that_fails_is_not_timed(codes: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"^python -S -c raise SystemExit\(2\) failed, so that nothing is timed: its error"
    ):
        around._run([["-S", "-c", code] for code in codes], tmp_path, "c")
