import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from sklearn.model_selection import StratifiedGroupKFold

from acsnet.config import FoldsConfig
from acsnet.data import Record, Split, describe_split, split_records
from acsnet.data.folds import SUBSETS
from acsnet.data.records import stable_hash
from acsnet.errors import DataError

COUNTS = {"benign": 60, "malignant": 30, "normal": 20}


def make_records(counts: dict[str, int] | None = None, root: str = "/data", pair_every: int = 5) -> list[Record]:
    """Make records without files; every few records, two neighbors of a class share a group."""
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


FOLDS = [FoldsConfig(), FoldsConfig(count=3, index=2, validation=0.34, seed=4), FoldsConfig(count=10, validation=0.5)]


@pytest.mark.parametrize("folds", FOLDS)
def test_subsets_are_disjoint_and_complete(folds: FoldsConfig) -> None:
    records = make_records()
    split = split_records(records, folds)
    together = [record.name for subset in SUBSETS for record in split.subset(subset)]
    assert sorted(together) == sorted(record.name for record in records)
    assert all(split.subset(subset) for subset in SUBSETS)


@pytest.mark.parametrize("folds", FOLDS)
def test_a_group_is_never_separated(folds: FoldsConfig) -> None:
    split = split_records(make_records(), folds)
    for one, other in combinations(SUBSETS, 2):
        assert groups(split.subset(one)).isdisjoint(groups(split.subset(other)))


def test_a_group_of_several_classes_and_a_large_one_are_not_separated() -> None:
    records = make_records()
    mixed = {"benign/benign (3).png", "malignant/malignant (7).png", "normal/normal (9).png"}
    large = {f"benign/benign ({i}).png" for i in range(20, 32)}
    records = [
        replace(r, group="mixed" if r.name in mixed else "large" if r.name in large else r.name) for r in records
    ]
    for index in range(5):
        split = split_records(records, FoldsConfig(index=index))
        for together in (mixed, large):
            assert sum(bool(together & names(split.subset(subset))) for subset in SUBSETS) == 1


@pytest.mark.parametrize("index", range(5))
def test_every_subset_has_the_class_fractions_of_the_dataset(index: int) -> None:
    records = make_records()
    split = split_records(records, FoldsConfig(index=index))
    for subset in SUBSETS:
        counts = Counter(record.label for record in split.subset(subset))
        for label, count in COUNTS.items():
            assert counts[label] / counts.total() == pytest.approx(count / len(records), abs=0.06), (subset, label)


def test_sizes_of_the_subsets() -> None:
    records = make_records(pair_every=1000)
    split = split_records(records, FoldsConfig(count=5, validation=0.125))
    # A fifth of 110, an eighth of the remaining 88.
    assert len(split.test) == pytest.approx(22, abs=2)
    assert len(split.val) == pytest.approx(11, abs=2)
    half = split_records(records, FoldsConfig(count=5, validation=0.5))
    assert len(half.val) == pytest.approx(44, abs=2)


@pytest.mark.parametrize("count", [2, 5])
def test_the_test_subsets_of_all_folds_partition_the_dataset(count: int) -> None:
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
        for subset in SUBSETS:
            assert names(split.subset(subset)) == names(expected.subset(subset))


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


def test_subsets_by_name() -> None:
    split = split_records(make_records(), FoldsConfig())
    assert split.subset("train") is split.train
    assert split.subset("val") is split.val
    assert split.subset("test") is split.test
    assert split.subset("all") == split.train + split.val + split.test


def too_few(label: str, groups: int, goal: str, remedy: str) -> str:
    return re.escape(f"class '{label}' has {groups} groups of images left, too few for {goal}: add images, or {remedy}")


def test_too_few_groups_for_the_test_folds() -> None:
    # Seven images in five groups.
    records = make_records({"benign": 50, "normal": 7}, pair_every=3)
    with pytest.raises(DataError, match=too_few("normal", 5, "6 folds", "lower data.folds.count")):
        split_records(records, FoldsConfig(count=6))
    assert Counter(r.label for r in split_records(records, FoldsConfig(count=5, validation=0.5)).test)["normal"] >= 1


