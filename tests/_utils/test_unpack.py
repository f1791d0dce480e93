"""Valid and hostile archives."""

import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from acsnet._utils.files import DiskFullError
from acsnet._utils.unpack import unpack
from acsnet.errors import DownloadError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inner" / "target"
    folder.mkdir(parents=True)
    return folder


def make(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def test_files_and_folders(tmp_path: Path, folder: Path) -> None:
    archive = make(
        tmp_path / "a.zip",
        ("Set/", b""),
        ("Set/empty/", b""),
        ("Set/benign/benign (1).png", b"one" * 200_000),
        ("Set/größe.txt", b""),
        (with_mode("Set/program", stat.S_IFREG | 0o4777), b"x"),
    )
    unpack(archive, folder)
    assert files(folder) == {"Set/benign/benign (1).png": b"one" * 200_000, "Set/größe.txt": b"", "Set/program": b"x"}
    assert (folder / "Set" / "empty").is_dir()
    assert not (folder / "Set" / "program").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR), "modes are ignored"


def test_files_of_file_managers_are_skipped(tmp_path: Path, folder: Path) -> None:
    names = ["a.png", "__MACOSX/._a.png", "__MACOSX/x/._b.png", ".DS_Store", "x/Thumbs.db", "x/desktop.ini"]
    unpack(make(tmp_path / "a.zip", *((name, b"x") for name in names)), folder)
    assert set(files(folder)) == {"a.png"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.txt", "leads out of the folder"),
        ("a/../../evil.txt", "leads out of the folder"),
        ("a/..", "leads out of the folder"),
        ("/etc/evil.txt", "leads out of the folder"),
        ("//server/evil.txt", "leads out of the folder"),
        ("..\\evil.txt", "leads out of the folder"),
        ("C:/evil.txt", "leads out of the folder"),
        ("a/evil.txt:stream", "leads out of the folder"),
        ("a//evil.txt", "is not a valid file name"),
        ("a/./evil.txt", "is not a valid file name"),
        ("a/evil\n.txt", "is not a valid file name"),
        ("evil\x1b[2J.txt", "is not a valid file name"),
        ("x" * 256, "is not a valid file name"),
        ("ü" * 128, "is not a valid file name"),
    ],
)
def test_names_that_are_refused(name: str, reason: str, tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", ("good.txt", b"x"), (name, b"evil"))
    with pytest.raises(DownloadError, match=rf"a\.zip is refused: .* {reason}$"):
        unpack(archive, folder)
    assert files(folder) == {}, "nothing is written before all names are checked"
    assert {path.name for path in tmp_path.rglob("*")} == {"a.zip", "inner", "target"}


@pytest.mark.parametrize("names", [("",), ("a.png", ""), ("", "a/")])
def test_a_member_without_a_name(names: tuple[str, ...], tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in names:
            opened.open(zipfile.ZipInfo(name), "w").close()
    with pytest.raises(DownloadError, match=r"a\.zip is refused: '' is not a valid file name"):
        unpack(archive, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("names", [("Ä.png", "A\u0308.png"), ("é/a", "E\u0301/A"), ("\u212b", "Å")])
def test_names_that_differ_in_the_form_of_accents(names: tuple[str, str], tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", *((name, b"x") for name in names))
    with pytest.raises(DownloadError, match=r"a\.zip is refused: .* occurs twice"):
        unpack(archive, folder)


def test_a_name_cut_by_a_null_byte(tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", ("evil.txtX.png", b"x"))
    archive.write_bytes(archive.read_bytes().replace(b"evil.txtX", b"evil.txt\0"))
    with pytest.raises(DownloadError, match=r"'evil\.txt\\x00\.png' is not a valid file name"):
        unpack(archive, folder)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(kind: int, tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", (with_mode("link", kind | 0o777), b"/etc/passwd"), ("link/evil.txt", b"x"))
    with pytest.raises(DownloadError, match=r"'link' is a link or a device"):
        unpack(archive, folder)
    assert not list(folder.iterdir())


def test_all_problems_are_listed_at_once(tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", *((f"../{number}.txt", b"x") for number in range(14)))
    with pytest.raises(DownloadError, match=r"a\.zip is refused: '\.\./0\.txt' leads out of the folder; ") as error:
        unpack(archive, folder)
    assert str(error.value).count("leads out of the folder") == 10
    assert str(error.value).endswith("; and 4 more")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a.txt", "a.txt"], "'a.txt' occurs twice"),
        (["x/a.txt", "X/A.TXT"], "'X/A.TXT' occurs twice"),
        (["a", "a/b.txt"], "'a' is both a file and a folder"),
        (["a/b/c.txt", "A/B"], "'a/b' is both a file and a folder"),
        (["a/", "a"], "'a' is both a file and a folder"),
    ],
)
def test_files_that_would_overwrite_each_other(names: list[str], reason: str, tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", *((name, b"x") for name in names))
    with pytest.raises(DownloadError, match=reason):
        unpack(archive, folder)
    assert not list(folder.iterdir())


def test_a_bomb(tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", ("bomb", b"\0" * 10_000_000))
    assert archive.stat().st_size < 20_000
    with pytest.raises(
        DownloadError, match=r"a\.zip is refused: it would unpack to 10000000 bytes; the limit is 5000000"
    ):
        unpack(archive, folder, max_bytes=5_000_000)
    assert not list(folder.iterdir())


def test_a_bomb_that_lies_about_its_size(tmp_path: Path, folder: Path) -> None:
    size = 10_000_000
    archive = make(tmp_path / "a.zip", ("bomb", b"\0" * size))
    archive.write_bytes(archive.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 1000)))
    with zipfile.ZipFile(archive) as opened:
        assert opened.infolist()[0].file_size == 1000
    with pytest.raises(DownloadError, match=r"a\.zip cannot be unpacked \(.+\): download it again"):
        unpack(archive, folder, max_bytes=5_000_000)
    assert sum(len(content) for content in files(folder).values()) <= 5_000_000


def test_too_many_files(tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", *((str(number), b"") for number in range(11)))
    with pytest.raises(DownloadError, match=r"a\.zip is refused: it has 11 files; the limit is 10"):
        unpack(archive, folder, max_files=10)


def test_too_little_space_on_the_disk(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(tmp_path / "a.zip", ("a.txt", b"x" * 1000))
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=999))
    with pytest.raises(DiskFullError, match=r"a\.zip needs 1000 bytes in .*inner, which has 999 free: free some space"):
        unpack(archive, folder)


def test_an_encrypted_archive(tmp_path: Path, folder: Path) -> None:
    archive = make(tmp_path / "a.zip", ("a.txt", b"x"))
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match=r"a\.zip is refused: 'a\.txt' is encrypted"):
        unpack(archive, folder)


@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>", b"PK\3\4" + b"\0" * 100])
def test_files_that_are_not_archives(content: bytes, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DownloadError, match=r"a\.zip cannot be unpacked \(File is not a zip file\): download it again"):
        unpack(tmp_path / "a.zip", folder)


def test_broken_bytes_give_no_other_error(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    archive = make(tmp_path / "a.zip", *((f"x/{number}.txt", random.bytes(2000)) for number in range(4)))
    whole, refused = archive.read_bytes(), 0
    for index in range(200):
        broken = bytearray(whole)
        # Mostly at the end, where the directory of the archive is.
        broken[-random.integers(1, 250) if index % 4 else random.integers(len(whole))] = random.integers(256)
        archive.write_bytes(broken)
        folder = tmp_path / f"{index}"
        folder.mkdir()
        try:
            unpack(archive, folder)
        except DownloadError:
            refused += 1
    assert refused > 50
