import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from acsnet.config import FoldsConfig
from acsnet.data import Record, Split, split_records
from acsnet.data.records import stable_hash
from acsnet.errors import DataError

COUNTS = {"benign": 60, "malignant": 30, "normal": 20}


def make_records(counts: dict[str, int] | None = None, root: str = "/data", pair_every: int = 5) -> list[Record]:
    """Records without files; every few, two neighbours of a class share a group."""
    records = []
    for label, count in (counts or COUNTS).items():
        for i in range(count):
            first = i - 1 if i % pair_every == 1 else i
            name = f"{label}/{label} ({i}).png"
            records.append(Record(Path(root) / name, (), label, name=name, group=f"busi/{label}/{label} ({first}).png"))
    return records


def names(records: Sequence[Record]) -> set[str]:
    return {record.name for record in records}


def groups(records: Sequence[Record]) -> set[str]:
    return {record.group for record in records}


PARTS = ("train", "val", "test")
FOLDS = [FoldsConfig(), FoldsConfig(count=3, index=2, validation=0.34, seed=4), FoldsConfig(count=10, validation=0.5)]


@pytest.mark.parametrize("folds", FOLDS)
def test_parts_are_disjoint_and_complete(folds: FoldsConfig) -> None:
    records = make_records()
    split = split_records(records, folds)
    together = [record.name for part in PARTS for record in split.part(part)]
    assert sorted(together) == sorted(record.name for record in records)
    assert all(split.part(part) for part in PARTS)


@pytest.mark.parametrize("folds", FOLDS)
def test_a_group_is_never_parted(folds: FoldsConfig) -> None:
    split = split_records(make_records(), folds)
    for one, other in combinations(PARTS, 2):
        assert groups(split.part(one)).isdisjoint(groups(split.part(other)))


def test_a_group_of_several_classes_and_a_large_one_are_not_parted() -> None:
    records = make_records()
    mixed = {"benign/benign (3).png", "malignant/malignant (7).png", "normal/normal (9).png"}
    large = {f"benign/benign ({i}).png" for i in range(20, 32)}
    records = [
        replace(r, group="mixed" if r.name in mixed else "large" if r.name in large else r.name) for r in records
    ]
    for index in range(5):
        split = split_records(records, FoldsConfig(index=index))
        for together in (mixed, large):
            assert sum(bool(together & names(split.part(part))) for part in PARTS) == 1


@pytest.mark.parametrize("index", range(5))
def test_every_part_has_the_shares_of_the_classes(index: int) -> None:
    records = make_records()
    split = split_records(records, FoldsConfig(index=index))
    for part in PARTS:
        counts = Counter(record.label for record in split.part(part))
        for label, count in COUNTS.items():
            assert counts[label] / counts.total() == pytest.approx(count / len(records), abs=0.06), (part, label)


def test_sizes_of_the_parts() -> None:
    records = make_records(pair_every=1000)
    split = split_records(records, FoldsConfig(count=5, validation=0.125))
    # A fifth of 110, an eighth of the remaining 88.
    assert len(split.test) == pytest.approx(22, abs=2)
    assert len(split.val) == pytest.approx(11, abs=2)
    half = split_records(records, FoldsConfig(count=5, validation=0.5))
    assert len(half.val) == pytest.approx(44, abs=2)


@pytest.mark.parametrize("count", [2, 5])
def test_the_test_parts_of_all_folds_partition_the_set(count: int) -> None:
    records = make_records()
    tested = [
        name for i in range(count) for name in names(split_records(records, FoldsConfig(count=count, index=i)).test)
    ]
    assert sorted(tested) == sorted(record.name for record in records)


def test_validation_is_taken_from_the_training_folds() -> None:
    records = make_records()
    for index in range(3):
        splits = [split_records(records, FoldsConfig(index=index, validation=share)) for share in (0.1, 0.25, 0.5)]
        assert len({frozenset(names(split.test)) for split in splits}) == 1
        assert len({len(split.val) for split in splits}) == 3


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    records = make_records()
    assert split_records(records, FoldsConfig(seed=3)) == split_records(records, FoldsConfig(seed=3))
    splits = [split_records(records, FoldsConfig(seed=seed)) for seed in range(4)]
    assert len({split.hash for split in splits}) == 4
    assert len({frozenset(names(split.test)) for split in splits}) == 4
    assert len({split_records(records, FoldsConfig(index=index)).hash for index in range(5)}) == 5