def test_too_few_groups_for_a_single_split() -> None:
    records = make_records({"benign": 50, "normal": 7}, pair_every=3)
    with pytest.raises(DataError, match=too_few("normal", 5, "a test subset of 0.1", "raise data.folds.test")):
        split_records(records, FoldsConfig(test=0.1))
    split = split_records(records, FoldsConfig(test=0.2, validation=0.3))
    assert all(Counter(r.label for r in split.subset(subset))["normal"] for subset in SUBSETS)


def test_too_few_groups_for_the_validation_subset() -> None:
    records = [replace(record, group=record.name) for record in make_records({"benign": 50, "normal": 10})]
    message = too_few("normal", 8, "a validation subset of 0.1", "raise data.folds.validation")
    with pytest.raises(DataError, match=message):
        split_records(records, FoldsConfig(count=5, validation=0.1))


def test_records_that_were_not_verified_have_no_groups() -> None:
    records = [replace(record, group="") for record in make_records()]
    with pytest.raises(DataError, match=too_few("benign", 1, "5 folds", "lower data.folds.count")):
        split_records(records, FoldsConfig())
    assert len(split_records(records, FoldsConfig(grouped=False)).test) == 22


@pytest.mark.parametrize("index", range(3))
def test_every_subset_has_its_fraction_of_each_dataset(index: int) -> None:
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
    for subset in (split.train, split.val):
        assert Counter((r.dataset, r.label) for r in subset)["small", "benign"] == 4


def test_datasets_too_small_for_a_fraction_of_each() -> None:
    records = [
        replace(record, dataset=str(number % 10), group=record.name)
        for number, record in enumerate(make_records({"benign": 30, "malignant": 30}))
    ]
    split = split_records(records, FoldsConfig(count=5))
    assert Counter(record.label for record in split.test) == {"benign": 6, "malignant": 6}


# --- where groups go, by hand ----------------------------------------------------------------------------------------


