import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet._utils.files import DiskFullError, WriteError, cache_folder
from acsnet.data import Framing, ImageCache, Record, cache, decoding, read_busi
from acsnet.data.images import read_image, read_merged_mask, resize_image, resize_mask, to_channels
from acsnet.errors import DataError

MakeSet = Callable[..., Path]
PACKAGE = Path(cache.__file__).parents[1]


@pytest.fixture
def records(make_set: MakeSet) -> list[Record]:
    return read_busi(make_set(benign=3, normal=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def build(records: list[Record], folder: Path, size: tuple[int, int] = (16, 12), channels: int = 3) -> ImageCache:
    return ImageCache(records, size, channels, folder, progress=False)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_right(built: ImageCache, records: list[Record], size: tuple[int, int] = (16, 12), channels: int = 3) -> None:
    assert built.images.shape == (len(records), *size, channels)
    assert built.masks.shape == (len(records), *size)
    for index, record in enumerate(records):
        image = read_image(record.image)
        mask = read_merged_mask(record.masks, (image.shape[0], image.shape[1]))
        np.testing.assert_array_equal(built.images[index], to_channels(resize_image(image, size), channels))
        np.testing.assert_array_equal(built.masks[index], resize_mask(mask, size))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 12), (20, 24), (32, 40)])
def test_the_same_as_reading_directly(
    size: tuple[int, int], channels: int, records: list[Record], folder: Path
) -> None:
    built = build(records, folder, size, channels)
    assert_right(built, records, size, channels)
    assert built.images.dtype == np.uint8
    assert built.masks.dtype == np.bool_
    assert built.masks.any(axis=(1, 2)).tolist() == [True, True, True, False]
    assert listing(folder) == [built.path.name]


@pytest.mark.parametrize("framing", [Framing(True), Framing(False, True, (84,)), Framing(True, True, (84,))], ids=str)
def test_a_framing_has_its_own_cache(framing: Framing, records: list[Record], folder: Path) -> None:
    plain = build(records, folder, (64, 48))
    framed = ImageCache(records, (64, 48), 3, folder, progress=False, framing=framing)
    assert framed.path != plain.path
    assert ImageCache(records, (64, 48), 3, folder, progress=False, framing=Framing()).path == plain.path
    other_padding = replace(framing, padding=(85,))
    assert ImageCache(records, (64, 48), 3, folder, progress=False, framing=other_padding).path != framed.path
    for index, record in enumerate(records):
        image = read_image(record.image)
        mask = read_merged_mask(record.masks, (image.shape[0], image.shape[1]))
        frame = framing.frame(image, (64, 48))
        np.testing.assert_array_equal(framed.images[index], frame.image_to_input(image))
        np.testing.assert_array_equal(framed.masks[index], frame.mask_to_input(mask))


def test_crops_are_logged_once(tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    scan = np.random.default_rng(0).integers(40, 200, (50, 60), dtype=np.uint8)
    mask = np.zeros((70, 60), np.uint8)
    mask[10:40] = 255
    Image.fromarray(np.pad(scan, ((20, 0), (0, 0)))).save(tmp_path / "cut.png")
    Image.fromarray(mask).save(tmp_path / "cut_mask.png")
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(tmp_path / "empty.png")
    records = [
        Record(tmp_path / "cut.png", (tmp_path / "cut_mask.png",), "benign", "cut.png"),
        Record(tmp_path / "empty.png", (), "benign", "empty.png"),
    ]
    with caplog.at_level("INFO", logger="acsnet"):
        for _ in range(2):
            ImageCache(records, (16, 16), 3, folder, progress=False, framing=Framing(crop_margins=True))
    assert caplog.messages == [
        "cropped 1 of 2 images to the scanned region",
        f"images that are all margin were left whole: {tmp_path / 'empty.png'}",
        f"data.crop_margins leaves out lesion pixels of masks: {tmp_path / 'cut.png'}",
    ]


def test_frames_of_one_file(tmp_path: Path, folder: Path) -> None:
    pages = [np.full((20, 24), value, np.uint8) for value in (10, 200)]
    Image.fromarray(pages[0]).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(pages[1])])
    records = [Record(tmp_path / f"a.tif#{page}", (), "normal", name=str(page)) for page in (0, 1)]
    built = build(records, folder)
    assert built.images[:, 0, 0, 0].tolist() == [10, 200]
    assert build(records[::-1], folder).path != built.path
    # The content counts, not the time.
    os.utime(tmp_path / "a.tif", (1, 1))
    assert build(records, folder).path == built.path


