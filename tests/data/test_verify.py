import hashlib
import logging
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet.data import Record, read_busi, verify_records
from acsnet.errors import DataError

MakeSet = Callable[..., Path]
Groups = set[frozenset[str]]


def pixels(seed: int, shape: tuple[int, ...] = (8, 10)) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def record(path: Path, seed: int, **known: str) -> Record:
    """A normal image of noise, without a mask."""
    Image.fromarray(pixels(seed)).save(path)
    return Record(path, (), "normal", name=path.name, **known)


def verify(records: Sequence[Record]) -> list[Record]:
    return verify_records(records, progress=False)


def groups_of(records: Sequence[Record]) -> Groups:
    groups = defaultdict(set)
    for one in records:
        groups[one.group].add(one.name)
    return {frozenset(names) for names in groups.values()}


def groups(*names: str) -> Groups:
    return {frozenset(group.split()) for group in names}


def test_records_come_back_in_order_with_digest_and_group(make_set: MakeSet) -> None:
    records = read_busi(make_set(benign=2, normal=1))
    verified = verify(records)
    assert [replace(r, digest="", mask_digest="", group="", lesion_share=0.0) for r in verified] == records
    assert [r.group for r in verified] == [f"busi/{r.name}" for r in records]
    # Rectangles of 5x9 and 6x9, and none, of 20x24 pixels.
    assert [r.lesion_share for r in verified] == [45 / 480, 54 / 480, 0.0]
    assert all(type(r.lesion_share) is float for r in verified)
    rgb = np.dstack([np.asarray(Image.open(records[0].image))] * 3)
    assert verified[0].digest == hashlib.sha256(b"(20, 24, 3)" + rgb.tobytes()).hexdigest()
    mask = np.asarray(Image.open(records[0].masks[0])) > 0
    assert verified[0].mask_digest == hashlib.sha256(b"(20, 24)" + mask.tobytes()).hexdigest()


def test_identical_pixels_in_different_files_are_one_group(tmp_path: Path) -> None:
    gray = pixels(1)
    kinds = {
        "gray.png": (Image.fromarray(gray), {"compress_level": 9}),
        "raw.png": (Image.fromarray(gray), {"compress_level": 0}),
        "rgb.png": (Image.fromarray(np.dstack([gray] * 3)), {}),
        "gray.bmp": (Image.fromarray(gray), {}),
        "rgba.png": (Image.fromarray(np.dstack([gray] * 3 + [gray])), {}),
    }
    for name, (image, options) in kinds.items():
        image.save(tmp_path / name, **options)
    assert len({(tmp_path / name).read_bytes() for name in kinds}) == len(kinds)
    almost = gray.copy()
    almost[3, 4] ^= 1
    Image.fromarray(almost).save(tmp_path / "almost.png")
    verified = verify([Record(tmp_path / name, (), "normal", name=name) for name in [*kinds, "almost.png"]])
    assert groups_of(verified) == {frozenset(kinds), frozenset({"almost.png"})}


def test_the_shape_is_part_of_the_pixels(tmp_path: Path) -> None:
    for name, shape in (("a.png", (2, 8)), ("b.png", (4, 4))):
        Image.fromarray(np.arange(16, dtype=np.uint8).reshape(shape)).save(tmp_path / name)
    records = [Record(tmp_path / name, (), "normal", name=name) for name in ("a.png", "b.png")]
    assert groups_of(verify(records)) == groups("a.png", "b.png")


def test_pixels_patients_and_groups_join_transitively(tmp_path: Path) -> None:
    records = []
    for name, seed, known in (
        ("a", 1, {}),
        ("b", 1, {"patient": "p1"}),
        ("c", 2, {"patient": "p1", "group": "g1"}),
        ("d", 3, {"group": "g1"}),
        ("e", 4, {"group": "g2"}),
        ("f", 5, {"patient": "g2"}),
        ("g", 6, {}),
    ):
        records.append(replace(record(tmp_path / f"{name}.png", seed, **known), name=name))
    assert groups_of(verify(records)) == groups("a b c d", "e", "f", "g")


def test_patients_and_groups_are_those_of_one_data_set(tmp_path: Path) -> None:
    records = [
        record(tmp_path / "a.png", 1, dataset="one", patient="7", group="g"),
        record(tmp_path / "b.png", 2, dataset="two", patient="7"),
        record(tmp_path / "c.png", 3, dataset="two", group="g"),
        record(tmp_path / "d.png", 1, dataset="two"),
    ]
    assert groups_of(verify(records)) == groups("a.png d.png", "b.png", "c.png")


def test_the_same_name_in_two_data_sets_is_not_the_same_group(tmp_path: Path) -> None:
    one, two = record(tmp_path / "a.png", 1, dataset="one"), record(tmp_path / "b.png", 2, dataset="two")
    assert [r.group for r in verify([one, replace(two, name="a.png")])] == ["one/a.png", "two/a.png"]


def test_groups_do_not_depend_on_the_order_of_records(tmp_path: Path) -> None:
    records = [record(tmp_path / f"benign ({i}).png", seed) for i, seed in ((2, 1), (10, 1), (9, 1), (3, 2), (1, 2))]
    expected = {r.name: r.group for r in verify(records)}
    assert expected["benign (10).png"] == "busi/benign (2).png"
    assert expected["benign (3).png"] == "busi/benign (1).png"
    for seed in range(3):
        shuffled = random.Random(seed).sample(records, len(records))
        assert {r.name: r.group for r in verify(shuffled)} == expected


def test_groups_of_a_verified_table_stay_what_they_are(tmp_path: Path) -> None:
    verified = verify([record(tmp_path / f"{i}.png", seed) for i, seed in ((1, 1), (2, 1), (3, 2))])
    assert verify(verified) == verified


