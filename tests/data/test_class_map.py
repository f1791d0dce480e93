from pathlib import Path

import pytest

from acsnet.data import Record
from acsnet.data.class_map import check_labels, map_classes, source_labels
from acsnet.errors import UnknownNameError

CLASSES = ("benign", "malignant", "normal")


def test_without_a_map_labels_are_classes() -> None:
    assert source_labels(CLASSES, {}) == ["benign", "malignant", "normal"]
    check_labels({}, [])


def test_the_labels_that_map_to_classes() -> None:
    assert source_labels(CLASSES, {"cyst": "benign", "fibroadenoma": "benign", "cancer": "malignant"}) == [
        "benign",
        "cyst",
        "fibroadenoma",
        "malignant",
        "cancer",
        "normal",
    ]


def test_a_label_that_is_mapped_is_no_longer_a_class_of_its_own() -> None:
    assert source_labels(["benign", "malignant"], {"benign": "malignant", "malignant": "benign"}) == [
        "malignant",
        "benign",
    ]
    assert source_labels(["benign"], {"benign": "benign"}) == ["benign"]


def test_records_are_mapped_once() -> None:
    records = [Record(Path("a.png"), (), label, name=label) for label in ("benign", "malignant", "cyst")]
    mapped = map_classes(records, {"benign": "malignant", "malignant": "benign", "cyst": "benign"})
    assert [(record.name, record.label) for record in mapped] == [
        ("benign", "malignant"),
        ("malignant", "benign"),
        ("cyst", "benign"),
    ]


def test_a_class_that_is_not_configured() -> None:
    message = r"unknown class in data\.class_map 'maligant': did you mean 'malignant'\? data\.classes has benign, "
    with pytest.raises(UnknownNameError, match=message):
        source_labels(CLASSES, {"cancer": "maligant"})


def test_a_label_that_the_data_does_not_have() -> None:
    message = r"unknown label in data\.class_map 'cysts': did you mean 'cyst'\? the data has cancer, cyst \(data"
    with pytest.raises(UnknownNameError, match=message):
        check_labels({"cancer": "malignant", "cysts": "benign"}, {"cyst", "cancer"})
