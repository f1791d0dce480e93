from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from acsnet.checkpoints import index
from acsnet.config import DataConfig
from acsnet.data import load_records, read_split_list, split_data, write_split_list
from acsnet.data.folds import SUBSETS, Split
from acsnet.errors import DataError, UnknownNameError

MakeSet = Callable[..., Path]
FOLDS = {"test": 0.25, "validation": 0.34}


@pytest.fixture
def root(make_set: MakeSet) -> Path:
    return make_set(benign=9, malignant=9)


def config(root: Path, **settings: object) -> DataConfig:
    return DataConfig.model_validate({"root": root, "classes": ["benign", "malignant"], "folds": FOLDS, **settings})


@pytest.fixture
def drawn(root: Path) -> Split:
    return split_data(load_records(config(root), progress=False), config(root))


@pytest.fixture
def table(drawn: Split, tmp_path: Path) -> Path:
    path = tmp_path / "split.csv"
    write_split_list(path, drawn)
    return path


def test_what_is_written_makes_the_same_split(root: Path, drawn: Split, table: Path) -> None:
    listed = config(root, split_file=table, folds={})
    again = split_data(load_records(listed, progress=False), listed)
    for subset in SUBSETS:
        assert set(again.subset(subset)) == set(drawn.subset(subset))
    assert read_split_list(table).hash == again.hash == drawn.hash
    first = table.read_text().splitlines()[:2]
    assert first[0] == "dataset,name,label,group,subset"
    assert first[1].startswith("busi,benign/benign (1).png,benign,busi/benign/benign (1).png,t")


def test_images_that_are_not_listed_are_skipped(root: Path, table: Path, make_set: MakeSet) -> None:
    lines = table.read_text().splitlines(keepends=True)
    train = next(line for line in lines if line.endswith("train\n"))
    table.write_text("".join(line for line in lines if line != train))
    records = load_records(config(root, split_file=table), progress=False)
    assert len(records) == 17
    assert train.split(",")[1] not in {record.name for record in records}


def test_groups_are_those_of_the_list(root: Path, drawn: Split, table: Path, tmp_path: Path) -> None:
    first, second, *rest = drawn.test
    joined = Split(drawn.train, drawn.val, (first, replace(second, group=first.group), *rest))
    write_split_list(tmp_path / "joined.csv", joined)
    records = load_records(config(root, split_file=tmp_path / "joined.csv"), progress=False)
    group = {record.name: record.group for record in records}
    assert group[first.name] == group[second.name]
    assert len(set(group.values())) == 17


def test_all_listed_images_are_needed(root: Path, table: Path) -> None:
    (root / "malignant" / "malignant (3).png").unlink()
    (root / "malignant" / "malignant (3)_mask.png").unlink()
    message = (
        rf"^1 of the 18 images of the split {table} are not in the data \(busi/malignant/malignant \(3\)\.png, \.\.\.\)"
        r": provide all of its images, test other images with data\.split=all, or use it as data\.image_list with "
        r"data\.allow_missing=true$"
    )
    with pytest.raises(DataError, match=message):
        load_records(config(root, split_file=table), progress=False)


def test_classes_have_to_be_those_of_the_list(root: Path, table: Path) -> None:
    table.write_text(table.read_text().replace("(2).png,benign,", "(2).png,malignant,"))
    listed = config(root, split_file=table)
    records = load_records(listed, progress=False)
    message = r"^the data does not match the split .*: busi/benign/benign \(2\)\.png is malignant in the list, benign i"
    with pytest.raises(DataError, match=message):
        split_data(records, listed)


def test_a_list_without_a_validation_subset(root: Path, table: Path) -> None:
    table.write_text(table.read_text().replace(",val\n", ",train\n"))
    listed = config(root, split_file=table, folds={})
    records = load_records(listed, progress=False)
    with pytest.raises(DataError, match=r"split\.csv: the list has 0 images of the subset val: expected at least one$"):
        split_data(records, listed)