def test_the_second_time_nothing_is_decoded(
    records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(records, folder)

    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoding, "read_image", fail)
    again = build(records, folder)
    assert again.path == first.path
    assert_right(again, records)
    with pytest.raises(AssertionError, match="decoded again"):
        build(records, folder, (8, 8))


def test_the_arrays_cannot_be_written(records: list[Record], folder: Path) -> None:
    built = build(records, folder)
    for array in (built.images, built.masks):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_size_channels_records_and_their_order_are_other_caches(records: list[Record], folder: Path) -> None:
    caches = [
        build(records, folder),
        build(records, folder, (12, 16)),
        build(records, folder, channels=1),
        build(records[::-1], folder),
        build(records[1:], folder),
    ]
    assert len({one.path for one in caches}) == len(listing(folder)) == len(caches)
    assert_right(caches[3], records[::-1])


def rewrite(path: Path, value: int, keep: str) -> None:
    """Write other pixels into a file, keeping either its time or its size."""
    before = path.stat()
    old = np.asarray(Image.open(path))
    new = old.copy()
    new[: 20 if keep == "time" else 1] = value
    Image.fromarray(new).save(path, compress_level=9 if keep == "time" else 0)
    if keep == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size != before.st_size
    else:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
        assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("which", ["image", "mask"])
def test_other_pixels_under_the_same_size_and_times_are_read_again(
    which: str, records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = records[1].image if which == "image" else records[1].masks[0]
    Image.fromarray(np.asarray(Image.open(path))).save(path, compress_level=0)
    first = build(records, folder)
    before = path.stat()
    changed = np.array(Image.open(path))
    changed[:9, :9] = 255
    Image.fromarray(changed).save(path, compress_level=0)
    assert path.stat().st_size == before.st_size
    # A file system whose clock is coarse, or that has no change time.
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda file, **more: before if file == path else stat(file, **more))
    second = build(records, folder)
    assert second.path != first.path
    assert_right(second, records)


def test_a_file_that_changes_while_it_is_read_leaves_no_cache(records: list[Record], folder: Path) -> None:
    def fill(store: cache.Store) -> None:
        for index, record in enumerate(records):
            store(index, *decoding.decode_record(record))
        rewrite(records[0].image, 77, "time")

    with pytest.raises(DataError, match="images or masks changed while they were read: run the command again"):
        ImageCache(records, (16, 12), 3, folder, progress=False, fill=fill)
    assert listing(folder) == []


