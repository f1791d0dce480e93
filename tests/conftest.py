"""What every test shares: small images, a phantom set, the real images where they are."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Tiny networks are fastest on one thread, and one worker a core (pytest -n) shares the machine better than threads do.
os.environ["OMP_NUM_THREADS"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests out of the user's cache of decoded images."""
    monkeypatch.setenv("ACSNET_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom set in BUSI's layout: 14 benign, 12 malignant, 10 normal images of 64x64. Read-only."""
    from acsnet.data import write_phantoms

    root = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(root, {"benign": 14, "malignant": 12, "normal": 10}, size=(64, 64), vary_size=False, progress=False)
    return root


@pytest.fixture(scope="session")
def busi_root() -> Path:
    """The real images, from ACSNET_BUSI or ../shared/data; the test is skipped where neither is there."""
    root = Path(os.environ.get("ACSNET_BUSI") or REPOSITORY.parent / "shared" / "data" / "Dataset_BUSI_with_GT")
    if not root.is_dir():
        pytest.skip(f"the real BUSI images are not here: set ACSNET_BUSI (looked in {root})")
    return root


TINY_NETWORK = {"encoder": "mobilenetv3_small_050", "widths": [16, 16, 16, 16, 16]}


@pytest.fixture(scope="session")
def tiny_settings(phantom_root: Path) -> dict[str, Any]:
    """A configuration, as plain values, that trains on the phantoms in about a second an epoch."""
    return {
        "model": {"name": "acsnet", "arguments": TINY_NETWORK},
        "data": {"root": str(phantom_root), "image_size": [64, 64], "folds": {"count": 4, "validation": 0.34}},
        "augmentation": [{"name": "HorizontalFlip", "p": 0.5}],
        "optimizer": {"learning_rate": 1e-3},
        "training": {"epochs": 2, "batch_size": 4, "panel_every": 1},
    }


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any]) -> Path:
    """The same as a YAML file."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_settings), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, tiny_config: Path) -> Path:
    """The run folder of a tiny training of two epochs. Read-only."""
    from acsnet.config import load_config
    from acsnet.training import Trainer

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    Trainer(load_config(tiny_config), folder, progress=False).fit()
    return folder


Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a tool in this process: ``invoke("train", "configs/x.yaml")`` gives exit status, output and errors."""

    def call(tool: str, *arguments: object) -> tuple[int, str, str]:
        from acsnet.cli import run

        path = REPOSITORY / "tools" / f"{tool}.py"
        specification = importlib.util.spec_from_file_location(f"tool_{tool}", path)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        capsys.readouterr()
        try:
            status = run(module.main)
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        output = capsys.readouterr()
        return status, output.out, output.err

    return call
