import os
from pathlib import Path

import pytest

from acsnet._utils import reading
from acsnet._utils.reading import read_bytes, read_text


def test_files_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Größe\r\n".encode())
    (tmp_path / "link").symlink_to(tmp_path / "a.txt")
    assert read_bytes(tmp_path / "link", limit=9) == "Größe\r\n".encode()
    assert read_text(tmp_path / "a.txt") == "Größe\r\n"


def test_what_is_not_a_file_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, reason in {"pipe": "it is a named pipe", "zero": "it is a device"}.items():
        with pytest.raises(OSError, match=reason):
            read_text(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_missing_files_and_links_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    for name in ("missing", "link"):
        with pytest.raises(FileNotFoundError):
            read_text(tmp_path / name)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        read_text(tmp_path / "file" / "a.txt")


def test_sizes_are_limited_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it has more than 268435456 bytes"):
        read_text(tmp_path / "huge.json")
    monkeypatch.setattr(reading, "MAX_TEXT_BYTES", 4)
    (tmp_path / "a.txt").write_text("12345")
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_text(tmp_path / "a.txt")