def test_the_split_does_not_depend_on_the_order_of_records() -> None:
    records = make_records()
    expected = split_records(records, FoldsConfig())
    for seed in range(3):
        split = split_records(random.Random(seed).sample(records, len(records)), FoldsConfig())
        assert split.hash == expected.hash
        for part in PARTS:
            assert names(split.part(part)) == names(expected.part(part))


def test_the_split_does_not_depend_on_where_the_files_are() -> None:
    here, there = (split_records(make_records(root=root), FoldsConfig()) for root in ("/data", "/mnt/x y"))
    assert here.hash == there.hash
    assert here.test[0].image != there.test[0].image


def test_the_hash_by_hand() -> None:
    a, b, c = (
        Record(Path(f"/x/{n}"), (), label, name=n)
        for n, label in zip("abc", ("normal", "benign", "benign"), strict=True)
    )
    split = Split(train=(b,), val=(a,), test=(c,))
    rows = [["busi", "a", "normal", "val"], ["busi", "b", "benign", "train"], ["busi", "c", "benign", "test"]]
    assert split.hash == stable_hash(rows)
    others = [
        Split((b,), (c,), (a,)),
        Split((b, a), (), (c,)),
        Split((b,), (replace(a, label="benign"),), (c,)),
        Split((b,), (replace(a, dataset="other"),), (c,)),
        Split((b,), (replace(a, name="d"),), (c,)),
    ]
    assert len({other.hash for other in others} | {split.hash}) == 6


def test_parts_by_name() -> None:
    split = split_records(make_records(), FoldsConfig())
    assert split.part("train") is split.train
    assert split.part("val") is split.val
    assert split.part("test") is split.test
    assert split.part("all") == split.train + split.val + split.test


def too_few(label: str, groups: int, folds: int) -> str:
    return (
        rf"class '{label}' has {groups} groups of images left, too few for {folds} folds: add images, or lower "
        r"data\.folds\.count, or raise data\.folds\.validation"
    )


def test_too_few_groups_for_the_test_folds() -> None:
    # Seven images in five groups.
    records = make_records({"benign": 50, "normal": 7}, pair_every=3)
    with pytest.raises(DataError, match=too_few("normal", 5, 6)):
        split_records(records, FoldsConfig(count=6))
    assert Counter(r.label for r in split_records(records, FoldsConfig(count=5, validation=0.5)).test)["normal"] >= 1


def test_too_few_groups_for_the_validation_part() -> None:
    records = make_records({"benign": 50, "normal": 10}, pair_every=1000)
    with pytest.raises(DataError, match=too_few("normal", 8, 10)):
        split_records(records, FoldsConfig(count=5, validation=0.1))


def test_records_that_were_not_verified_have_no_groups() -> None:
    records = [replace(record, group="") for record in make_records()]
    with pytest.raises(DataError, match=too_few("benign", 1, 5)):
        split_records(records, FoldsConfig())


@pytest.mark.parametrize("index", range(3))
def test_every_part_has_its_share_of_each_data_set(index: int) -> None:
    counts = {"large": {"benign": 60, "malignant": 30}, "small": {"benign": 12, "malignant": 24}}
    records = [
        replace(record, dataset=dataset, group=f"{dataset}/{record.name}")
        for dataset, labels in counts.items()
        for record in make_records(labels, pair_every=1000)
    ]
    split = split_records(records, FoldsConfig(count=3, index=index, validation=0.5))
    assert Counter((record.dataset, record.label) for record in split.test) == {
        ("large", "benign"): 20,
        ("large", "malignant"): 10,
        ("small", "benign"): 4,
        ("small", "malignant"): 8,
    }
    for part in (split.train, split.val):
        assert Counter((r.dataset, r.label) for r in part)["small", "benign"] == 4


def test_data_sets_too_small_for_a_share_of_each() -> None:
    records = [
        replace(record, dataset=str(number % 10), group=record.name)
        for number, record in enumerate(make_records({"benign": 30, "malignant": 30}))
    ]
    split = split_records(records, FoldsConfig(count=5))
    assert Counter(record.label for record in split.test) == {"benign": 6, "malignant": 6}


def test_importing_leaves_the_heavy_libraries_out() -> None:
    code = "import sys, acsnet.training; print([n for n in ('monai', 'sklearn', 'albumentations') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
