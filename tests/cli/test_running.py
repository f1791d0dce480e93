import errno
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acsnet.cli import main, run, show
from acsnet.errors import AcsnetError, ConfigError


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Restore the level of the package's logger, which ``run`` sets."""
    logger = logging.getLogger("acsnet")
    level = logger.level
    yield
    logger.setLevel(level)


REPOSITORY = Path(__file__).resolve().parents[2]
# Only this file writes to the streams itself.
COMMAND_FILES = [path for path in sorted((REPOSITORY / "acsnet" / "cli").glob("*.py")) if path.name != "running.py"]


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_success_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: print("done")) == 0
    assert capsys.readouterr() == ("done\n", "")


@pytest.mark.parametrize("error", [AcsnetError("what, where, what to do"), ConfigError("what, where, what to do")])
def test_a_user_error_is_one_line_and_2(error: AcsnetError, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(error)) == 2
    assert capsys.readouterr() == ("", "error: what, where, what to do\n")


@pytest.mark.parametrize(("filename", "named"), [("out/masks.png", "out/masks.png"), (None, "a file")])
def test_a_full_disk_is_one_line_and_2(filename: str | None, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(OSError(errno.ENOSPC, "No space left on device", filename))) == 2
    text = f"error: {named} could not be written: the disk is full; free some space and run the command again\n"
    assert capsys.readouterr().err == text


def test_an_interruption_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "(Permission denied): choose another folder, or change its permissions"),
        (errno.EROFS, "(Read-only file system): choose a folder on a file system that is not read-only"),
        (errno.ENOTDIR, "(Not a directory): choose another folder, since a file is in the place of one"),
        (errno.EMFILE, "(Too many open files): raise the limit of open files (ulimit -n), or lower data.workers"),
        (errno.EIO, "(Input/output error): check the disk and the connection to it, or choose another folder"),
    ],
)
def test_an_error_of_the_system_is_one_line_and_2(number: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(OSError(number, os.strerror(number), "out/a.csv"))) == 2
    assert capsys.readouterr().err == f"error: out/a.csv cannot be used {text}\n"


@pytest.mark.parametrize("error", [OSError("a defect"), ZeroDivisionError("a defect")])
def test_defects_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="a defect"):
        run(raising(error))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "statement", ["print(name)", "raise AcsnetError(name)", "logging.getLogger('acsnet').info(name)"]
)
def test_a_console_that_cannot_show_a_name(encoding: str, statement: str) -> None:
    code = f"""
import logging
from acsnet.cli import run
from acsnet.errors import AcsnetError

def main():
    name = "results_\u03b2/l\\udce4sion.png"
    {statement}

run(main)
"""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    output = result.stdout + result.stderr
    assert b"results_\\u03b2/l\\udce4sion.png" in output
    assert b"Traceback" not in output
    assert b"Logging error" not in output


def test_the_package_logs_at_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: None) == 0
    assert logging.getLogger("acsnet.training").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(("handler", "times"), [(None, 1), ("null", 1), ("own", 0), ("own of a parent", 0)])
