import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.config import DataConfig
from acsnet.data import load_records, read_busi, verify_records, write_record_table
from acsnet.errors import DataError

MakeSet = Callable[..., Path]


def table_of(root: Path, path: Path) -> Path:
    write_record_table(path, read_busi(root))
    return path


def test_records_of_a_root(make_set: MakeSet) -> None:
    root = make_set(benign=2, malignant=1, normal=1)
    records = load_records(DataConfig(root=root), progress=False)
    assert records == verify_records(read_busi(root), progress=False)
    assert all(record.digest and record.group for record in records)


def test_records_of_a_table(make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(benign=2, malignant=1, normal=1)
    table = table_of(root, tmp_path / "records.csv")
    records = load_records(DataConfig(records=table), progress=False)
    assert records == load_records(DataConfig(root=root), progress=False)


def test_neither_root_nor_records() -> None:
    message = (
        r"no data is named: --set data\.root=FOLDER \(in BUSI's layout, or in that of data\.dataset: .*busbra, busi, .*"
        r"\) or --set data\.records=TABLE\.csv"
    )
    with pytest.raises(DataError, match=message):
        load_records(DataConfig(), progress=False)


@pytest.mark.parametrize("kind", ["root", "records"])
def test_only_the_configured_classes(kind: str, make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(benign=2, malignant=3, normal=1)
    where = root if kind == "root" else table_of(root, tmp_path / "records.csv")
    config = DataConfig.model_validate({kind: where, "classes": ["malignant", "benign"]})
    assert Counter(r.label for r in load_records(config, progress=False)) == {"benign": 2, "malignant": 3}


def test_what_a_table_has_of_other_classes_is_logged(
    make_set: MakeSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = table_of(make_set(benign=2, malignant=3, normal=1), tmp_path / "records.csv")
    with caplog.at_level(logging.INFO, "acsnet"):
        load_records(DataConfig(records=table), progress=False)
        assert caplog.messages == []
        load_records(DataConfig(records=table, classes=("benign",)), progress=False)
    assert caplog.messages == [f"left out of {table}, not in data.classes: {{'malignant': 3, 'normal': 1}}"]


def test_a_broken_image_of_another_class_is_not_looked_at(make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(benign=2, normal=1)
    table = table_of(root, tmp_path / "records.csv")
    (root / "normal" / "normal (1).png").write_bytes(b"")
    for config in ({"root": root}, {"records": table}):
        assert len(load_records(DataConfig.model_validate({**config, "classes": ["benign"]}), progress=False)) == 2
        with pytest.raises(DataError, match=r"the data cannot be used: .*normal \(1\)\.png cannot be read"):
            load_records(DataConfig.model_validate(config), progress=False)


def test_a_table_without_the_classes(make_set: MakeSet, tmp_path: Path) -> None:
    table = table_of(make_set(benign=2), tmp_path / "records.csv")
    message = (
        r"records\.csv has no records of the classes malignant, normal, only 2 benign: set data\.classes, or say what "
        r"they are by data\.class_map=\{label: class\}"
    )
    with pytest.raises(DataError, match=message):
        load_records(DataConfig(records=table, classes=("malignant", "normal")), progress=False)


def test_missing_masks_and_broken_files_are_told_together(make_set: MakeSet) -> None:
    root = make_set(benign=3, malignant=1)
    (root / "benign" / "benign (1)_mask.png").unlink()
    (root / "benign" / "benign (2).png").unlink()
    (root / "malignant" / "malignant (1).png").write_text("no image")
    with pytest.raises(DataError, match="the data cannot be used, 3 problems:") as error:
        load_records(DataConfig(root=root), progress=False)
    lines = str(error.value).splitlines()[1:]
    assert lines[0].endswith("benign (1).png has no mask benign (1)_mask.png")
    assert lines[1].endswith("benign (2)_mask.png has no image")
    assert "malignant (1).png cannot be read as an image" in lines[2]


def test_missing_data_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no data root .*none: download BUSI .*tools/phantom\.py"):
        load_records(DataConfig(root=tmp_path / "none"), progress=False)
    with pytest.raises(DataError, match=r"there is no record table .*none\.csv: make one with tools/curate\.py"):
        load_records(DataConfig(records=tmp_path / "none.csv"), progress=False)
