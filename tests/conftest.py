"""What every test shares: small images, a phantom set, the real images where they are."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

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