def numbered(sizes: Sequence[int], label: str = "benign", first: int = 0) -> list[Record]:
    """Make groups of the given sizes with images of one class."""
    return [
        Record(Path("x"), (), label, name=f"{label}/{first + number}/{i}", group=f"{label}/{first + number}")
        for number, size in enumerate(sizes)
        for i in range(size)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_group_comes_first(seed: int) -> None:
    """5 | 4, then 3 to the smaller side, then 3 to the side that is smaller now: 8 | 7."""
    records = [*numbered([3, 5, 3, 4]), *numbered([1] * 12, "normal")]
    tested = [split_records(records, FoldsConfig(count=2, index=i, validation=0.5, seed=seed)).test for i in range(2)]
    sizes = sorted(sorted(Counter(r.group for r in fold if r.label == "benign").values()) for fold in tested)
    assert sizes == [[3, 4], [3, 5]]
    assert [Counter(r.label for r in fold)["normal"] for fold in tested] == [6, 6]


@pytest.mark.parametrize("index", range(4))
def test_a_group_of_two_classes_counts_for_both(index: int) -> None:
    """Four groups of 2 benign and 1 malignant, 8 benign and 4 malignant alone: each fold has 4 and 2, and one group."""
    mixed = [replace(r, label="malignant") if r.name.endswith("/2") else r for r in numbered([3] * 4)]
    records = [*mixed, *numbered([1] * 8, "benign", first=4), *numbered([1] * 4, "malignant")]
    test = split_records(records, FoldsConfig(count=4, index=index, validation=0.3)).test
    assert Counter(record.label for record in test) == {"benign": 4, "malignant": 2}
    assert sorted(Counter(record.group for record in test).values()) == [1, 1, 1, 3]


@pytest.mark.parametrize("index", range(4))
def test_every_fold_has_lesions_of_every_size(index: int) -> None:
    """Twelve sizes in four folds: each has one of the four smallest, the middle four, and the four largest."""
    benign = [replace(r, lesion_share=(i + 1) / 100) for i, r in enumerate(numbered([1] * 12))]
    malignant = [replace(r, lesion_share=(i + 1) / 20) for i, r in enumerate(numbered([1] * 12, "malignant"))]
    test = split_records([*benign, *malignant], FoldsConfig(count=4, index=index)).test
    for label, unit in (("benign", 100), ("malignant", 20)):
        sizes = [round(record.lesion_share * unit) for record in test if record.label == label]
        assert sorted((size - 1) // 4 for size in sizes) == [0, 1, 2]


def test_classes_weigh_more_than_lesion_sizes() -> None:
    """Three images of the smallest third are one group: its fold is full, although it lacks the other thirds."""
    sizes = [3, *[1] * 6]
    records = [
        replace(r, lesion_share=0.1 if r.group == "benign/0" else 0.2 + i / 100) for i, r in enumerate(numbered(sizes))
    ]
    tested = [split_records(records, FoldsConfig(count=3, index=i, validation=0.34)).test for i in range(3)]
    assert [len(fold) for fold in tested] == [3, 3, 3]


@pytest.mark.parametrize(("share", "expected"), [(0.2, (12, 6, 4)), (0.1, (6, 3, 2)), (0.5, (30, 15, 10))])
def test_a_single_split_has_the_requested_fraction(share: float, expected: tuple[int, ...]) -> None:
    records = make_records(pair_every=1000)
    for seed in range(5):
        split = split_records(records, FoldsConfig(test=share, seed=seed))
        counts = Counter(record.label for record in split.test)
        assert tuple(counts[label] for label in COUNTS) == expected
        assert len(split.val) == pytest.approx((len(records) - len(split.test)) / 8, abs=1.5)


# --- ungrouped splits -------------------------------------------------------------------------------------------------


def test_ungrouped_folds_partition_the_dataset_and_separate_groups() -> None:
    records = make_records()
    splits = [split_records(records, FoldsConfig(index=index, grouped=False)) for index in range(5)]
    assert sorted(r.name for split in splits for r in split.test) == sorted(record.name for record in records)
    assert [len(split.test) for split in splits] == [22] * 5
    # An eighth of the other 88.
    assert [len(split.val) for split in splits] == [11] * 5
    assert all(split.leaked > 0 for split in splits)
    assert all(split_records(records, FoldsConfig(index=index)).leaked == 0 for index in range(5))


def test_an_ungrouped_single_split_has_the_requested_sizes() -> None:
    split = split_records(make_records(), FoldsConfig(test=0.2, validation=0.25, grouped=False))
    assert (len(split.train), len(split.val), len(split.test)) == (66, 22, 22)


def test_an_ungrouped_split_does_not_depend_on_the_order_of_records() -> None:
    records = make_records()
    folds = FoldsConfig(test=0.2, grouped=False)
    assert split_records(records[::-1], folds).hash == split_records(records, folds).hash


def test_leaked_counts_test_images_with_a_group_mate_in_training() -> None:
    a, b, c, d, e = (replace(r, group=g) for r, g in zip(numbered([1] * 5), ("x", "x", "y", "y", ""), strict=True))
    other = replace(e, name="other")
    assert Split(train=(a,), val=(c,), test=(b, d)).leaked == 1
    assert Split(train=(a, c), val=(), test=(b, d)).leaked == 2
    assert Split(train=(a, b), val=(), test=(c, d)).leaked == 0
    assert Split(train=(e,), val=(), test=(other,)).leaked == 0, "images that were not verified have no group"


# --- random tables ---------------------------------------------------------------------------------------------------


def random_table(seed: int, mixed: float = 0.1) -> list[Record]:
    """Make a table of up to four classes and three datasets, in groups of up to eight, some of several classes."""
    draw = random.Random(seed)
    labels = "abcd"[: draw.randint(2, 4)]
    shares = [draw.uniform(0.3, 1) for _ in labels]
    sets = draw.randint(1, 3)
    records: list[Record] = []
    for group in range(draw.randint(100, 200)):
        label, dataset = draw.choices(labels, shares)[0], f"set{draw.randrange(sets)}"
        for i in range(draw.choice([1, 1, 1, 2, draw.randint(1, 8)])):
            label = draw.choice(labels) if draw.random() < mixed else label
            size = 0.0 if label == "a" else draw.random()
            name = f"{group}/{i}"
            records.append(Record(Path(name), (), label, name, f"g{group}", dataset, lesion_share=size))
    return records


@pytest.mark.parametrize("seed", range(12))
def test_properties_of_random_tables(seed: int) -> None:
    records = random_table(seed)
    for way in ({"count": 3}, {"count": 5}, {"test": 0.2}):
        folds = FoldsConfig.model_validate({**way, "seed": seed, "validation": 0.2})
        split = split_records(records, folds)
        assert sorted(r.name for subset in SUBSETS for r in split.subset(subset)) == sorted(r.name for r in records)
        for one, other in combinations(SUBSETS, 2):
            assert groups(split.subset(one)).isdisjoint(groups(split.subset(other)))
        assert split_records(random.Random(seed).sample(records, len(records)), folds).hash == split.hash
    every = [r.name for i in range(4) for r in split_records(records, FoldsConfig(count=4, index=i)).test]
    assert sorted(every) == sorted(record.name for record in records)


@pytest.mark.parametrize("seed", range(12))
def test_no_class_is_off_by_more_than_its_largest_group(seed: int) -> None:
    records = random_table(seed, mixed=0)
    totals = Counter(record.label for record in records)
    largest = {label: max(Counter(r.group for r in records if r.label == label).values()) for label in totals}
    for way, share in (({"count": 5, "index": seed % 5}, 0.2), ({"test": 0.3}, 0.3)):
        counts = Counter(r.label for r in split_records(records, FoldsConfig.model_validate(way)).test)
        for label, total in totals.items():
            assert abs(counts[label] - share * total) <= largest[label], label


def imbalance(folds: Sequence[Sequence[Record]], stratum: Callable[[Record], Hashable]) -> float:
    """Return the chi-square of the counts of strata in folds of equal size."""
    counts = [Counter(map(stratum, fold)) for fold in folds]
    expected = {key: total / len(folds) for key, total in sum(counts, Counter()).items()}
    return sum((count[key] - expected[key]) ** 2 / expected[key] for count in counts for key in expected)


def test_balance_compared_with_scikit_learn() -> None:
    """Classes are balanced as well as by a splitter for classes alone; datasets and lesion sizes are balanced, too."""
    strata: dict[str, Callable[[Record], Hashable]] = {
        "class": lambda r: r.label,
        "set": lambda r: (r.label, r.dataset),
        # Sizes are drawn evenly from 0 to 1.
        "size": lambda r: (r.label, int(3 * r.lesion_share)),
    }
    ours, theirs = dict.fromkeys(strata, 0.0), dict.fromkeys(strata, 0.0)
    for seed in range(10):
        records = random_table(seed)
        folds = [split_records(records, FoldsConfig(index=i, seed=seed)).test for i in range(5)]
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        their_folds = list(splitter.split(records, [r.label for r in records], [r.group for r in records]))
        for name, stratum in strata.items():
            ours[name] += imbalance(folds, stratum)
            theirs[name] += imbalance([[records[i] for i in test] for _, test in their_folds], stratum)
    assert ours["class"] <= theirs["class"]
    assert ours["set"] <= 0.2 * theirs["set"]
    assert ours["size"] <= 0.7 * theirs["size"]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ({"count": 3}, "5a755b680c0602ec"),
        ({"count": 3, "index": 2}, "d75578e6151f076b"),
        ({"count": 3, "seed": 1}, "549e2cba27c367fa"),
        ({"test": 0.3}, "e632f7435e941a11"),
        ({"test": 0.3, "seed": 1}, "63589fc8b39f6a65"),
    ],
)
def test_the_split_of_one_table_never_changes(way: dict[str, float], expected: str) -> None:
    """Other hashes here mean that all splits change, and old checkpoints were trained on images that are tested now."""
    records = [
        Record(
            Path(f"{i}.png"),
            (),
            label="bbbbmmmmnn"[i * 7 % 10],
            name=f"{i}.png",
            # Three groups of four, then images by themselves.
            group=f"group {i // 4 if i < 12 else i}",
            dataset="one" if i % 3 else "two",
            lesion_share=0.0 if i * 7 % 10 >= 8 else i * 37 % 101 / 101,
        )
        for i in range(40)
    ]
    assert Counter(record.label for record in records) == {"b": 16, "m": 16, "n": 8}
    settings = {**way, "validation": 0.34}
    assert split_records(records, FoldsConfig.model_validate(settings)).hash == expected


# --- the table of a split --------------------------------------------------------------------------------------------


def test_the_table_of_a_split() -> None:
    a, b, c, d = numbered([1, 2, 1])
    split = Split(
        train=(replace(a, lesion_share=0.1), replace(b, lesion_share=0.25), replace(c, label="normal")),
        val=(replace(d, label="normal"),),
        test=(),
    )
    assert describe_split(split, ["benign", "normal"]).splitlines() == [
        "subset  images  groups  benign  normal  mean lesion area",
        "--------------------------------------------------------",
        "train        3       2       2       1            17.50%",
        "val          1       1       0       1                 -",
        "test         0       0       0       0                 -",
    ]
