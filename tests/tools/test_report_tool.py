"""``tools/report.py`` on the command line."""

from collections.abc import Callable
from pathlib import Path

Invoke = Callable[..., tuple[int, str, str]]


def test_a_report_of_a_run(invoke: Invoke, trained_run: Path, tmp_path: Path) -> None:
    status, _, errors = invoke("test", "--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "test")
    assert status == 0, errors
    status, output, errors = invoke(
        "report", f"mine={tmp_path / 'test'}", "nowhere", "--out", tmp_path / "report", "--title", "My title"
    )
    assert status == 0, errors
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.html",
        "comparison.csv",
        "comparison.md",
        "comparison.tex",
    }
    assert "missing: there is no folder nowhere" in output
    assert f"1 network; look at {tmp_path / 'report'}/report.html" in output
    assert "My title" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_no_run_that_can_be_used_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    status, _, errors = invoke("report", "nowhere", "--out", tmp_path / "report")
    assert status == 2
    assert errors.startswith("error: no run can be used: there is no folder nowhere")
    assert not (tmp_path / "report").exists()


def test_help_says_what_a_run_is(invoke: Invoke) -> None:
    status, output, _ = invoke("report", "--help")
    assert status == 0
    assert "folders with the same name are folds of one network" in " ".join(output.split())
