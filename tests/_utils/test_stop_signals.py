"""Ctrl-C, SIGTERM and SIGHUP: one line, the right status, files whole or absent."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acsnet._utils.stop_signals import stop_signals
from acsnet.cli import run

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = {
    "app": (),
    "configs": (),
    "calibrate": ("--checkpoint", "x", "--out", "y"),
    "crossval": ("x.yaml", "--work-dir", "y"),
    "curate": ("x", "--out", "y"),
    "download": ("busi",),
    "ensemble": ("x", "--out", "y"),
    "export": ("--checkpoint", "x", "--format", "onnx"),
    "import_weights": ("x", "--out", "y"),
    "models": (),
    "phantom": ("--out", "y"),
    "predict": ("--checkpoint", "x", "y"),
    "report": ("x", "--out", "y"),
    "sweep": ("x.yaml", "--search", "x", "--work-dir", "y"),
    "test": ("--checkpoint", "x"),
    "train": ("x.yaml",),
}
ENDINGS = {
    signal.SIGINT: (130, "interrupted\n"),
    signal.SIGTERM: (143, "terminated\n"),
    signal.SIGHUP: (129, "the terminal was closed\n"),
}
# Tools that ask for the packages of their extra before they import any.
NEEDED = {"app": "gradio"}
CASES = [
    pytest.param(
        tool,
        [*ENDINGS][index % 3],
        marks=pytest.mark.skipif(
            tool in NEEDED and importlib.util.find_spec(NEEDED[tool]) is None, reason="its extra is not installed"
        ),
    )
    for index, tool in enumerate(TOOLS)
]
# A package that takes long to import, in the place of those that do.
SLOW = "import time\nprint('importing', flush=True)\ntime.sleep(60)"
TURNING = f"try:\n    {SLOW.replace(chr(10), '; ')}\nexcept BaseException:\n    raise ImportError('x')"


def start(command: list[str], number: signal.Signals, packages: Path | None = None) -> tuple[int, str]:
    """Run Python, send a signal at its first line of output, and return status and errors."""
    path = os.pathsep.join(map(str, filter(None, (packages, REPOSITORY))))
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=take_signals,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(number)
    return process.wait(60), process.communicate()[1]


def take_signals() -> None:
    """Undo what the tests themselves may have been started with, as by ``nohup``."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)


def fake_packages(folder: Path, code: str) -> Path:
    for name in ("numpy", "torch", "cv2", "pydantic", "yaml"):
        (folder / f"{name}.py").write_text(code)
    return folder


@pytest.mark.parametrize(("tool", "number"), CASES)
def test_a_tool_that_is_still_importing(tool: str, number: signal.Signals, tmp_path: Path) -> None:
    command = [str(REPOSITORY / "tools" / f"{tool}.py"), *TOOLS[tool]]
    assert start(command, number, fake_packages(tmp_path, SLOW)) == ENDINGS[number]


def test_every_tool_is_tested() -> None:
    assert {path.stem for path in (REPOSITORY / "tools").glob("*.py")} == {*TOOLS}


def test_an_import_that_fails_when_it_is_interrupted(tmp_path: Path) -> None:
    command = [str(REPOSITORY / "tools" / "models.py")]
    assert start(command, signal.SIGTERM, fake_packages(tmp_path, TURNING)) == ENDINGS[signal.SIGTERM]


@pytest.mark.parametrize("number", ENDINGS)
def test_files_are_whole_or_absent(number: signal.Signals, tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from acsnet._utils.files import whole_file, write_text
from acsnet.cli import run
def main():
    write_text(Path({str(tmp_path)!r}) / "first.txt", "whole")
    with whole_file(Path({str(tmp_path)!r}) / "second.txt") as temporary:
        temporary.write_text("half")
        print("writing", flush=True)
        time.sleep(60)
sys.exit(run(main))
"""
    assert start(["-c", code], number) == ENDINGS[number]
    assert [path.name for path in tmp_path.iterdir()] == ["first.txt"]
    assert (tmp_path / "first.txt").read_text() == "whole"


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    """As by ``nohup``."""
    code = f"""
import os, signal, sys
signal.signal({int(number)}, signal.SIG_IGN)
from acsnet.cli import run
def main():
    os.kill(os.getpid(), {int(number)})
    print("done")
sys.exit(run(main))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("number", ENDINGS)
def test_a_child_process_ends_as_usual(number: signal.Signals) -> None:
    code = f"""
import os, sys, time
from acsnet.cli import run
def main():
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"1")
        time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, {int(number)})
    print(os.waitpid(child, 0)[1])
sys.exit(run(main))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, preexec_fn=take_signals
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{int(number)}\n", "")


def test_handlers_are_restored(capsys: pytest.CaptureFixture[str]) -> None:
    before = {number: signal.getsignal(number) for number in ENDINGS}
    assert run(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 143
    assert capsys.readouterr().err == "terminated\n"
    assert {number: signal.getsignal(number) for number in ENDINGS} == before


def test_a_thread_leaves_signals_alone() -> None:
    found = []

    def enter() -> None:
        with stop_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