def zeros_inside(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array[1, 3:9] = 0
    return array


DAMAGES: dict[str, tuple[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]] = {
    "zeros inside the images": ("images.npy", zeros_inside),
    "one pixel": ("masks.npy", lambda array: np.concatenate([~array[:, :1], array[:, 1:]], axis=1)),
    "another size": ("images.npy", lambda array: array[:, :8]),
    "fewer images": ("masks.npy", lambda array: array[1:]),
    "another type": ("images.npy", lambda array: array.astype(np.float32)),
    "masks as numbers": ("masks.npy", lambda array: array.astype(np.uint8)),
    "other checksums": ("checksums.npy", lambda array: array + np.uint32(1)),
    "checksums of other images": ("checksums.npy", lambda array: array[:1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_again(damage: str, records: list[Record], folder: Path) -> None:
    name, change = DAMAGES[damage]
    built = build(records, folder)
    np.save(built.path / name, change(np.load(built.path / name)))
    again = build(records, folder)
    assert again.path == built.path
    assert_right(again, records)


@pytest.mark.parametrize("keep", ["time", "size"])
@pytest.mark.parametrize("which", ["image", "mask"])
def test_a_changed_source_file_is_read_again(which: str, keep: str, records: list[Record], folder: Path) -> None:
    path = records[1].image if which == "image" else records[1].masks[0]
    if keep == "size":
        # Uncompressed before and after: other pixels, as many bytes.
        Image.fromarray(np.asarray(Image.open(path))).save(path, compress_level=0)
    first = build(records, folder)
    rewrite(path, 77 if which == "image" else 255, keep)
    second = build(records, folder)
    assert second.path != first.path
    assert_right(second, records)


def test_the_folder_of_the_environment(records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACSNET_CACHE", str(tmp_path / "named"))
    assert ImageCache(records, (8, 8), 1, progress=False).path.parent == tmp_path / "named"
    monkeypatch.delenv("ACSNET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "acsnet"


def test_a_missing_source_file(records: list[Record], folder: Path) -> None:
    records[2].masks[0].unlink()
    with pytest.raises(DataError, match=r"there is no image .*benign \(3\)_mask\.png: it was moved or removed"):
        build(records, folder)


def test_a_broken_source_file_leaves_nothing(records: list[Record], folder: Path) -> None:
    records[2].image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"benign \(3\)\.png cannot be read as an image"):
        build(records, folder)
    assert listing(folder) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(number: int, records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(
            DiskFullError, match=r"cache/[0-9a-f]{16} could not be written: the disk is full; free some"
        ):
            build(records, folder)
    assert listing(folder) == []
    assert_right(build(records, folder), records)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot claim space beforehand")
def test_space_is_claimed_before_pixels_are_written(
    records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = []

    def note(descriptor: int, offset: int, length: int) -> None:
        claimed.append((offset, length, os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "posix_fallocate", note)
    build(records, folder)
    assert [offset for offset, _, _ in claimed] == [0, 0]
    assert all(length == size for _, length, size in claimed)
    assert claimed[0][1] >= len(records) * 16 * 12 * 3
    assert claimed[1][1] >= len(records) * 16 * 12


def test_another_error_of_the_disk_is_one_line(
    records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "rename", fail)
    message = (
        r"could not be written \(Operation not permitted\): choose another folder, or change its permissions; "
        r"images are cached in data\.cache, or in the environment variable ACSNET_CACHE$"
    )
    with pytest.raises(WriteError, match=message):
        build(records, folder)
    assert listing(folder) == []


def test_a_folder_that_is_a_file(records: list[Record], folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(
        WriteError, match=r"could not be written \(.*\): choose another folder, since a file is in the p"
    ):
        build(records, folder)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "checksums.npy"])
@pytest.mark.parametrize("size", [0, 60, 400])
def test_a_cache_that_is_cut_off_is_made_again(name: str, size: int, records: list[Record], folder: Path) -> None:
    path = build(records, folder).path / name
    path.write_bytes(path.read_bytes()[: min(size, path.stat().st_size - 1)])
    assert_right(build(records, folder), records)


def test_a_cache_that_may_only_be_read(records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(records, folder)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "utime", refuse)
    assert_right(build(records, folder), records)


@pytest.mark.parametrize("lost", ["images.npy", "masks.npy", "checksums.npy"])
def test_an_incomplete_cache_is_rebuilt(lost: str, records: list[Record], folder: Path) -> None:
    built = build(records, folder)
    (built.path / lost).unlink()
    assert_right(build(records, folder), records)
    assert listing(folder) == [built.path.name]


def test_a_pickled_cache_is_its_path(
    records: list[Record], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(build(records, Path(folder.name), (64, 64)))
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert isinstance(again.images, np.memmap)
    assert_right(again, records, (64, 64))


def test_the_least_recently_used_are_removed(
    records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MAX_CACHES", 3)
    caches = [build(records, folder, (8, 8 + i)) for i in range(3)]
    for i, one in enumerate(caches):
        os.utime(one.path, (1000 + i, 1000 + i))
    # Used again, the oldest is the newest.
    assert build(records, folder, (8, 8)).path == caches[0].path
    newest = build(records, folder, (8, 20))
    assert listing(folder) == sorted(one.path.name for one in (caches[0], caches[2], newest))
    # What is mapped can be read on.
    assert_right(caches[1], records, (8, 9))


def test_a_dozen_is_kept(records: list[Record], folder: Path) -> None:
    for i in range(14):
        build(records[:1], folder, (4, 4 + i))
    assert len(listing(folder)) == 12


def test_nothing_else_in_the_folder_is_removed(
    records: list[Record], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MAX_CACHES", 1)
    names = ["my data", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0"]
    for name in names:
        (folder / name).mkdir(parents=True)
        for file in ("images.npy", "masks.npy"):
            (folder / name / file).touch()
        os.utime(folder / name, (1, 1))
    (folder / "0123456789abcdef").mkdir()
    (folder / "notes.txt").touch()
    built = build(records, folder)
    assert listing(folder) == sorted([*names, "0123456789abcdef", "notes.txt", built.path.name])


# The cache without the rest of the package, whose import takes seconds.
ALONE = f"""
import os, sys, time, types
for name, path in (("acsnet", {str(PACKAGE)!r}), ("acsnet.data", {str(PACKAGE / "data")!r})):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from pathlib import Path
from typing import Any
import numpy as np
import numpy.typing as npt
from acsnet.data import cache, decoding
from acsnet.data.datasets.busi import read_busi
"""


def start(code: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", ALONE + code], env=environment, text=True, stdout=subprocess.PIPE)


def test_two_processes_build_at_once(make_set: MakeSet, tmp_path: Path, folder: Path) -> None:
    root = make_set(benign=3, normal=1)
    # Each has decoded everything before either publishes.
    code = f"""
publish = cache._publish
def wait(temporary, path):
    Path({str(tmp_path)!r}, f"filled.{{os.getpid()}}").touch()
    limit = time.monotonic() + 250
    while len(list(Path({str(tmp_path)!r}).glob("filled.*"))) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    publish(temporary, path)
cache._publish = wait
built = cache.ImageCache(read_busi(Path({str(root)!r})), (16, 12), 3, Path({str(folder)!r}), progress=False)
np.savez(Path({str(tmp_path)!r}, f"{{sys.argv[0]}}{{os.getpid()}}.npz"), images=built.images, masks=built.masks)
print(built.path.name)
"""
    processes = [start(code) for _ in range(2)]
    names = {process.communicate(timeout=300)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(list(tmp_path.glob("filled.*"))) == 2
    assert listing(folder) == sorted(names)
    assert len(names) == 1
    built = build(read_busi(root), folder)
    assert built.path.name in names
    assert_right(built, read_busi(root))
    results = [np.load(path) for path in tmp_path.glob("*.npz")]
    assert len(results) == 2
    for result in results:
        np.testing.assert_array_equal(result["images"], built.images)
        np.testing.assert_array_equal(result["masks"], built.masks)


def test_a_killed_builder_leaves_nothing_that_is_read(make_set: MakeSet, folder: Path) -> None:
    root = make_set(benign=3, normal=1)
    code = f"""
read = decoding.read_image
def die(path):
    if path.name.startswith("benign (3)"):
        os.kill(os.getpid(), {signal.SIGKILL})
    return read(path)
decoding.read_image = die
cache.ImageCache(read_busi(Path({str(root)!r})), (16, 12), 3, Path({str(folder)!r}), progress=False)
"""
    process = start(code)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    [left] = listing(folder)
    assert left.startswith(".building-"), "killed in the middle"
    # It may have been made just now, and not have its lock yet.
    built = build(read_busi(root), folder)
    assert_right(built, read_busi(root))
    assert listing(folder) == [left, built.path.name]
    earlier = time.time() - 100
    os.utime(folder / left, (earlier, earlier))
    build(read_busi(root), folder)
    assert listing(folder) == [built.path.name]
