"""Splits at random against scikit-learn's own functions, and against the counts of a publication."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from acsnet.config import FoldsConfig
from acsnet.data import Record, split_records
from acsnet.data.random_folds import draw_positions
from acsnet.errors import DataError

CURATED = ["benign"] * 222 + ["malignant"] * 164 + ["normal"] * 64


def names(counts: dict[str, int]) -> list[Record]:
    return [
        Record(Path(f"{label} ({i}).png"), (), label, f"{label}/{label} ({i}).png", group=f"{label} {i // 2}")
        for label, count in counts.items()
        for i in range(1, count + 1)
    ]


def test_the_published_folds_of_curated_busi() -> None:
    """Aumente-Maestro et al. 2025: 133, 98 and 38 images to train in the first of four folds."""
    folds = FoldsConfig(count=4, grouped=False, stratified=True, seed=1993, validation=0.2)
    train, val, test = (Counter(CURATED[i] for i in subset) for subset in draw_positions(CURATED, folds))
    assert train == {"benign": 133, "malignant": 98, "normal": 38}
    assert val == {"benign": 33, "malignant": 25, "normal": 10}
    assert test == {"benign": 56, "malignant": 41, "normal": 16}


@pytest.mark.parametrize("stratified", [False, True])
def test_folds_are_those_of_scikit_learn(stratified: bool) -> None:
    kind = StratifiedKFold if stratified else KFold
    expected = [list(test) for _, test in kind(5, shuffle=True, random_state=42).split(CURATED, CURATED)]
    for index in range(5):
        folds = FoldsConfig(count=5, index=index, grouped=False, stratified=stratified, seed=42, validation="test")
        drawn = draw_positions(CURATED, folds)
        assert drawn.val == drawn.test == expected[index]
        assert sorted(drawn.train + drawn.test) == list(range(450))


@pytest.mark.parametrize("stratified", [False, True])
def test_a_single_split_is_that_of_scikit_learn(stratified: bool) -> None:
    stratify = CURATED if stratified else None
    rest, test = train_test_split(range(450), test_size=0.2, random_state=40, stratify=stratify)
    stratify = [CURATED[i] for i in sorted(rest)] if stratified else None
    train, val = train_test_split(sorted(rest), test_size=0.25, random_state=40, stratify=stratify)
    folds = FoldsConfig(test=0.2, grouped=False, stratified=stratified, seed=40, validation=0.25)
    drawn = draw_positions(CURATED, folds)
    assert drawn == (sorted(train), sorted(val), sorted(test))


def test_too_few_images() -> None:
    message = r"^the 3 images cannot be split at random as data\.folds says \(Cannot have number of splits.*\): add im"
    with pytest.raises(DataError, match=message):
        draw_positions(["benign"] * 3, FoldsConfig(count=5, grouped=False))
    with pytest.raises(DataError, match=r"data\.folds says \(The least populated class.* 1 member"):
        draw_positions(["benign"] * 9 + ["normal"], FoldsConfig(test=0.2, grouped=False, stratified=True))


def test_the_order_of_an_image_list_is_part_of_the_split() -> None:
    """Listed images that are missing take part in the draw: the others stay in their published subsets."""
    records = names({"benign": 12, "normal": 8})
    listed = {
        f"{record.label} ({i})": record.label for record, i in zip(records, [*range(1, 13), *range(1, 9)], strict=True)
    }
    folds = FoldsConfig(count=4, grouped=False, stratified=True, seed=1, validation="test")
    whole = split_records(records, folds, listed)
    rest = split_records(records[3:], folds, listed)
    assert set(rest.test) == set(whole.test) - set(records[:3])
    assert set(rest.train) == set(whole.train) - set(records[:3])
    backwards = dict(reversed(listed.items()))
    assert split_records(records, folds, backwards).hash != whole.hash


def test_stratified_folds_are_not_grouped() -> None:
    with pytest.raises(
        ValueError, match="stratified and grouped are both true: groups are always balanced by class; s"
    ):
        FoldsConfig(stratified=True)


@pytest.mark.parametrize("value", ["val", 0, 0.6, True])
def test_the_validation_subset_is_a_fraction_or_the_test_subset(value: object) -> None:
    message = f"{value!r} is neither a number above 0 and up to 0\\.5 nor the word 'test'"
    with pytest.raises(ValueError, match=message):
        FoldsConfig.model_validate({"validation": value})


def test_a_grouped_split_can_be_validated_on_its_test_subset() -> None:
    records = [replace(record, group=record.name) for record in names({"benign": 20, "normal": 20})]
    split = split_records(records, FoldsConfig(count=5, validation="test"))
    assert split.is_validated_on_test
    assert (len(split.train), len(split.val), len(split.test)) == (32, 8, 8)
