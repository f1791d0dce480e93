"""Commands around the training step: a short training and a cross-validation, each in new processes."""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from acsnet.errors import RunError
from acsnet.phantom import write_phantoms
from benchmarks.measure import Measurement, measure

_FOLDS = 4
_CONFIG = f"""\
model: {{name: unet, arguments: {{width: 8}}}}
data:
  root: phantoms
  image_size: [64, 64]
  folds: {{count: {_FOLDS}, validation: 0.3}}
training: {{epochs: 2, batch_size: 8}}
"""


def benchmark_around(rounds: int, images: int = 60) -> list[Measurement]:
    """Measure ``acsnet train`` and ``acsnet crossval`` on small phantoms, where the steps take little of the time.

    A training starts with an empty cache, or with the images in the cache. A cross-validation has one worker with all
    cores, or two with half of them each.

    Args:
        rounds: the number of timings of each contender.
        images: the number of phantoms, at least 60: fewer are too few for the folds.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = {"benign": images // 2, "malignant": images // 3, "normal": images // 6}
        write_phantoms(folder / "phantoms", counts, 0, (128, 128), progress=False)
        (folder / "tiny.yaml").write_text(_CONFIG, encoding="utf-8")
        numbers = itertools.count()

        def run(command: str, workers: int = 1, cache: str | None = None) -> None:
            number = next(numbers)
            arguments = ["-m", "acsnet", command, "tiny.yaml", "--work-dir", f"run{number}"]
            _run([arguments] * workers, folder, cache or f"cache{number}")

        starting = {
            "importing acsnet.training": lambda: _run([["-c", "import acsnet.training"]], folder, "cache"),
            "images in the cache": lambda: run("train", cache="cache"),
            "empty cache": lambda: run("train"),
        }
        crossing = {
            "one worker": lambda: run("crossval", cache="cache"),
            "two workers": lambda: run("crossval", workers=2, cache="cache"),
        }
        return [
            *measure("around", f"acsnet train, 2 epochs of {images} phantoms", starting, rounds),
            *measure("around", f"acsnet crossval, {_FOLDS} folds of the same", crossing, rounds),
        ]


def _run(commands: Sequence[Sequence[str]], folder: Path, cache: str) -> None:
    """Run Python with each of several lists of arguments at the same time, in a folder and with a cache in it."""
    threads = max(1, (os.cpu_count() or 1) // len(commands))
    environment = os.environ | {"ACSNET_CACHE": str(folder / cache), "OMP_NUM_THREADS": str(threads)}
    # The package may be that of a clone, which is found from its root only.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH"))))
    running = [
        subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        for arguments in commands
    ]
    failed = [arguments for arguments, process in zip(commands, running, strict=True) if process.wait()]
    if failed:
        raise RunError(f"python {' '.join(failed[0])} failed, so that nothing is timed: its error is above")
