"""The page "Reproduction": it is up to date, and results come from tests of runs."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from acsnet.config import load_config
from acsnet.errors import RunError
from scripts.reproduction import page, results

CONFIG = results.ROOT / "configs" / "published" / "aumente2025" / "mt_pr_do.yaml"


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.build_page(), "run python -m scripts.reproduction"


def test_parameter_counts_are_as_published() -> None:
    text = page.build_page()
    assert "31,824,945 parameters, as published" in text
    assert "14,927,455 parameters, as published" in text
    assert "NOT as published" not in text


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "test").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        load_config(CONFIG, ["training.epochs=40", "training.precision=bfloat16"]).to_yaml()
    )
    for name, column, values in (("history", "epoch", ["1", "2"]), ("split", "subset", ["train", "val", "train"])):
        with (folder / f"{name}.csv").open("w") as file:
            writer = csv.writer(file)
            writer.writerows([[column], *([value] for value in values)])
    metrics: dict[str, Any] = {
        "n": 3,
        "split_hash": "abc",
        "segmentation": {"dice": 0.5, "lesion": {"dice": 0.25}},
        "classification": {"accuracy": 0.75, "f1_macro": None},
        "published": {"aumente2025": {"dice": 0.625, "accuracy": 0.75}},
    }
    (folder / "test" / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_the_result_of_a_run_stands_below_the_published_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    results.add_result(CONFIG, run)
    lines = page.build_page().splitlines()
    row = next(line for line in lines if "aumente2025/mt_pr_do`: fold 0 alone, 2 of at most 200 epochs" in line)
    assert "2 images to train, 3 tested, bfloat16 |" in row
    assert "0.625" in row
    assert lines[lines.index(row) - 1].startswith("| MT + PR + DO | published |")
    ours = "as this project counts them: lesion_dice 0.250, dice 0.500, accuracy 0.750."
    assert any(line.endswith(ours) for line in lines)


def test_a_run_without_a_test(run: Path) -> None:
    (run / "test" / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"^there is no .*metrics\.json: run acsnet test --checkpoint .*best\.saf"):
        results.add_result(CONFIG, run)


def test_a_test_without_the_metrics_of_the_publication(run: Path) -> None:
    path = run / "test" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"published": {}}))
    message = r"has no metrics of aumente2025: test again with --set evaluation\.published_metrics=\[aumente2025\]$"
    with pytest.raises(RunError, match=message):
        results.add_result(CONFIG, run)
