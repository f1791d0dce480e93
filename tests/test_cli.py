import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acsnet.cli import run
from acsnet.errors import AcsnetError, ConfigError

PACKAGE = Path(__file__).resolve().parents[1] / "acsnet"


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Restore the level of the package's logger, which ``run`` sets."""
    logger = logging.getLogger("acsnet")
    level = logger.level
    yield
    logger.setLevel(level)


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
        (errno.EIO, "(Input/output error): choose another folder"),
    ],
)
def test_an_error_of_the_system_is_one_line_and_2(number: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(OSError(number, os.strerror(number), "out/a.csv"))) == 2
    assert capsys.readouterr().err == f"error: out/a.csv could not be written {text}\n"


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
import logging, sys, types
package = types.ModuleType("acsnet")  # without the rest of the package, whose import takes seconds
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["acsnet"] = package
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


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe_is_not_an_error(lines: int) -> None:
    """As in ``tool | head -0``: the pipe breaks while printing, or only when the output is flushed."""
    code = f"""
import sys, types
package = types.ModuleType("acsnet")  # without the rest of the package, whose import takes seconds
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["acsnet"] = package
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
