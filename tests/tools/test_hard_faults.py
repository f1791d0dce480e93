"""Output folders of the tools that cannot be used, and disks that fill up: one line, and the same command goes on."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acsnet._utils.folders import claimed_folder

Invoke = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("test", "predict", "curate", "report")
OUTPUTS = {
    "test": {"metrics.json", "cases.csv"},
    "predict": {"masks", "overlays", "predictions.csv", "lesions.csv"},
    "curate": {"records.csv", "pairs.csv", "curated.csv", "report.html"},
    "report": {"report.html", "comparison.csv", "comparison.md", "comparison.tex"},
}
LAST = {"test": "metrics.json", "predict": "predictions.csv", "curate": "report.html", "report": "report.html"}


@pytest.fixture(scope="session")
def tested(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a test of the trained run. Read-only."""
    from acsnet.checkpoints import open_checkpoint
    from acsnet.evaluation import resolve_test_config, run_test

    folder = tmp_path_factory.mktemp("tested")
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    result, provenance = run_test(checkpoint, resolve_test_config(checkpoint, None, []), progress=False)
    result.write(folder, provenance)
    return folder


@pytest.fixture
def command(trained_run: Path, tested: Path, phantom_root: Path) -> Callable[[str, Path], list[object]]:
    """``command(tool, out)``: a command line that writes into a folder."""

    def build(tool: str, out: Path) -> list[object]:
        checkpoint = ["--checkpoint", trained_run / "best.safetensors"]
        arguments: dict[str, list[object]] = {
            "test": checkpoint,
            "predict": [*checkpoint, phantom_root / "normal" / "normal (1).png"],
            "curate": [phantom_root],
            "report": [f"mine={tested}"],
        }
        return [tool, *arguments[tool], "--out", out]

    return build


def assert_line(result: tuple[int, str, str], pattern: str) -> None:
    status, _, errors = result
    line = errors.strip().splitlines()[-1]
    assert status == 2, errors
    assert re.search(pattern, line), errors
    assert line.startswith("error: ")
    assert "Traceback" not in errors


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a tool begins with what takes long."""

    def work(*_: Any, **__: Any) -> None:
        pytest.fail("the folder was not checked first")

    for name in (
        "acsnet.evaluation.run_test",
        "acsnet.inference.predict_files",
        "acsnet.curation.curate",
        "acsnet.report.write_report",
    ):
        monkeypatch.setattr(name, work)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("tool", TOOLS)
def test_folders_that_cannot_be_used_are_found_first(
    tool: str, command: Callable[..., list[object]], invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    assert_line(invoke(*command(tool, tmp_path / "file")), r"file( is a file: name a folder| could not be written)")
    assert_line(invoke(*command(tool, tmp_path / "file" / "out")), r"file/out could not be written \(Not a directory\)")
    assert_line(invoke(*command(tool, tmp_path / "link")), r"link is a link to nowhere, which does not exist: create")
    with claimed_folder(tmp_path / "used", "testing into", "--out"):
        assert_line(invoke(*command(tool, tmp_path / "used")), r"another process is \w.*into .*/used: wait until it en")

    def mkdir(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    pattern = r"new could not be written \(Read-only file system\): choose a folder on a file system that is not read-"
    assert_line(invoke(*command(tool, tmp_path / "new")), pattern)
    monkeypatch.undo()
    assert (tmp_path / "file").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("tool", TOOLS)
def test_the_same_command_goes_on_after_a_failure(
    tool: str,
    number: int,
    command: Callable[..., list[object]],
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = os.replace

    def fill(source: Path, target: Path) -> None:
        if Path(target).name == LAST[tool]:
            raise OSError(number, os.strerror(number))
        place(source, target)

    out = tmp_path / "out"
    monkeypatch.setattr(os, "replace", fill)
    result = invoke(*command(tool, out))
    assert_line(result, rf"{out}/{LAST[tool]} could not be written")
    if tool in ("test", "curate"):
        assert result[1], "the results are printed all the same"
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.name in OUTPUTS[tool] and path.is_file()], "all or none"
    if tool == "predict":
        assert "normal (1).png" in (out / "predictions.unfinished.csv").read_text(), "finished images are kept"
    status, _, errors = invoke(*command(tool, out))
    assert status == 0, errors
    assert {path.name for path in out.iterdir()} == OUTPUTS[tool]


@pytest.mark.parametrize(
    ("tool", "work"),
    [
        ("test", "acsnet.evaluation.run_test"),
        ("predict", "acsnet.inference.predict_files"),
        ("curate", "acsnet.curation.curate"),
        ("report", "acsnet.report.write_report"),
    ],
)
def test_an_interruption_leaves_nothing(
    tool: str,
    work: str,
    command: Callable[..., list[object]],
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, interrupt)
    status, _, errors = invoke(*command(tool, tmp_path / "out"))
    assert status == 130
    assert errors.strip().splitlines()[-1] == "interrupted"
    assert not (tmp_path / "out").exists()


def test_curation_goes_on_after_a_kill_between_its_files(
    command: Callable[..., list[object]], invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "records.csv").write_text("of the killed process")
    assert_line(invoke(*command("curate", tmp_path)), r"already holds records\.csv: name another folder, or remove th")
    left = tmp_path / f".unfinished.{2**22 + 1}.tmp"
    left.mkdir()
    (left / "report.html").write_text("of the killed process")
    os.utime(left, (0, 0))
    status, _, errors = invoke(*command("curate", tmp_path))
    assert status == 0, errors
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS["curate"]
    assert (tmp_path / "records.csv").read_text() != "of the killed process"


@pytest.mark.parametrize("name", ["metrics.json", "cases.csv"])
def test_a_folder_in_the_place_of_a_result(
    name: str, command: Callable[..., list[object]], invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    result = invoke(*command("test", tmp_path))
    assert_line(result, r"could not be written \(Is a directory\): choose another name, since a folder has it")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_file_that_grows_too_large(command: Callable[..., list[object]], tmp_path: Path) -> None:
    """A real limit of the operating system, in a process of its own."""
    import resource

    tool, *arguments = command("predict", tmp_path / "out")
    result = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / f"{tool}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400)),
    )
    assert_line((result.returncode, result.stdout, result.stderr), r"could not be written \(File too large\): raise th")