def test_no_records() -> None:
    assert verify([]) == []


def broken_set(root: Path) -> dict[str, str]:
    """Break files of a dataset, and return the expected message of each."""
    image = root / "benign" / "benign (1).png"
    image.write_bytes(image.read_bytes()[:100])
    (root / "benign" / "benign (2).png").write_bytes(b"")
    (root / "benign" / "benign (3)_mask.png").write_text("no image")
    (root / "malignant" / "malignant (1).png").unlink()
    Image.fromarray(pixels(0, (20, 23))).save(root / "malignant" / "malignant (2)_mask.png")
    return {
        "benign (1).png": "cannot be read as an image",
        "benign (2).png": "cannot be read as an image",
        "benign (3)_mask.png": "cannot be read as an image",
        "malignant (1).png": "",
        "malignant (2)_mask.png": "is 23x20, its image 24x20 (width x height): a mask needs the size of its image",
    }


def test_all_broken_files_are_listed_at_once(make_set: MakeSet) -> None:
    root = make_set(benign=4, malignant=2)
    records = read_busi(root)
    broken = broken_set(root)
    with pytest.raises(DataError, match=r"^the data cannot be used, 5 problems:\n") as error:
        verify(records)
    lines = str(error.value).splitlines()[1:]
    for (name, text), line in zip(broken.items(), lines, strict=True):
        assert name in line
        assert text in line
    assert f"there is no image {root}/malignant/malignant (1).png" in lines[3]


def test_all_problems_of_one_record_are_listed(make_set: MakeSet) -> None:
    root = make_set(benign=1)
    folder = root / "benign"
    shutil.copy(folder / "benign (1)_mask.png", folder / "benign (1)_mask_1.png")
    (folder / "benign (1)_mask_2.png").write_text("no image")
    records = read_busi(root)
    (folder / "benign (1).png").write_bytes(b"")
    (folder / "benign (1)_mask.png").unlink()
    with pytest.raises(DataError, match="3 problems") as error:
        verify(records)
    for line, name in zip(str(error.value).splitlines()[1:], (").png", ")_mask.png", ")_mask_2.png"), strict=True):
        assert f"benign (1{name}" in line


def test_one_problem_is_one_line(make_set: MakeSet) -> None:
    records = read_busi(make_set(benign=2))
    records[1].image.unlink()
    with pytest.raises(DataError, match=r"^the data cannot be used: there is no image .*benign \(2\)\.png$"):
        verify(records)


def test_known_problems_are_listed_first(make_set: MakeSet) -> None:
    records = read_busi(make_set(benign=2))
    records[1].image.write_bytes(b"")
    message = r"2 problems:\n  x\.png has no mask\n  .*benign \(2\)\.png cannot be read"
    with pytest.raises(DataError, match=message):
        verify_records(records, progress=False, problems=["x.png has no mask"])
    with pytest.raises(DataError, match=r"^the data cannot be used: x\.png has no mask$"):
        verify_records(records[:1], progress=False, problems=["x.png has no mask"])


def test_a_valid_dataset_is_verified_without_messages(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "acsnet"):
        verify(read_busi(make_set(benign=3, malignant=2, normal=2)))
    assert caplog.messages == []


def test_oddities_are_logged(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    root = make_set(benign=8, malignant=2, normal=2)
    empty = root / "normal" / "normal (1)_mask.png"
    for i in range(1, 7):
        shutil.copy(empty, root / "benign" / f"benign ({i})_mask.png")
    shutil.copy(root / "benign" / "benign (8)_mask.png", root / "normal" / "normal (2)_mask.png")
    shutil.copy(root / "benign" / "benign (7).png", root / "malignant" / "malignant (2).png")
    with caplog.at_level(logging.WARNING, "acsnet"):
        verify(read_busi(root))
    five = ", ".join(f"benign/benign ({i}).png" for i in range(1, 6))
    assert caplog.messages == [
        f"6 lesion images with an empty mask: {five}, ...",
        "1 normal images with a lesion in the mask: normal/normal (2).png",
        "2 identical images of different classes: benign/benign (7).png, malignant/malignant (2).png",
    ]
    assert {log.levelname for log in caplog.records} == {"WARNING"}


def test_duplicates_within_a_class_are_not_logged(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    root = make_set(benign=3)
    shutil.copy(root / "benign" / "benign (1).png", root / "benign" / "benign (2).png")
    with caplog.at_level(logging.DEBUG, "acsnet"):
        verified = verify(read_busi(root))
    assert len({r.group for r in verified}) == 2
    assert caplog.messages == []


@pytest.mark.parametrize("second", ["benign (1)_mask_1.png", "benign (1)_mask.png"])
def test_one_mask_with_a_lesion_is_enough(second: str, make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    root = make_set(benign=1)
    folder = root / "benign"
    shutil.copy(folder / "benign (1)_mask.png", folder / "benign (1)_mask_1.png")
    Image.new("L", (24, 20)).save(folder / second)
    with caplog.at_level(logging.WARNING, "acsnet"):
        verify(read_busi(root))
    assert caplog.messages == []


def test_inverted_masks_are_logged(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    root = make_set(benign=3, malignant=1)
    for name in ("benign (1)", "benign (3)"):
        path = root / "benign" / f"{name}_mask.png"
        Image.fromarray(255 - np.array(Image.open(path))).save(path)
    # All foreground, and foreground along a part of the border, may be meant.
    Image.fromarray(np.full((20, 24), 255, np.uint8)).save(root / "malignant" / "malignant (1)_mask.png")
    verify_records(read_busi(root), progress=False)
    assert caplog.messages == [
        "2 masks that are foreground along the whole border, as if inverted: benign/benign (1).png, "
        "benign/benign (3).png"
    ]
