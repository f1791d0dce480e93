"""What killed processes leave is removed, what others are working on is not, whatever the clock."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acsnet._utils import cache_folders
from acsnet._utils.cache_folders import locked, remove_abandoned

DAY = 24 * 3600


def set_age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


@pytest.fixture
def building(tmp_path: Path) -> Path:
    folder = tmp_path / ".building-abc"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("age", [0, 2 * DAY, -2 * DAY, 400 * DAY])
def test_a_folder_that_is_worked_on_stays_whatever_the_clock(age: float, building: Path) -> None:
    with locked(building):
        set_age(building, age)
        remove_abandoned(building.parent)
        assert building.exists()
    assert not any(building.iterdir())


@pytest.mark.parametrize(
    ("age", "is_removed"), [(0, False), (30, False), (3600, True), (2 * DAY, True), (-2 * DAY, True)]
)
def test_a_free_lock_shows_that_the_process_has_ended(age: float, is_removed: bool, building: Path) -> None:
    (building / "lock").touch()
    (building / "images.npy").touch()
    set_age(building, age)
    remove_abandoned(building.parent)
    assert building.exists() is not is_removed


@pytest.mark.parametrize(("age", "is_removed"), [(0, False), (3600, False), (2 * DAY, True)])
def test_a_folder_without_a_lock_is_removed_by_age(age: float, is_removed: bool, building: Path) -> None:
    set_age(building, age)
    remove_abandoned(building.parent)
    assert building.exists() is not is_removed


def test_without_locks_in_the_file_system_a_folder_is_removed_by_nobody(
    building: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoLocks:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def acquire(self, **_: object) -> None:
            raise NotImplementedError

        __enter__ = acquire

        def __exit__(self, *_: object) -> None:
            pass

        def release(self) -> None:
            pass

    monkeypatch.setattr(cache_folders, "FileLock", NoLocks)
    with locked(building):
        (building / "lock").touch()
        set_age(building, 2 * DAY)
        remove_abandoned(building.parent)
        assert building.exists()


@pytest.mark.parametrize(("age", "is_removed"), [(0, False), (2 * DAY, True)])
def test_temporary_files_of_processes_that_ended(age: float, is_removed: bool, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path, other = tmp_path / f".verified-0123.{ended.pid}.tmp.json", tmp_path / ".verified-0123.tmp.json"
    for file in (path, other):
        file.touch()
        set_age(file, age)
    remove_abandoned(tmp_path)
    assert path.exists() is not is_removed
    assert other.exists()
