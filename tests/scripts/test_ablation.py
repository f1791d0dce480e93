"""``python -m scripts.ablation``: rows from the folders of tests, and the table of docs/benchmarks/ablation.md."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acsnet.errors import InputError
from scripts.ablation import PAGE, ROWS, add_row, page_text

Invoke = Callable[..., tuple[int, str, str]]


def write_test(folder: Path, subset: str, dice: float, **others: Any) -> Path:
    folder.mkdir()
    metrics = {
        "subset": subset,
        "n": 7,
        "dataset_hash": subset,
        "checkpoint_sha256": "a",
        "model": "unet",
        "parameters": 1_230_000,
        "segmentation": {"dice": 0.1, "lesion": {"dice": dice}},
        "classification": {"accuracy": 0.5, "auroc_malignant": 0.75},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics | others))
    return folder


def test_the_table_is_fresh() -> None:
    assert page_text(ROWS, PAGE) == PAGE.read_text(encoding="utf-8")


def test_a_row_has_the_metrics_of_both_tests_and_replaces_its_predecessor(tmp_path: Path) -> None:
    rows, page = tmp_path / "rows.json", tmp_path / "page.md"
    page.write_text("Above.\n\n<!-- ablation:begin -->\n<!-- ablation:end -->\n")
    home, away = write_test(tmp_path / "home", "test", 0.8), write_test(tmp_path / "away", "all", 0.61234)
    add_row(rows, "plain", home, away)
    add_row(rows, "other", home, away)
    add_row(rows, "plain", write_test(tmp_path / "again", "test", 0.7), away)
    lines = [line for line in page_text(rows, page).splitlines() if line.startswith("| plain") or "other |" in line]
    assert lines == [
        "| plain | `unet` | 1.23 | 0.700 | 0.500 | 0.750 | 0.612 | 0.500 | 0.750 |",
        "| other | `unet` | 1.23 | 0.800 | 0.500 | 0.750 | 0.612 | 0.500 | 0.750 |",
    ]


def test_tests_that_do_not_belong_together(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    home, away = write_test(tmp_path / "home", "test", 0.8), write_test(tmp_path / "away", "all", 0.6)
    with pytest.raises(InputError, match=r"away tests the subset all: expected test$"):
        add_row(rows, "swapped", away, home)
    other = write_test(tmp_path / "other", "all", 0.6, checkpoint_sha256="b")
    with pytest.raises(InputError, match=r"home and .*other test different checkpoints$"):
        add_row(rows, "mixed", home, other)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(
            InputError, match=rf"^there is no {folder}/metrics\.json: pass a folder that acsnet test wr"
        ):
            add_row(rows, "untested", home, folder)
    assert not rows.exists()
    add_row(rows, "first", home, away)
    add_row(rows, "second", home, write_test(tmp_path / "third", "all", 0.6, dataset_hash="c"))
    with pytest.raises(InputError, match=r"has tests of 2 different sets of images: test all rows on the same$"):
        page_text(rows, tmp_path / "page.md")


def test_on_the_command_line(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("scripts.ablation", "--check") == (0, "", "")
    home, away = write_test(tmp_path / "home", "test", 0.8), write_test(tmp_path / "away", "all", 0.6)
    before = ROWS.read_bytes()
    status, _, errors = invoke("scripts.ablation", "add", "plain", away, home)
    assert (status, errors) == (2, f"error: {away} tests the subset all: expected test\n")
    assert ROWS.read_bytes() == before
