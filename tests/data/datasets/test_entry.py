import re
from pathlib import Path

import pytest

from acsnet.data import dataset_entry, list_datasets, read_dataset
from acsnet.data.datasets import DatasetEntry, entry, register_dataset
from acsnet.errors import DataError, UnknownNameError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_registered_datasets() -> None:
    assert list_datasets() == ["breast", "busbra", "busi", "busuclm", "folders", "udiat"]


@pytest.mark.parametrize("name", ["breast", "busbra", "busi", "busuclm", "udiat"])
def test_metadata_of_a_published_dataset(name: str) -> None:
    known = dataset_entry(name)
    assert known.name == name
    assert known.title
    assert known.publication
    assert known.license
    assert known.page.startswith("http")
    assert {"benign", "malignant"} <= set(known.classes)
    assert bool(known.files) != bool(known.how_to_ask), "it has files to download, or says how to ask for them"
    for file in known.files:
        assert file.url.startswith("https://")
        assert re.fullmatch(r"[\w.-]+\.(zip|xlsx)", file.name)
        assert bool(file.sha256) == bool(file.pinned_by), "a checksum has a source"
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256)


@pytest.mark.parametrize("name", list_datasets())
def test_each_reader_says_what_it_was_verified_on(name: str) -> None:
    source = (REPOSITORY / "acsnet" / "data" / "datasets" / f"{name}.py").read_text(encoding="utf-8")
    assert "erified on" in source.split('"""')[1]


def test_an_unknown_dataset() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'bus-bra': did you mean 'busbra'"):
        dataset_entry("bus-bra")
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'xyz': known: breast, busbra, "):
        read_dataset("xyz", Path())


def test_a_name_that_is_already_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "_ENTRIES", dict(entry._ENTRIES))
    another = DatasetEntry("another", "", "", "", "", scan=lambda root, classes: ([], []))
    register_dataset(another)
    assert dataset_entry("another") is another
    with pytest.raises(ValueError, match="a dataset named 'another' is already registered"):
        register_dataset(another)


def test_every_dataset_refuses_a_missing_root(tmp_path: Path) -> None:
    for name in list_datasets():
        with pytest.raises(DataError, match=r"there is no data root .*nowhere: "):
            read_dataset(name, tmp_path / "nowhere")


def test_every_dataset_refuses_another_layout(tmp_path: Path) -> None:
    for name in list_datasets():
        with pytest.raises(DataError, match=rf"{tmp_path} (is not in the layout of|has none of the folders) "):
            read_dataset(name, tmp_path)
