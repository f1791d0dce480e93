from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import benchmarks
from acsnet.config import Config
from benchmarks import EpochTest, Measurement, Report, check_page, read_epochs

Invoke = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).resolve().parents[2]
ROW = Measurement("infer", "batch 1, 256x256", "acsnet", 0.1, 1.0, "acsnet")


def test_results_are_printed_and_saved(monkeypatch: pytest.MonkeyPatch, invoke: Invoke, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(
        benchmarks, "benchmark_inference", lambda device, rounds: asked.append((device, rounds)) or [ROW]
    )
    path = tmp_path / "figures.json"
    status, output, _ = invoke("benchmarks", "infer", "--device", "cpu", "--rounds", "3", "--json", path)
    assert status == 0
    assert asked == [(torch.device("cpu"), 3)]
    assert "acsnet            0.100" in output
    report = Report.read(path)
    assert report.rows == (ROW,)
    assert report.machine.keys() == {"device", "threads", "torch"}
    assert str(report.machine["device"]).startswith("cpu (")


def test_data_on_a_folder(invoke: Invoke, phantom_root: Path) -> None:
    status, output, errors = invoke("benchmarks", "data", "--root", phantom_root, "--rounds", "1")
    assert (status, errors.count("Traceback")) == (0, 0)
    assert "images per second" in output


def test_page_needs_results(invoke: Invoke) -> None:
    status, _, errors = invoke("benchmarks", "page")
    assert status == 2
    assert "page needs --json FILE or --csv FILE, the results to write" in errors


def test_results_are_added_to_one_file(invoke: Invoke, tmp_path: Path) -> None:
    status, _, errors = invoke("benchmarks", "tasks", "--json", tmp_path / "a.json", tmp_path / "b.json")
    assert status == 2
    assert "tasks adds its results to one file, but --json has 2" in errors


def test_the_page_shows_the_saved_results() -> None:
    files = [REPOSITORY / "benchmarks" / name for name in ("cpu.json", "cpu_tasks.json", "cpu_commands.json")]
    check_page(REPOSITORY / "docs" / "benchmarks" / "speed.md", *map(Report.read, files))


def test_bad_arguments_are_one_line(monkeypatch: pytest.MonkeyPatch, invoke: Invoke, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, _, errors = invoke("benchmarks", "infer", "--device", "cuda")
    assert (status, errors) == (2, "error: there is no device 'cuda' here: this machine has cpu\n")
    status, _, errors = invoke("benchmarks", "infer", "--rounds", "0")
    assert (status, "argument --rounds: invalid choice: 0" in errors) == (2, True)
    path = tmp_path / "other.json"
    path.write_text("{}")
    status, _, errors = invoke("benchmarks", "infer", "--device", "cpu", "--json", path)
    assert (status, "has no measurements of python -m benchmarks" in errors) == (2, True)


def test_quality_is_shown_and_saved_after_each_epoch(
    monkeypatch: pytest.MonkeyPatch, invoke: Invoke, tmp_path: Path, tiny_config: Path, phantom_root: Path
) -> None:
    path = tmp_path / "quality.csv"
    tested = [EpochTest("a", 1, 0.5, 0.7, 0.8), EpochTest("a", 2, 1.0, 0.8, 0.9)]

    def train(config: Config, show: Callable[[EpochTest], None]) -> None:
        assert config.data.root == phantom_root
        for number, row in enumerate(tested, 1):
            show(row)
            assert read_epochs(path) == tested[:number]

    monkeypatch.setattr(benchmarks, "benchmark_quality", train)
    status, output, _ = invoke("benchmarks", "quality", "--root", phantom_root, "--recipe", tiny_config, "--csv", path)
    assert status == 0
    assert "a, epoch 2, 1.0 min: lesion Dice 0.800, accuracy 0.900\n" in output
    assert "1.0 (epoch 2)" in output


def test_quality_needs_the_images(invoke: Invoke) -> None:
    status, _, errors = invoke("benchmarks", "quality")
    assert status == 2
    assert "quality needs --root DIR, the folder of BUSI" in errors
