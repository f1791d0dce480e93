import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from filelock import FileLock

from acsnet._utils.files import DiskFullError, WriteError, whole_file, write_text
from acsnet._utils.folders import check_writable, claimed_folder, has_unfinished_files, remove_stale, whole_files
from acsnet.errors import RunError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def claim(folder: Path) -> None:
    with claimed_folder(folder, "testing into", "--out"):
        pass


# --- one process at a time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False], ids=["existing folder", "new folder"])
def test_a_folder_has_one_owner(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "a" / "out"
    if there:
        folder.mkdir(parents=True)
    with claimed_folder(folder, "testing into", "--out"):
        with pytest.raises(RunError) as caught:
            claim(folder)
        write_text(folder / "file.txt", "text")
    assert str(caught.value) == (
        f"another process is testing into {folder}: wait until it ends, or choose another folder by --out"
    )
    claim(folder)
    assert names(folder) == ["file.txt"], "no lock is left"


def test_the_claim_of_a_killed_process_is_void(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from acsnet._utils.folders import claimed_folder
with claimed_folder(Path({str(tmp_path)!r}), "testing into", "--out"):
    os._exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    claim(tmp_path)


@pytest.mark.parametrize("below", [[], ["a"], ["a", "b", "c"]])
def test_a_folder_that_stays_empty_is_not_left(tmp_path: Path, below: list[str]) -> None:
    tmp_path.joinpath("kept").mkdir()
    claim(tmp_path.joinpath("kept", *below))
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == []


# --- folders that cannot be used -------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    for place in ("file", "file/out", "file/a/b", "link"):
        with pytest.raises(WriteError, match=rf"{place} could not be written \(.*\): choose another folder, since a"):
            claim(tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError) as caught:
        claim(tmp_path / "link")
    assert str(caught.value) == (
        f"{tmp_path / 'link'} is a link to {tmp_path / 'nowhere'}, which does not exist: create that folder, or choose "
        "another one by --out"
    )


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises((RunError, WriteError), match="a "):
        claim(tmp_path / "a")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_folder_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    action = "opened" if number == errno.EMFILE else "written"
    with pytest.raises(WriteError, match=rf"new could not be {action} \({os.strerror(number)}\): "):
        claim(tmp_path / "new")
    assert names(tmp_path) == [], "the folder that was made is removed again"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(DiskFullError, match=r"new could not be written: the disk is full; free some space"):
        claim(tmp_path / "new")


def test_a_place_for_one_file_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "existing.txt").write_text("mine")
    stale = leave(tmp_path / f".best.{DEAD}.tmp.safetensors")
    for place in ("a.txt", "new/a.txt", "a/b/c.txt", "existing.txt"):
        check_writable(tmp_path / place)
    assert not stale.exists()
    assert names(tmp_path) == ["existing.txt"]
    assert (tmp_path / "existing.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file/a.txt", r"file/a\.txt could not be written \(.+\): choose another folder, since a file is in "),
        ("file/a/b.txt", r"file/a/b\.txt could not be written \(.+\): choose another folder, since a file is in "),
        ("folder", r"folder could not be written \(Is a directory\): choose another name, since a folder has it"),
        ("/proc/none/a.txt", r"/proc/none/a\.txt could not be written \(No such file or directory\): choose an"),
        ("a" * 300, r"a+ could not be written \(File name too long\): choose a shorter name"),
    ],
)  # fmt: skip
def test_a_place_where_no_file_can_be(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=message):
        check_writable(tmp_path / place)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("place", ["a.txt", "new/a.txt"])
def test_a_read_only_place_for_one_file(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(
        WriteError, match=r"a\.txt could not be written \(Read-only file system\): choose a folder on a"
    ):
        check_writable(tmp_path / place)
    assert names(tmp_path) == []


# --- what killed processes left --------------------------------------------------------------------------------------

DEAD = 2**22 + 1  # above the largest number of a process


def leave(path: Path, age: float = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    "name",
    [
        f".last.{DEAD}.tmp.pt",
        f".benign (1).{DEAD}.tmp.png",
        f".1.2.840.10008.{DEAD}.tmp.png",
        f".two\nlines.{DEAD}.tmp",
        f"masks/busi/benign/.a.{DEAD}.tmp.png",
    ],
)
def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path, name: str) -> None:
    left = leave(tmp_path / name)
    (tmp_path / "result.txt").write_text("mine")
    claim(tmp_path)
    assert not left.exists()
    assert (tmp_path / "result.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        f"last.{DEAD}.tmp.pt",
        f".last.{DEAD}.pt",
        ".last.tmp.pt",
        ".gitignore",
        f".last.{os.getpid()}.tmp.pt",
    ],
    ids=["not hidden", "not temporary", "no process", "hidden", "of a running process"],
)
def test_other_files_stay(tmp_path: Path, name: str) -> None:
    left = leave(tmp_path / name)
    claim(tmp_path)
    assert left.exists()


def test_a_file_of_another_machine_is_left_while_it_may_be_written(tmp_path: Path) -> None:
    fresh = leave(tmp_path / f".a.{DEAD}.tmp.png", age=0)
    reused = leave(tmp_path / f".b.{os.getpid()}.tmp.png", age=2 * 24 * 3600)
    remove_stale(tmp_path)
    assert (fresh.exists(), reused.exists()) == (True, False)
    remove_stale(tmp_path / "missing")


def test_the_names_are_those_of_the_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What whole_file and whole_files leave when they are killed is found."""
    monkeypatch.setattr(os, "getpid", lambda: DEAD)
    left = []
    with whole_file(tmp_path / "best.safetensors") as temporary:
        temporary.write_text("x")
        left.append(tmp_path / temporary.name)
    with whole_files(tmp_path) as temporary:
        left.append(temporary)
    for path in left:
        leave(path / "records.csv" if path.suffix == ".tmp" else path)
        os.utime(path, (0, 0))
    assert has_unfinished_files(tmp_path)
    remove_stale(tmp_path)
    assert names(tmp_path) == ["best.safetensors"]
    assert not has_unfinished_files(tmp_path)


# --- several files ---------------------------------------------------------------------------------------------------


def write_two(folder: Path) -> None:
    with whole_files(folder) as temporary:
        write_text(temporary / "a.txt", "new")
        write_text(temporary / "b.txt", "new")


def test_files_are_written_together(tmp_path: Path) -> None:
    write_two(tmp_path / "x" / "out")
    write_two(tmp_path / "x" / "out")
    assert names(tmp_path / "x" / "out") == ["a.txt", "b.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("fails", ["b.txt", "move"])
def test_none_is_written_if_one_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: str
) -> None:
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target).name == "b.txt" and (fails == "b.txt" or Path(target).parent == tmp_path):
            raise OSError(number, os.strerror(number))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WriteError, match=r"could not be written") as caught:
        write_two(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}")
    assert ".tmp" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(WriteError, match=r"Is a directory\): choose another name, since a folder has it"):
        write_two(tmp_path)
    assert names(tmp_path) == ["b.txt"]
