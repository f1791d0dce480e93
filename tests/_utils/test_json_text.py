"""Files of JSON that attack their readers: each reader has one error, without a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet._utils.download import _PartialFile
from acsnet._utils.json_text import parse_json
from acsnet.checkpoints.index import read_index
from acsnet.checkpoints.metadata import METADATA_KEY, parse_metadata
from acsnet.data.verified import _read as read_verified
from acsnet.errors import AcsnetError
from acsnet.experiments import read_plan
from acsnet.report.training import _read_environment
from acsnet.statistics import read_run

BROKEN = {
    "lists": "[" * 100_000,
    "objects": '{"format": ' * 100_000,
    "closed": "[" * 100_000 + "]" * 100_000,
    "digits": '{"format": ' + "9" * 10_000 + "}",
    "nul": '{"format": "\0"}',
    "nothing": "",
    "half": '{"format": 1',
    "two": "{}{}",
    "words": "format = 1",
}
WRONG = {
    "list": "[]",
    "text": '"format"',
    "number": "1e400",
    "null": "null",
    "list of a list": '{"format": [[]]}',
    "surrogate": '{"format": "\\ud800"}',
    "types": '{"format": 1, "checkpoints": 3, "class_names": 3, "study": [], "images": 1}',
}
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "plan": ("crossval.json", read_plan),
    "metrics": ("metrics.json", read_run),
    "index": ("index.json", read_index),
    "metadata": ("m.json", lambda folder: parse_metadata({METADATA_KEY: (folder / "m.json").read_text()}, folder)),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_text_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        parse_json(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", [*BROKEN.values(), *WRONG.values()], ids=[*BROKEN, *WRONG])
def test_readers_of_json(reader: str, text: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_text(text)
    (tmp_path / "cases.csv").write_text("image,label\na,benign\n")
    with pytest.raises(AcsnetError) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_an_environment_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(text)
    with pytest.raises(AcsnetError, match=r"environment\.json cannot be read: the environment of the run is unknown"):
        _read_environment(tmp_path)


@pytest.mark.parametrize("text", [*BROKEN.values(), *WRONG.values()], ids=[*BROKEN, *WRONG])
def test_files_that_are_made_again(text: str, tmp_path: Path) -> None:
    (tmp_path / "verified.json").write_text(text)
    assert read_verified(tmp_path / "verified.json").images == {}
    (tmp_path / ".x.zip.part.json").write_text(text)
    assert _PartialFile(tmp_path / "x.zip", "http://a/x.zip", checked=False).validator == ""
