"""Each image is decoded once: verification fills the cache, and its results are kept for later runs."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acsnet._utils.files import WriteError
from acsnet.config import DataConfig
from acsnet.data import images, load_cached_records, load_records, read_busi, verified, verify_records
from acsnet.errors import DataError

MakeSet = Callable[..., Path]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded, by name."""
    counts: Counter[str] = Counter()
    open_image = images._open

    def count(path: Path, load: bool = True) -> Image.Image:
        counts[path.name] += load
        return open_image(path, load)

    monkeypatch.setattr(images, "_open", count)
    return counts


@pytest.fixture
def root(make_set: MakeSet) -> Path:
    root = make_set(benign=3, malignant=2, normal=1)
    # One image with two masks.
    mask = Image.open(root / "benign" / "benign (1)_mask.png")
    mask.save(root / "benign" / "benign (1)_mask_1.png")
    return root


def settings(root: Path, tmp_path: Path, **more: Any) -> DataConfig:
    return DataConfig(root=root, cache=tmp_path / "cache", image_size=(16, 12), **more)


def once(root: Path) -> dict[str, int]:
    return {path.name: 1 for path in root.rglob("*.png")}


def test_a_cold_start_decodes_each_file_once_and_a_warm_start_none(
    root: Path, tmp_path: Path, decoded: Counter[str]
) -> None:
    data = settings(root, tmp_path)
    cold = load_cached_records(data, 3, progress=False)
    assert decoded == once(root)
    decoded.clear()
    warm = load_cached_records(data, 3, progress=False)
    assert load_records(data, progress=False) == warm.records == cold.records
    assert not decoded.total()
    assert cold.records == verify_records(read_busi(root), progress=False), "as decoded without a cache"
    assert warm.cache.path == cold.cache.path
    assert cold.cache.images.shape == (6, 16, 12, 3)
    np.testing.assert_array_equal(
        cold.cache.masks.any(axis=(1, 2)), [record.lesion_share > 0 for record in cold.records]
    )


def test_another_size_decodes_once_more_and_a_test_not_at_all(
    root: Path, tmp_path: Path, decoded: Counter[str]
) -> None:
    load_cached_records(settings(root, tmp_path), 3, progress=False)
    decoded.clear()
    load_cached_records(settings(root, tmp_path), 1, progress=False)
    assert decoded == once(root)
    decoded.clear()
    # Other folds and classes are verified already.
    load_records(settings(root, tmp_path, classes=("benign", "malignant"), folds={"index": 2}), progress=False)
    assert not decoded.total()


def rewrite(path: Path) -> None:
    """Write other pixels; size and modification time stay, as a copying tool may leave them."""
    before = path.stat()
    pixels = np.array(Image.open(path))
    Image.fromarray(255 - pixels).save(path, compress_level=0)
    content = path.read_bytes()
    path.write_bytes(content + b"\0" * (before.st_size - len(content)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["benign (2).png", "benign (2)_mask.png", "benign (1)_mask_1.png"])
def test_a_changed_file_is_decoded_again(root: Path, tmp_path: Path, decoded: Counter[str], name: str) -> None:
    data = settings(root, tmp_path)
    before = load_records(data, progress=False)
    decoded.clear()
    rewrite(root / "benign" / name)
    decoded.clear()
    after = load_records(data, progress=False)
    assert set(decoded) == {file for file in once(root) if file.startswith(name[: len("benign (2)")])}
    assert after != before
    assert after == verify_records(read_busi(root), progress=False)
    decoded.clear()
    assert load_records(data, progress=False) == after
    assert not decoded.total()


def test_a_file_that_breaks_or_vanishes_is_found(root: Path, tmp_path: Path) -> None:
    data = settings(root, tmp_path)
    load_cached_records(data, 3, progress=False)
    (root / "benign" / "benign (2).png").write_bytes(b"no image")
    (root / "malignant" / "malignant (1)_mask.png").write_bytes(b"")
    for load in (load_records, lambda data, progress: load_cached_records(data, 3, progress)):
        with pytest.raises(DataError, match=r"2 problems:\n.*benign \(2\)\.png cannot be read"):
            load(data, progress=False)
    assert not list((tmp_path / "cache").glob(".building-*"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"images": {"a": {}}}', "\xff"])
def test_a_broken_sidecar_is_rebuilt(root: Path, tmp_path: Path, decoded: Counter[str], content: str) -> None:
    data = settings(root, tmp_path)
    expected = load_records(data, progress=False)
    for path in (tmp_path / "cache").glob("verified-*.json"):
        path.write_text(content, encoding="latin-1")
    decoded.clear()
    assert load_records(data, progress=False) == expected
    assert decoded == once(root)
    decoded.clear()
    assert load_records(data, progress=False) == expected
    assert not decoded.total()


def test_another_version_of_the_package_verifies_again(root: Path, tmp_path: Path, decoded: Counter[str]) -> None:
    data = settings(root, tmp_path)
    load_records(data, progress=False)
    for path in (tmp_path / "cache").glob("verified-*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "version": "0.0.0"}))
    decoded.clear()
    load_records(data, progress=False)
    assert decoded == once(root)


def test_a_cache_folder_that_cannot_be_written_is_no_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise WriteError("read-only")

    monkeypatch.setattr(verified, "write_text", refuse)
    assert len(load_records(settings(root, tmp_path), progress=False)) == 6


def test_processes_that_verify_at_once_agree(root: Path, tmp_path: Path) -> None:
    """Each gets the right records, and no file is left broken."""
    code = f"""
from pathlib import Path
from acsnet.config import DataConfig
from acsnet.data import load_cached_records
data = DataConfig(root=Path({str(root)!r}), cache=Path({str(tmp_path / "cache")!r}), image_size=(16, 12))
print([record.digest for record in load_cached_records(data, 3, progress=False).records])
"""

    def run(_: int) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(2) as pool:
        outputs = set(pool.map(run, range(2)))
    records = verify_records(read_busi(root), progress=False)
    assert outputs == {f"{[record.digest for record in records]}\n"}
    assert load_records(settings(root, tmp_path), progress=False) == records
    names = {path.name.partition("-")[0] for path in (tmp_path / "cache").glob("[!0-9a-f]*")}
    assert names == {"verified"}
