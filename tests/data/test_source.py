import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet.config import DataConfig
from acsnet.data import load_records, read_busi, verify_records, write_record_table
from acsnet.errors import DataError, UnknownNameError

MakeSet = Callable[..., Path]


def table_of(root: Path, path: Path, dataset: str = "busi", **labels: str) -> Path:
    """Write the table of a set, with its name and some of its labels changed."""
    records = [replace(r, dataset=dataset, label=labels.get(r.label, r.label)) for r in read_busi(root)]
    write_record_table(path, records)
    return path


def load(
    *tables: Path, classes: Sequence[str] = ("benign", "malignant", "normal"), **settings: object
) -> Counter[tuple[str, str]]:
    """Count what is loaded of some tables, by dataset and label."""
    config = DataConfig.model_validate({"records": tables, "classes": classes, **settings})
    return Counter((record.dataset, record.label) for record in load_records(config, progress=False))


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
    hint = r"; acsnet download {name} writes it to data/{folder}, where acsnet test also looks$"
    for name, folder in (("busi", "Dataset_BUSI_with_GT"), ("busbra", "busbra"), ("breast", "breast")):
        with pytest.raises(DataError, match=message + hint.format(name=name, folder=folder)):
            load_records(DataConfig(dataset=name), progress=False)
    with pytest.raises(DataError, match=rf"{message}$"):
        load_records(DataConfig(dataset="folders"), progress=False)


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
    assert caplog.messages == [f"skipped in {table}, not in data.classes: {{'malignant': 3, 'normal': 1}}"]


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
        r"records\.csv has no records of the classes malignant, normal, only 2 benign: set data\.classes, or map "
        r"the labels by data\.class_map=\{label: class\}"
    )
    with pytest.raises(DataError, match=message):
        load_records(DataConfig(records=table, classes=("malignant", "normal")), progress=False)


def test_missing_masks_and_broken_files_are_listed_together(make_set: MakeSet) -> None:
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
    with pytest.raises(DataError, match=r"there is no data root .*none: download BUSI .*acsnet phantom"):
        load_records(DataConfig(root=tmp_path / "none"), progress=False)
    with pytest.raises(DataError, match=r"there is no record table .*none\.csv: make one with acsnet curate"):
        load_records(DataConfig(records=tmp_path / "none.csv"), progress=False)


def test_several_tables(make_set: MakeSet, tmp_path: Path) -> None:
    one = table_of(make_set("one", benign=2, malignant=1), tmp_path / "1" / "records.csv", "one")
    two = table_of(make_set("two", first_id=10, benign=1, normal=3), tmp_path / "2" / "records.csv", "two")
    assert load(one, two) == {("one", "benign"): 2, ("one", "malignant"): 1, ("two", "benign"): 1, ("two", "normal"): 3}


def test_identical_images_of_two_sets_are_one_group(make_set: MakeSet, tmp_path: Path) -> None:
    one = table_of(make_set("one", benign=2), tmp_path / "one.csv", "one")
    two = table_of(make_set("two", benign=1), tmp_path / "two.csv", "two")
    records = load_records(DataConfig(records=(one, two)), progress=False)
    assert [record.group.removeprefix("one/benign/benign ") for record in records] == ["(1).png", "(2).png", "(1).png"]


def test_tables_that_share_names_or_images(make_set: MakeSet, tmp_path: Path) -> None:
    root, other = make_set("one", benign=2), make_set("two", benign=1, first_id=2)
    one = table_of(root, tmp_path / "one.csv", "busi")
    same_name = table_of(other, tmp_path / "two.csv", "busi")
    message = (
        r"data\.records: tables must not share images, nor names within one 'dataset': busi/benign/benign \(2\)\.png "
        r"\(.*two/benign/benign \(2\)\.png\) is in .*one\.csv and in .*two\.csv$"
    )
    with pytest.raises(DataError, match=message):
        load(one, same_name)
    same_images = table_of(root, tmp_path / "three.csv", "another")
    with pytest.raises(DataError, match=r"one 'dataset', 2 problems:\n  another/benign/benign \(1\)\.png .* is in "):
        load(one, same_images)


