"""Setup of the examples in docstrings, which ``pytest --doctest-modules acsnet`` runs."""

import importlib.util
import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

# Modules that import an optional dependency at the top.
_OPTIONAL = {
    "triton": ["acsnet/ops/backends/_triton_kernels.py"],
    "torchmetrics": ["acsnet/metrics/for_torchmetrics.py"],
}
collect_ignore_glob = [
    path for package, paths in _OPTIONAL.items() if importlib.util.find_spec(package) is None for path in paths
]


@pytest.fixture(autouse=True)
def _example_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run each example in an empty folder, with an empty cache of decoded images."""
    if isinstance(request.node, pytest.DoctestItem):
        folder: Path = tmp_path_factory.mktemp("example")
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.chdir(folder)
        monkeypatch.setenv("ACSNET_CACHE", str(folder / "cache"))