def test_a_split_that_is_validated_on_its_test_subset(root: Path, table: Path, tmp_path: Path) -> None:
    folds = {"test": 0.25, "validation": "test"}
    drawn = split_data(load_records(config(root, folds=folds), progress=False), config(root, folds=folds))
    assert drawn.is_validated_on_test
    assert drawn.val == drawn.test
    assert len(drawn.subset("all")) == 18
    path = tmp_path / "test_only.csv"
    write_split_list(path, drawn)
    assert sum(line.endswith(",test") for line in path.read_text().splitlines()) == len(drawn.test)
    listed = config(root, split_file=path, folds={"validation": "test"})
    again = split_data(load_records(listed, progress=False), listed)
    assert again.is_validated_on_test
    assert again.hash == drawn.hash
    listed = config(root, split_file=table, folds={"validation": "test"})
    records = load_records(listed, progress=False)
    message = r"the list has \d images of the subset val: expected none, since data\.folds\.validation is test$"
    with pytest.raises(DataError, match=message):
        split_data(records, listed)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (",test\n", ",tset\n", r"split\.csv line \d+: the subset is 'tset': expected one of train, val, test"),
        ("malignant (2)", "malignant (1)", r"busi/malignant/malignant \(1\)\.png has 2 lines"),
        (",test\n", ",train\n", "the subset test has no images"),
        (
            "dataset,name",
            "dataset,image",
            r"split\.csv has no column name: it has dataset, image, label, group, subset",
        ),
    ],
)
def test_a_broken_list(table: Path, old: str, new: str, problem: str) -> None:
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=problem):
        read_split_list(table)


def test_a_missing_list(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no table .*nothing\.csv"):
        load_records(config(root, split_file=tmp_path / "nothing.csv"), progress=False)


@pytest.mark.usefixtures("released")
def test_a_released_list_is_found_by_its_name(root: Path) -> None:
    assert len(load_records(config(root, split_file="noise_curated"), progress=False)) == 18
    with pytest.raises(UnknownNameError, match=r"unknown released split 'noise_curatd': did you mean 'noise_curated'"):
        load_records(config(root, split_file="noise_curatd"), progress=False)


@pytest.fixture
def released(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The split as a released one, named noise_curated."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "index.json").write_text("{}")
    monkeypatch.setattr(index, "_PLACES", (folder,))
    return table.rename(folder / "noise_curated.csv")


def test_the_images_of_a_released_list_in_folds(root: Path, released: Path) -> None:
    lines = released.read_text().splitlines(keepends=True)
    released.write_text("".join(line for line in lines if "benign (1).png" not in line))
    data = config(root, image_list="noise_curated", folds={"count": 3, "index": 1, "validation": 0.34})
    records = load_records(data, progress=False)
    assert len(records) == 17
    split = split_data(records, data)
    assert {len(split.subset(subset)) for subset in SUBSETS} != {0}
    assert split.hash != read_split_list(released).hash, "the subsets of the list are not used"
    folds = {"count": 3, "validation": 0.34}
    others = [
        split_data(records, config(root, image_list="noise_curated", folds={**folds, "index": i})) for i in (0, 2)
    ]
    tested = [record.name for one in (*others, split) for record in one.test]
    assert sorted(tested) == sorted(record.name for record in records)


def test_some_images_of_a_released_list_are_missing(root: Path, released: Path) -> None:
    for path in root.glob("benign/benign (2)*"):
        path.unlink()
    with pytest.raises(DataError, match=r"1 of the 18 images of the split .*noise_curated.csv are not in the data"):
        load_records(config(root, image_list="noise_curated"), progress=False)
    assert len(load_records(config(root, image_list="noise_curated", allow_missing=True), progress=False)) == 17


def test_other_classes_of_a_released_list_are_left_out(root: Path, released: Path) -> None:
    data = config(root, image_list="noise_curated", classes=["benign"])
    assert {record.label for record in load_records(data, progress=False)} == {"benign"}


def test_the_released_split_of_busi(busi_root: Path) -> None:
    """No group is separated, and all listed images exist."""
    data = DataConfig(root=busi_root, split_file=Path("busi_curated"))
    split = split_data(load_records(data, progress=False), data)
    assert split.leaked == 0
    assert [len(split.subset(subset)) for subset in SUBSETS] == [395, 45, 77]
