import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from acsnet._utils.files import DiskFullError
from acsnet.data import dataset_entry
from acsnet.data.datasets import DatasetEntry, RemoteFile
from acsnet.data.datasets.busi import scan_busi
from acsnet.data.download import NOT_PINNED, describe_dataset, download_dataset, find_dataset, published_dataset
from acsnet.errors import DataError, DownloadError, InputError, UnknownNameError


def zipped(root: Path, prefix: str = "Dataset_BUSI_with_GT") -> bytes:
    """Zip the phantoms like a publisher."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, f"{prefix}/{path.relative_to(root).as_posix()}")
    return buffer.getvalue()


@pytest.fixture
def content(phantom_root: Path) -> bytes:
    return zipped(phantom_root)


@pytest.fixture
def entry(site: Any, content: bytes) -> DatasetEntry:
    """Return a dataset of an archive and a table, served on loopback, without pinned checksums."""
    site.files |= {"/set.zip": content, "/notes.csv": b"a,b\n"}
    files = (RemoteFile("notes.csv", site.url("/notes.csv")), RemoteFile("set.zip", site.url("/set.zip")))
    return DatasetEntry("mine", "My set", "me", "CC0", "http://example.org", scan_busi, files=files)


def get(entry: DatasetEntry, out: Path, sha256: str = "") -> dict[str, str]:
    return download_dataset(entry, out, sha256, progress=False).checksums


def test_a_dataset_is_downloaded_and_unpacked(entry: DatasetEntry, content: bytes, tmp_path: Path) -> None:
    fetched = download_dataset(entry, tmp_path / "data", progress=False)
    assert fetched.folder == tmp_path / "data" / "mine"
    assert sorted(path.name for path in fetched.folder.iterdir()) == ["Dataset_BUSI_with_GT", "notes.csv"]
    assert os.listdir(tmp_path / "data") == ["mine"], "archives and temporary folders are gone"
    assert fetched.checksums["set.zip"] == f"{hashlib.sha256(content).hexdigest()} ({NOT_PINNED})"
    found = find_dataset(entry, fetched.folder)
    assert found.root == fetched.folder / "Dataset_BUSI_with_GT"
    assert found.summary == "36 images (14 benign, 12 malignant, 10 normal)"
    assert found.problems == []


@pytest.mark.parametrize("prefix", ["a", "long name/b", "x/y/z"])
def test_outer_folders_are_dropped(prefix: str, site: Any, phantom_root: Path, tmp_path: Path) -> None:
    site.files["/set.zip"] = zipped(phantom_root, prefix)
    file = RemoteFile("set.zip", site.url("/set.zip"))
    fetched = download_dataset(
        DatasetEntry("mine", "", "", "", "", scan_busi, files=(file,), folder="My set"), tmp_path
    )
    assert fetched.folder == tmp_path / "My set"
    assert sorted(os.listdir(fetched.folder)) == ["benign", "malignant", "normal"]
    assert os.listdir(tmp_path) == ["My set"]


def test_a_pinned_checksum(entry: DatasetEntry, content: bytes, site: Any, tmp_path: Path) -> None:
    digest = hashlib.sha256(content).hexdigest()
    pinned = RemoteFile("set.zip", site.url("/set.zip"), digest, pinned_by="the publisher")
    entry = DatasetEntry("mine", "", "", "", "", scan_busi, files=(pinned,))
    assert get(entry, tmp_path) == {"set.zip": f"{digest} (as pinned: the publisher)"}
    site.files["/set.zip"] += b"x"
    with pytest.raises(DownloadError, match=rf"is not the expected file: .* not {digest}; it was deleted"):
        get(entry, tmp_path / "again")
    assert os.listdir(tmp_path / "again") == []
    with pytest.raises(InputError, match=r"every file of .* has a pinned SHA-256: leave out yours"):
        get(entry, tmp_path / "again", digest)


def test_a_required_checksum(entry: DatasetEntry, content: bytes, site: Any, tmp_path: Path) -> None:
    entry = DatasetEntry("mine", "", "", "", "", scan_busi, files=entry.files[1:])
    digest = hashlib.sha256(content).hexdigest()
    assert get(entry, tmp_path, digest.upper()) == {"set.zip": f"{digest} (as required)"}
    with pytest.raises(DownloadError, match="is not the expected file"):
        get(entry, tmp_path / "again", "0" * 64)
    with pytest.raises(InputError, match=r"the SHA-256 is 'abc': expected 64 hexadecimal digits"):
        get(entry, tmp_path / "again", "abc")


def test_a_dataset_on_request_says_how_to_ask(tmp_path: Path) -> None:
    message = (
        r"UDIAT \(Dataset B\) cannot be downloaded: it has no public address\. Ask Moi Hoon Yap .*; its page is http"
    )
    with pytest.raises(DownloadError, match=message):
        get(dataset_entry("udiat"), tmp_path / "data")
    with pytest.raises(
        DownloadError,
        match=r"your own images in folders cannot be downloaded: arrange your images as images/<class>/",
    ):
        get(dataset_entry("folders"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_nothing_is_overwritten(entry: DatasetEntry, site: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(DownloadError, match=r"mine is there already and is never overwritten: remove it, or choose"):
        get(entry, tmp_path)
    assert site.requests == []
    (tmp_path / "mine" / "notes.txt").unlink()
    get(entry, tmp_path)
    assert (tmp_path / "mine" / "notes.csv").exists()


def test_a_hostile_archive_leaves_nothing(entry: DatasetEntry, site: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.txt", b"x")
        archive.writestr("../../evil.txt", b"x")
    site.files["/set.zip"] = buffer.getvalue()
    with pytest.raises(DownloadError, match=r"set\.zip is refused: '\.\./\.\./evil\.txt' leads out of the folder"):
        get(entry, tmp_path / "a" / "data")
    assert {path.name for path in tmp_path.rglob("*")} <= {"a", "data", "notes.csv", "phantoms"}


def test_a_broken_archive_is_downloaded_again(entry: DatasetEntry, site: Any, content: bytes, tmp_path: Path) -> None:
    site.files["/set.zip"] = b"<html>please log in</html>"
    with pytest.raises(
        DownloadError, match=r"set\.zip cannot be unpacked \(File is not a zip file\): download it again"
    ):
        get(entry, tmp_path)
    assert os.listdir(tmp_path) == ["notes.csv"]
    site.files["/set.zip"] = content
    site.requests.clear()
    get(entry, tmp_path)
    assert [path for path, _ in site.requests] == ["/set.zip"], "complete files are not downloaded twice"


def test_a_full_disk_keeps_the_downloaded_files(
    entry: DatasetEntry, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("acsnet._utils.unpack._write", full)
        with pytest.raises(DiskFullError, match="mine could not be written: the disk is full"):
            get(entry, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["notes.csv", "set.zip"]
    site.requests.clear()
    get(entry, tmp_path)
    assert site.requests == []


def test_an_old_file_with_another_checksum_is_downloaded_again(site: Any, content: bytes, tmp_path: Path) -> None:
    site.files["/set.zip"] = content
    pinned = RemoteFile("set.zip", site.url("/set.zip"), hashlib.sha256(content).hexdigest(), pinned_by="x")
    (tmp_path / "set.zip").write_bytes(b"old")
    get(DatasetEntry("mine", "", "", "", "", scan_busi, files=(pinned,)), tmp_path)
    assert len(site.requests) == 1


def test_an_archive_without_the_dataset(entry: DatasetEntry, tmp_path: Path) -> None:
    (tmp_path / "mine" / "cats").mkdir(parents=True)
    message = r"mine was downloaded, but cannot be read as My set: .*mine has none of the folders benign/, malignant/"
    with pytest.raises(DataError, match=message):
        find_dataset(entry, tmp_path / "mine")


@pytest.mark.parametrize("inner", ["", "one", "one/two words"])
def test_the_root_in_an_archive(inner: str, entry: DatasetEntry, phantom_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / inner).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(phantom_root, folder / inner)
    assert find_dataset(entry, folder).root == folder / inner


def test_description_of_a_dataset() -> None:
    shown = describe_dataset(dataset_entry("busbra"))
    assert shown.splitlines()[0] == "BUS-BRA"
    for text in ("license:     CC BY 4.0", "Medical Physics", "https://zenodo.org/records/8231412/files/BUSBRA.zip"):
        assert text in shown
    assert "Ask Moi Hoon Yap" in describe_dataset(dataset_entry("udiat"))


@pytest.mark.parametrize("name", ["foo", "busii", "folder"])
def test_an_unknown_dataset_lists_those_of_publishers(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"^unknown dataset '{name}'") as caught:
        published_dataset(name)
    assert "folders" not in str(caught.value), "it cannot be downloaded"
    if name == "busii":
        assert "did you mean 'busi'" in str(caught.value)


def test_a_layout_without_publisher_says_how_to_use_it(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="your own images in folders cannot be downloaded: arrange your images as"):
        download_dataset(published_dataset("folders"), tmp_path)
