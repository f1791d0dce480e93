"""The examples of docs/examples run, and what they train can be used."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import acsnet

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _as_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="needs lightning")
    metrics = importlib.import_module("train_with_lightning").main(tmp_path, epochs=1, images_per_class=4)
    assert 0 <= metrics["dice"] <= 1
    model = acsnet.load_model(tmp_path / "network")
    assert model.metadata.metrics["dice"] == metrics["dice"]
    predictions = acsnet.Predictor(model).predict(tmp_path / "phantoms")
    assert len(predictions) == 12


def test_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers")
    metrics = importlib.import_module("train_with_transformers").main(tmp_path, epochs=1, images_per_class=4)
    assert 0 <= metrics["dice"] <= 1
    assert 0 <= metrics["accuracy"] <= 1
