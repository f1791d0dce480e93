import re
from pathlib import Path

import pytest

from acsnet.data import DatasetEntry, dataset_entry, list_datasets, read_dataset
from acsnet.data.datasets import entry, register_dataset
from acsnet.errors import DataError, UnknownNameError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_registered_sets() -> None:
    assert list_datasets() == ["breast", "busbra", "busi", "busuclm", "folders", "udiat"]


@pytest.mark.parametrize("name", ["breast", "busbra", "busi", "busuclm", "udiat"])
def test_what_is_known_of_a_published_set(name: str) -> None:
    known = dataset_entry(name)
    assert known.name == name
    assert known.title
    assert known.publication
    assert known.license
    assert known.page.startswith("http")
    assert {"benign", "malignant"} <= set(known.classes)
    assert bool(known.files) != bool(known.how_to_ask), "it is fetched, or it is said how it is had"
    for file in known.files:
        assert file.url.startswith("https://")
        assert re.fullmatch(r"[\w.-]+\.(zip|xlsx)", file.name)
        assert bool(file.sha256) == bool(file.pinned_by), "a checksum says where it was taken from"
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256)


@pytest.mark.parametrize("name", list_datasets())
def test_each_reader_says_what_it_was_verified_on(name: str) -> None:
    source = (REPOSITORY / "acsnet" / "data" / "datasets" / f"{name}.py").read_text(encoding="utf-8")
    assert "erified on" in source.split('"""')[1]


def test_an_unknown_set() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'bus-bra': did you mean 'busbra'"):
        dataset_entry("bus-bra")
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'xyz': known: breast, busbra, "):
        read_dataset("xyz", Path())


def test_a_name_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "_ENTRIES", dict(entry._ENTRIES))
    another = DatasetEntry("another", "", "", "", "", scan=lambda root, classes: ([], []))
    register_dataset(another)
    assert dataset_entry("another") is another
    with pytest.raises(ValueError, match="a dataset named 'another' is registered already"):
        register_dataset(another)


def test_every_set_says_that_a_root_is_missing(tmp_path: Path) -> None:
    for name in list_datasets():
        with pytest.raises(DataError, match=r"there is no data root .*nowhere: "):
            read_dataset(name, tmp_path / "nowhere")


def test_every_set_says_that_a_root_is_of_another_layout(tmp_path: Path) -> None:
    for name in list_datasets():
        with pytest.raises(DataError, match=rf"{tmp_path} (is not in the layout of|has none of the folders) "):
            read_dataset(name, tmp_path)
