import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet._utils.files import (
    DiskFullError,
    WriteError,
    cache_folder,
    explain_write_error,
    explained_writes,
    replace_section,
    whole_file,
    write_csv,
    write_json,
    write_png,
    write_text,
)
from acsnet.errors import InputError

PACKAGE = Path(__file__).resolve().parents[2] / "acsnet"
# acsnet._utils.files without the rest of the package, whose import takes seconds.
ALONE = f"""
import os, sys, types
package = types.ModuleType("acsnet")
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["acsnet"] = package
from pathlib import Path
from acsnet._utils.files import whole_file
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_writes_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    for text in ("first", "second"):
        with whole_file(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() != text, "the file appears once the block is done"
        assert path.read_text() == text
    assert names(path.parent) == ["file.txt"]


def test_a_reader_in_the_middle_keeps_the_old_file_whole(tmp_path: Path) -> None:
    """The new file takes the place of the old one, which is not written into."""
    path = tmp_path / "file.txt"
    path.write_text("the old text")
    with path.open() as reader:
        assert reader.read(4) == "the "
        write_text(path, "something else")
        assert reader.read() == "old text"


def test_the_temporary_file_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with whole_file(tmp_path / "mask.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith("."), "hidden, so that a listing of images does not find it"
        temporary.touch()


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(WriteError, match="No such file"), whole_file(path):
        pass
    assert path.read_text() == "old"


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    code = f"""{ALONE}
with whole_file(Path({str(path)!r})) as temporary:
    temporary.write_text("half")
    os._exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert path.read_text() == "old"
    stale = [name for name in names(tmp_path) if name != "file.txt"]
    assert len(stale) == 1, "the process died in the middle of writing"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_cache_without_a_home_folder_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in containers, for a user without a name."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for value in (None, ""):
        monkeypatch.delenv("ACSNET_CACHE") if value is None else monkeypatch.setenv("ACSNET_CACHE", value)
        with pytest.raises(WriteError, match=r"the home folder is unknown: set the environment variable ACSNET_CACHE"):
            cache_folder()
    monkeypatch.setenv("ACSNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_not_a_matter_of_writing(tmp_path: Path, number: int) -> None:
    error = explain_write_error(OSError(number, os.strerror(number)), tmp_path / "a.png")
    assert str(error).startswith(f"{tmp_path / 'a.png'} could not be opened (Too many open files")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_line(tmp_path: Path, number: int) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fill() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))

    message = r"file\.txt could not be written: the disk is full; free some space and run the command again"
    with pytest.raises(DiskFullError, match=message):
        fill()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    def fill() -> None:
        with whole_file(tmp_path / "file.txt") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("x" * 100_000)

    with pytest.raises(DiskFullError, match="the disk is full"):
        fill()
    assert names(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    message = r"out/a/file\.txt could not be written \(Not a directory\): choose another folder, since a file is in the"
    with pytest.raises(WriteError, match=message):
        write_text(tmp_path / "out" / "a" / "file.txt", "text")
    with pytest.raises(WriteError, match=r"out/file\.txt could not be written \(File exists\): choose another folder"):
        write_text(tmp_path / "out" / "file.txt", "text")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_name_that_is_too_long_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"could not be written \(File name too long\): choose a shorter name$"):
        write_text(tmp_path / ("x" * 300), "text")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "choose a folder on a file system that is not read-only"),
        (errno.EACCES, "choose another folder, or change its permissions"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n), or lower data.workers"),
        (errno.EFBIG, "raise the limit of file sizes (ulimit -f), or choose another file system"),
        (errno.EIO, "check the disk and the connection to it, or choose another folder"),
        (errno.ENODEV, "check the disk and the connection to it, or choose another folder"),
        (errno.ESTALE, "check the disk and the connection to it, or choose another folder"),
        (errno.ELOOP, "choose another folder, since links lead in a circle"),
        (errno.EBUSY, "choose another folder"),
    ],
)
def test_other_errors_are_one_clear_line(tmp_path: Path, number: int, remedy: str) -> None:
    def fail() -> None:
        with whole_file(tmp_path / "file.txt"):
            raise OSError(number, os.strerror(number))

    with pytest.raises(WriteError) as caught:
        fail()
    action = "opened" if number == errno.EMFILE else "written"
    assert str(caught.value) == f"{tmp_path / 'file.txt'} could not be {action} ({os.strerror(number)}): {remedy}"
    assert names(tmp_path) == []


def test_an_error_without_a_number_is_a_defect() -> None:
    with pytest.raises(OSError, match=r"^odd$"), explained_writes(Path("x")):
        raise OSError("odd")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_errors_of_other_writers_are_explained(number: int) -> None:
    with pytest.raises(WriteError, match=r"^events could not be written"), explained_writes(Path("events")):
        raise OSError(number, os.strerror(number))


def test_text_is_written_byte_for_byte(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "größe\n1\r\n2\n")
    assert (tmp_path / "a.txt").read_bytes() == "größe\n1\r\n2\n".encode()


def test_a_file_name_that_is_not_utf8_is_written_as_it_is(tmp_path: Path) -> None:
    name = os.fsdecode(b"l\xe4sion.png")
    write_csv(tmp_path / "a.csv", [{"image": name}])
    assert (tmp_path / "a.csv").read_bytes() == b"image\nl\xe4sion.png\n"


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"dice": 0.7612345678901234, "notes": ["a", None], "n": 3}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value
    assert (tmp_path / "a.json").read_text().endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_rejects_nan_and_infinity(tmp_path: Path, value: float) -> None:
    write_json(tmp_path / "a.json", {"dice": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"dice": value})
    assert json.loads((tmp_path / "a.json").read_text()) == {"dice": 1.0}


def test_csv_has_a_header_and_the_asked_order(tmp_path: Path) -> None:
    rows = [{"b": 1, "a": 'x,"y"'}, {"a": "z", "b": 2.5}]
    write_csv(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_bytes() == b'b,a\n1,"x,""y"""\n2.5,z\n'
    write_csv(tmp_path / "a.csv", rows, columns=("a", "b"))
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "a,b"
    write_csv(tmp_path / "empty.csv", [], columns=("a", "b"))
    assert (tmp_path / "empty.csv").read_text() == "a,b\n"


def test_csv_refuses_a_value_without_a_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fields not in fieldnames: 'c'"):
        write_csv(tmp_path / "a.csv", [{"a": 1}, {"a": 1, "c": 2}])
    assert not (tmp_path / "a.csv").exists()


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n")

    def never() -> str:
        pytest.fail("the text is made before the file is looked at")

    changed = replace_section(path, "x", lambda: "new\nlines")
    assert changed == "before\n<!-- x:begin -->\nnew\nlines\n<!-- x:end -->\nafter\n"
    with pytest.raises(InputError, match=r"a\.md has no y section: add the lines <!-- y:begin --> and"):
        replace_section(path, "y", never)
    with pytest.raises(InputError, match=r"there is no file .*b\.md"):
        replace_section(tmp_path / "b.md", "x", never)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_picture_comes_back(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_png(tmp_path / "new" / "a.b.png", picture)
    with Image.open(tmp_path / "new" / "a.b.png") as image:
        assert (image.format, image.mode) == ("PNG", "L" if len(shape) == 2 else "RGB")
        assert np.array_equal(np.asarray(image), picture)
    assert names(tmp_path / "new") == ["a.b.png"]
