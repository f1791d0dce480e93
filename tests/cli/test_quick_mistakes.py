"""Mistakes that are said before torch is imported, which takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
sys.modules["torch"] = None  # an import of it fails
from acsnet.cli import main
for command in json.loads(sys.argv[1]):
    print(main(command), file=sys.stderr)
"""
MISTAKES = {
    "train": (["train", "unet_bus"], "unknown configuration 'unet_bus': did you mean 'unet_busi'"),
    "a key": (
        ["train", "unet_busi", "--set", "training.epoch=2"],
        "training.epoch",
    ),
    "crossval": (["crossval", "acsnet_bus", "--work-dir", "a"], "unknown configuration 'acsnet_bus': did you mean"),
    "sweep": (
        ["sweep", "unet_busi", "--search", "searches/lamda", "--work-dir", "a"],
        "unknown configuration 'searches/lamda': did you mean 'searches/lambda'",
    ),
    "predict": (["predict", "--checkpoint", "acsnet_busi", "none.png"], "there is no file or folder none.png: name"),
    "benign phantoms": (["phantom", "--out", "p", "--benign", "-3"], "invalid value for '--benign': Input should be"),
    "normal phantoms": (["phantom", "--out", "p", "--normal", "-1"], "invalid value for '--normal': Input should be"),
    "seed": (["phantom", "--out", "p", "--seed", "-1"], "invalid value for '--seed': Input should be greater"),
    "threshold": (["predict", "--checkpoint", "a", "--threshold", "2", "a.png"], "--threshold is 2.0: it has to be"),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    commands = json.dumps([command for command, _ in MISTAKES.values()])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, commands],
        cwd=tmp_path_factory.mktemp("empty"),
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stderr.splitlines()


@pytest.mark.parametrize("name", MISTAKES)
def test_said_without_torch(name: str, lines: list[str]) -> None:
    line, status = lines[2 * list(MISTAKES).index(name) :][:2]
    assert MISTAKES[name][1] in line
    assert status == "2"