def test_a_message_that_a_library_shows_itself_is_not_shown_twice(
    handler: str | None, times: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """huggingface_hub has a handler of its own, and gives its messages to the root, too."""
    library = logging.getLogger("some_library")
    own = logging.NullHandler() if handler == "null" else logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(library, "handlers", [] if handler is None else [own])
    monkeypatch.setattr(logging.root, "handlers", [])
    logger = logging.getLogger("some_library.http") if handler == "own of a parent" else library
    assert run(lambda: logger.warning("Retrying in 1s")) == 0
    assert capsys.readouterr().err.count("Retrying in 1s") == times


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe_is_not_an_error(lines: int) -> None:
    """As in ``tool | head -0``: the pipe breaks while printing, or only when the output is flushed."""
    code = f"""
import sys
from acsnet.cli import run
def main():
    sys.stdin.read()  # until the reader of the output has exited
    for _ in range({lines}):
        print("a line")
sys.exit(run(main))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # set, it would break the pipe at the first line
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()
        process.stdin.close()
        errors = process.stderr.read()
    assert errors == ""
    assert process.returncode == 0


def python(code: str, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """Run code after imports of ``run`` and ``show``."""
    header = "import os, sys\nfrom acsnet.cli import run, show\nfrom acsnet.errors import AcsnetError\n"
    command = [sys.executable, "-c", header + code]
    # Set, it would write each line at once.
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    settings = {"stderr": subprocess.PIPE, "env": environment, **settings}
    return subprocess.run(command, check=False, text=True, **settings)


def test_a_closed_output_is_not_an_error() -> None:
    result = python("sys.exit(run(lambda: show('done')))", preexec_fn=lambda: os.close(1))
    assert (result.returncode, result.stderr) == (0, "")


def test_closed_errors_are_not_an_error() -> None:
    code = "def main():\n    show('done')\n    raise AcsnetError('what')\nsys.exit(run(main))"
    result = python(code, preexec_fn=lambda: os.close(2), stdout=subprocess.PIPE, stderr=None)
    assert (result.returncode, result.stdout) == (2, "done\n")


@pytest.mark.parametrize("then", ["", "\n    raise AcsnetError('what')"])
def test_an_output_on_a_full_disk(then: str) -> None:
    with open("/dev/full", "w") as full:
        result = python(f"def main():\n    show('done'){then}\nsys.exit(run(main))", stdout=full)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: what" if then else "error: a file could not be written: the disk is full")


def test_an_error_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = python("def main():\n    raise AcsnetError('what')\nsys.exit(run(main))", stdout=writer, stderr=writer)
    os.close(writer)
    assert result.returncode == 2


@pytest.mark.parametrize("locale", ["C", "POSIX", "nonsense"])
def test_a_locale_without_letters(locale: str) -> None:
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = python(r"run(lambda: show('\u03b2 \u2013 \udce4'))", env=environment, stdout=subprocess.PIPE)
    assert result.stderr == ""
    assert result.stdout.strip() in ("\\u03b2 \\u2013 \\udce4", "\u03b2 \u2013 \\udce4")


NAMES = {
    "a\x1b[31mb": r"a\x1b[31mb",
    "a\x9b2Jb": r"a\x9b2Jb",
    "a\u202egnp.exe": r"a\u202egnp.exe",
    "a\u2066b\u2069": r"a\u2066b\u2069",
    "a\tb\rc\x08": r"a\tb\rc\x08",
    "a\u2028b\x85c": r"a\u2028b\x85c",
    "caf\udce9.png": r"caf\udce9.png",
    "a\x07\x00\x7f": r"a\x07\x00\x7f",
    "Größe β 図　1.png": "Größe β 図　1.png",
}


@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=range(len(NAMES)))
def test_a_name_does_not_act_on_the_terminal(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: show(f"{name}\n2 lines")) == 0
    assert capsys.readouterr() == (f"{shown}\n2 lines\n", "")
    assert run(raising(AcsnetError(f"{name}, what to do"))) == 2
    assert capsys.readouterr().err == f"error: {shown}, what to do\n"
    assert run(raising(OSError(errno.EACCES, "Permission denied", name))) == 2
    assert capsys.readouterr().err.startswith(f"error: {shown} cannot be used (Permission denied)")
    assert main(["phantom", "--out", "x", name]) == 2
    line = f"error: got unexpected extra argument ({shown}); see acsnet phantom --help\n"
    errors = capsys.readouterr().err
    # Versions of typer differ here.
    for theirs, ours in (("argument(s)", "argument"), (r"\x09", r"\t"), (r"\x0d", r"\r")):
        errors = errors.replace(theirs, ours)
    assert errors == line


@pytest.mark.parametrize(
    "statement", ["show(name)", "raise AcsnetError(name)", "logging.getLogger('acsnet').info(name)"]
)
def test_names_in_every_line_of_a_tool(statement: str) -> None:
    code = f"import logging\ndef main():\n    name = 'a\\x1b]0;b\\x07\\u202ec'\n    {statement}\nrun(main)"
    result = python(code, stdout=subprocess.PIPE)
    assert (result.stdout + result.stderr).removeprefix("error: ") == "a\\x1b]0;b\\x07\\u202ec\n"


def test_a_line_break_in_a_name_starts_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(AcsnetError("2 problems:\n  a\nerror: b\n  c\r\nd"))) == 2
    assert capsys.readouterr().err == "error: 2 problems:\n  a\\nerror: b\n  c\\r\\nd\n"


@pytest.mark.parametrize("path", COMMAND_FILES, ids=lambda path: path.stem)
def test_commands_print_by_show(path: Path) -> None:
    """Other functions would show names as they are."""
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"\bprint\(|\becho\(|ArgumentParser\(|sys\.std|warnings\.|logging\.", text)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("predict", ["--checkpoint", "acsnet_busi", "", "--out", "x"]),
        ("predict", ["--checkpoint", "acsnet_busi", "x", "--out", ""]),
        ("train", ["x.yaml", "--work-dir", ""]),
        ("curate", ["", "--out", "x"]),
    ],
)
def test_an_empty_path_is_not_the_current_folder(tool: str, arguments: list[str], invoke: Any) -> None:
    status, _, errors = invoke(tool, *arguments)
    assert status == 2
    assert "the path is empty: is a variable of the shell not set?" in errors
