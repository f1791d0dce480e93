import tempfile
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from acsnet._utils.files import DiskFullError, WriteError
from acsnet.curation.duplicates.description import Description, describe
from acsnet.curation.duplicates.store import StoredDescriptions


@pytest.fixture
def descriptions() -> list[Description]:
    generator = np.random.default_rng(3)
    images = [generator.integers(0, 256, (side, 2 * side, 3), np.uint8) for side in (40, 301, 33)]
    flat = np.full((7, 5, 3), 9, np.uint8)
    masks = [images[0][..., 0] > 90, None, images[2][..., 0] > 200]
    return [
        *(describe(image, mask) for image, mask in zip(images, masks, strict=True)),
        describe(flat, np.ones((7, 5), np.bool_)),
    ]


def test_what_is_read_is_what_was_written(descriptions: list[Description]) -> None:
    stored = StoredDescriptions()
    for description in descriptions:
        stored.append(description)
    assert len(stored) == 4
    for received, expected in zip([*stored[:2], stored[2], stored[-1]], descriptions, strict=True):
        for field in fields(Description):
            np.testing.assert_equal(getattr(received, field.name), getattr(expected, field.name))
        np.testing.assert_array_equal(received.thumbnail, expected.thumbnail)
    with pytest.raises(IndexError):
        stored[4]


def test_nothing_is_left_in_the_temporary_folder(
    descriptions: list[Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    StoredDescriptions().append(descriptions[0])
    assert not any(tmp_path.iterdir())


def test_a_temporary_folder_that_is_full_or_missing_is_one_line(
    descriptions: list[Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(WriteError, match=r"gone could not be written \(No such file .*: choose another folder"):
        StoredDescriptions()
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "w+b"))
    with pytest.raises(DiskFullError, match="gone could not be written: the disk is full; free some space and run"):
        StoredDescriptions().append(descriptions[0])
