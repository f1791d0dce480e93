"""``tools/report.py`` on the command line."""

from collections.abc import Callable
from pathlib import Path

Invoke = Callable[..., tuple[int, str, str]]


def test_a_report_of_a_run(invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    given = ("--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "test", "--save-predictions")
    status, _, errors = invoke("test", *given)
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
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "My title" in page
    # As for a released name, there is no configuration next to the results.
    assert "their pictures are missing; --set data.root=FOLDER " in output
    assert "data:image/jpeg" not in page
    given = ("report", tmp_path / "test", "--set", f"data.root={phantom_root}", "--out", tmp_path / "pictures")
    status, output, errors = invoke(*given)
    assert status == 0, errors
    assert "missing" not in output
    assert "data:image/jpeg" in (tmp_path / "pictures" / "report.html").read_text(encoding="utf-8")
    status, _, errors = invoke(*given[:2], "--set", "data.root=nowhere", "--out", tmp_path / "none")
    assert (status, errors) == (2, "error: --set data.root=nowhere: nowhere does not exist\n")
    assert not (tmp_path / "none").exists()


def test_no_run_that_can_be_used_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    status, _, errors = invoke("report", "nowhere", "--out", tmp_path / "report")
    assert status == 2
    assert errors.startswith("error: no run can be used: there is no folder nowhere")
    assert not (tmp_path / "report").exists()


def test_runs_selected_on_the_test_subset_need_an_option(invoke: Invoke, write_run: Callable, tmp_path: Path) -> None:
    runs = [
        f"theirs={write_run('theirs', selection='selected on the test subset')}",
        f"ours={write_run('ours', seed=1)}",
    ]
    status, _, errors = invoke("report", *runs, "--out", tmp_path / "report")
    assert status == 2
    assert errors == (
        "error: theirs: selected on the test subset, which makes metrics too good to compare with those of ours: "
        "compare them separately, or pass --allow-selected-on-test (allow_selected_on_test=True)\n"
    )
    assert not (tmp_path / "report").exists()
    status, _, errors = invoke("report", *runs, "--allow-selected-on-test", "--out", tmp_path / "report")
    assert status == 0, errors
    markdown = (tmp_path / "report" / "comparison.md").read_text(encoding="utf-8")
    assert ", selected on the test subset | " in markdown


def test_help_says_what_a_run_is(invoke: Invoke) -> None:
    status, output, _ = invoke("report", "--help")
    assert status == 0
    assert "folders with the same name are folds of one network" in " ".join(output.split())