def test_every_table_says_what_is_left_out(make_set: MakeSet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = table_of(make_set("one", benign=2), tmp_path / "one.csv", "one")
    two = table_of(make_set("two", first_id=10, benign=1, normal=3), tmp_path / "two.csv", "two")
    with caplog.at_level(logging.INFO, "acsnet"):
        load(one, two, classes=["benign"])
    assert caplog.messages == [f"skipped in {two}, not in data.classes: {{'normal': 3}}"]


def test_a_root_of_another_set(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    config = {"root": tmp_path, "dataset": "folders"}
    with pytest.raises(DataError, match=r"has none of the folders images/benign/, .*: expected images/<class>/"):
        load_records(DataConfig.model_validate(config), progress=False)
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'folder': did you mean 'folders'"):
        load_records(DataConfig.model_validate({**config, "dataset": "folder"}), progress=False)


def test_labels_of_a_table_are_mapped(make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(benign=2, malignant=1, normal=3)
    table = table_of(root, tmp_path / "t.csv", benign="cyst", malignant="cancer")
    mapping = {"cyst": "benign", "cancer": "malignant"}
    assert load(table, class_map=mapping) == {("busi", "benign"): 2, ("busi", "malignant"): 1, ("busi", "normal"): 3}
    assert load(table, class_map={"cancer": "malignant"}) == {("busi", "malignant"): 1, ("busi", "normal"): 3}
    merged = {"cyst": "malignant", "cancer": "malignant"}
    assert load(table, classes=["malignant"], class_map=merged) == {("busi", "malignant"): 3}


def test_labels_of_a_root_are_mapped(make_set: MakeSet) -> None:
    root = make_set(benign=2, cancer=1, normal=1)
    config = DataConfig(root=root, classes=("benign", "malignant"), class_map={"cancer": "malignant"})
    assert Counter(r.label for r in load_records(config, progress=False)) == {"benign": 2, "malignant": 1}


def test_names_in_the_class_map_that_are_unknown(make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(benign=2, cancer=1)
    table = table_of(root, tmp_path / "t.csv")
    for where in ({"root": root}, {"records": table}):
        config = DataConfig.model_validate({**where, "class_map": {"cancre": "malignant"}})
        message = r"unknown label in data\.class_map 'cancre': (did you mean 'cancer'\? )?the data has benign"
        with pytest.raises(UnknownNameError, match=message):
            load_records(config, progress=False)
        config = DataConfig.model_validate({**where, "class_map": {"cancer": "maligant"}})
        with pytest.raises(UnknownNameError, match=r"class in data\.class_map 'maligant': did you mean 'malignant'"):
            load_records(config, progress=False)


@pytest.mark.parametrize("link", ["symbolic", "hard", "table", "table with a link"])
def test_one_file_under_two_names_is_a_problem(link: str, make_set: MakeSet, tmp_path: Path) -> None:
    root = make_set(benign=3)
    one, two = root / "benign" / "benign (1).png", root / "benign" / "benign (2).png"
    data = DataConfig(root=root, classes=("benign",))
    if link in ("symbolic", "table with a link"):
        two.unlink()
        two.symlink_to(one)
    elif link == "hard":
        two.unlink()
        os.link(one, two)
    if link.startswith("table"):
        table = tmp_path / "t.csv"
        other = two.relative_to(tmp_path) if "link" in link else "./set/benign/../benign/benign (1).png"
        table.write_text(f"image,masks,label\n{one},,benign\n{other},,benign\n")
        data = DataConfig(records=(table,), classes=("benign",))
    with pytest.raises(
        DataError, match=r"cannot be used: .*\.png is the same file as .*\(1\)\.png: leave out one of the"
    ):
        load_records(data, progress=False)


@pytest.mark.parametrize("link", ["spelling", "symbolic", "hard"])
def test_tables_that_share_a_file_under_two_names(link: str, make_set: MakeSet, tmp_path: Path) -> None:
    image, other = make_set(benign=1) / "benign" / "benign (1).png", tmp_path / "other.png"
    if link == "symbolic":
        other.symlink_to(image)
    elif link == "hard":
        os.link(image, other)
    else:
        other = tmp_path / "set" / ".." / "set" / "benign" / "benign (1).png"
    for name, path in (("one", image), ("two", other)):
        (tmp_path / f"{name}.csv").write_text(f"image,masks,label\n{path},,benign\n")
    data = DataConfig(records=(tmp_path / "one.csv", tmp_path / "two.csv"), classes=("benign",))
    with pytest.raises(DataError, match=r"tables must not share images.* is in .*one\.csv and in .*two\.csv"):
        load_records(data, progress=False)


def test_frames_of_one_file_are_images_of_their_own(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 9), value, np.uint8)) for value in (10, 20)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "t.csv").write_text("image,masks,label\na.tif#0,,normal\na.tif#1,,normal\n")
    data = DataConfig(records=(tmp_path / "t.csv",), classes=("normal",))
    assert len(load_records(data, progress=False)) == 2


@pytest.mark.parametrize("kind", ["name", "hard link", "symbolic link"])
def test_an_image_that_is_its_own_mask(kind: str, phantom_root: Path, tmp_path: Path) -> None:
    image, mask = tmp_path / "a.png", tmp_path / "a_mask.png"
    image.write_bytes((phantom_root / "benign" / "benign (1).png").read_bytes())
    if kind == "name":
        mask = image
    elif kind == "hard link":
        os.link(image, mask)
    else:
        mask.symlink_to(image)
    (tmp_path / "t.csv").write_text(f"image,masks,label\na.png,{mask.name},benign\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"{mask.name} is the same file as its image .*a\.png: name the file of the m"):
        load_records(DataConfig(records=(tmp_path / "t.csv",)), progress=False)
