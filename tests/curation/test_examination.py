import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet.curation.examination import examine
from acsnet.data import read_busi, verify_records


@pytest.fixture
def root(phantom_root: Path, tmp_path: Path) -> Path:
    """Return a copy of the phantoms whose files a test may damage."""
    return Path(shutil.copytree(phantom_root, tmp_path / "set"))


def test_intact_images(phantom_root: Path) -> None:
    records = read_busi(phantom_root)
    examined, descriptions = examine(records, progress=False)
    verified = verify_records(records, progress=False)
    assert len(descriptions) == len(records)
    assert [e.record.digest for e in examined] == [record.digest for record in verified]
    for record, examination, description in zip(verified, examined, descriptions, strict=True):
        assert examination.histogram.sum() == pytest.approx(1)
        pixels = np.asarray(Image.open(record.image).convert("L"))
        assert examination.histogram[int(pixels[0, 0])] * pixels.size >= 1
        assert examination.size == description.size == pixels.shape
        assert description.mask is not None
        assert description.mask.mean() == pytest.approx(record.lesion_share)


def test_broken_files_are_flagged_not_raised(root: Path) -> None:
    (root / "benign" / "benign (1).png").write_bytes(b"no image")
    (root / "benign" / "benign (2)_mask.png").write_bytes(b"")
    Image.new("L", (30, 20), 255).save(root / "benign" / "benign (3)_mask.png")
    Image.new("L", (64, 64)).save(root / "benign" / "benign (4)_mask.png")
    Image.new("L", (64, 64), 255).save(root / "normal" / "normal (1)_mask.png")
    examined, stored = examine(read_busi(root), progress=False)
    found = {e.record.name: e for e in examined}
    descriptions = dict(zip([e.record.name for e in examined if e.size], stored, strict=True))
    flags = {name: {flag.kind: flag.detail for flag in e.flags} for name, e in found.items()}
    assert "benign (1).png cannot be read as an image" in flags["benign/benign (1).png"]["unreadable"]
    assert found["benign/benign (1).png"].size is None
    assert found["benign/benign (1).png"].record.digest == ""
    assert not found["benign/benign (1).png"].histogram.any()
    assert "benign (2)_mask.png cannot be read" in flags["benign/benign (2).png"]["unreadable"]
    assert flags["benign/benign (3).png"] == {
        "mask-size": "benign (3)_mask.png is 30x20, its image 64x64 (width x height)"
    }
    for number in (2, 3):
        assert descriptions[f"benign/benign ({number}).png"].mask is None
    assert "lesion-mask-empty" in flags["benign/benign (4).png"]
    assert "normal-mask-not-empty" in flags["normal/normal (1).png"]


def test_images_without_any_mask(root: Path) -> None:
    record, *_ = read_busi(root)
    bare = type(record)(record.image, (), "benign", "bare")
    (examination,), _ = examine([bare], progress=False)
    assert [flag.kind for flag in examination.flags] == ["lesion-mask-empty"]
