"""Time to quality: both trainings run from the same weights, and the table has the first good epoch."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from acsnet.config import build_config
from acsnet.errors import DataError, InputError
from benchmarks import EpochTest, benchmark_quality, quality, quality_pages, quality_table, read_epochs, write_epochs
from benchmarks.__main__ import QUALITY_PAGES

REPOSITORY = Path(__file__).resolve().parents[2]
ENCODER = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def rows(tiny_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[EpochTest]:
    weights = tmp_path_factory.mktemp("weights") / "encoder.pth"
    torch.save(timm.create_model(ENCODER).state_dict(), weights)
    overrides = [f"model.encoder_weights={weights}", "training.epochs=1"]
    shown: list[EpochTest] = []
    config = build_config(tiny_settings, overrides, "test")
    benchmark_quality(config, shown.append)
    return shown


def test_each_training_is_tested_after_each_epoch(rows: list[EpochTest]) -> None:
    assert [(row.contender, row.epoch) for row in rows] == [
        ("acsnet, released recipe", 1),
        ("smp U-Net, plain loop", 1),
    ]
    for row in rows:
        assert row.minutes > 0
        assert 0 <= row.lesion_dice <= 1
        assert 0 <= row.accuracy <= 1


def test_tested_epochs_survive_the_file(rows: list[EpochTest], tmp_path: Path) -> None:
    path = tmp_path / "quality.csv"
    write_epochs(path, rows)
    assert read_epochs(path) == rows


def test_files_of_other_content(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    with pytest.raises(DataError, match=r"create it by python -m benchmarks quality --csv .*other\.csv"):
        read_epochs(path)
    path.write_text("epoch,minutes\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.csv has no tested epochs of python -m benchmarks quality"):
        read_epochs(path)


def test_the_table_has_the_first_good_epoch_and_the_last() -> None:
    rows = [
        EpochTest("a", 1, 2.0, 0.79, 0.87),
        EpochTest("a", 2, 4.0, 0.78, 0.88),
        EpochTest("a", 3, 6.0, 0.81, 0.9),
        EpochTest("b", 1, 1.0, 0.77, 0.99),
    ]
    assert [[row.name, *(cell.text for cell in row.cells)] for row in quality_table(rows).rows] == [
        ["a", "2.0 (epoch 1)", "4.0 (epoch 2)", "4.0 (epoch 2)", "6.0", "0.810", "0.900"],
        ["b", "not reached", "1.0 (epoch 1)", "not reached", "1.0", "0.770", "0.990"],
    ]


def test_the_pages_are_fresh() -> None:
    rows = read_epochs(REPOSITORY / "benchmarks" / "quality.csv")
    for page, text in quality_pages(rows, QUALITY_PAGES).items():
        assert page.read_text(encoding="utf-8") == text


def test_the_clock_stands_still_during_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(quality.time, "monotonic", lambda: now[0])
    clock = quality._Clock(started=now[0])
    now[0] += 120
    with clock.paused() as minutes:
        now[0] += 3600
    assert minutes == 2
    now[0] += 60
    with clock.paused() as minutes:
        pass
    assert minutes == 3


def test_a_recipe_without_a_file_of_weights(tiny_settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"set model\.encoder_weights to a file \(make weights\)"):
        benchmark_quality(build_config(tiny_settings, [], "test"), print)


def test_the_peer_is_the_network_of_the_library() -> None:
    network = quality.SmpUnet(ENCODER, 3).eval()
    images = torch.rand(1, 3, 64, 64)
    mask, label = network.unet(images)
    output = network(images)
    assert output.mask is not None
    assert output.label is not None
    assert torch.equal(output.mask, mask)
    assert torch.equal(output.label, label)
