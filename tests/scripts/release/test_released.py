"""What this repository releases, on the real images."""

from pathlib import Path

import pytest

from acsnet.checkpoints import list_checkpoints
from scripts.release import reproduce_results

FOLDER = Path(__file__).resolve().parents[3] / "checkpoints"
# The others take longer.
FASTEST = "mt_nnunet_busi"


@pytest.mark.parametrize(
    "name", [name if name == FASTEST else pytest.param(name, marks=pytest.mark.slow) for name in list_checkpoints()]
)
def test_its_metrics_are_reproduced(name: str, busi_root: Path) -> None:
    assert reproduce_results([name], [f"data.root={busi_root}"], FOLDER, progress=False) == []
