from pathlib import Path
from typing import Any

import pytest

from acsnet.config import Config, build_config


@pytest.fixture(scope="session")
def small(phantom_root: Path) -> dict[str, Any]:
    """A configuration, as plain values, whose folds train in about a second."""
    return {
        "model": {"name": "unetpp", "in_channels": 1, "arguments": {"width": 4, "depth": 2}},
        "data": {"root": str(phantom_root), "image_size": [32, 32], "folds": {"count": 2, "validation": 0.34}},
        "optimizer": {"learning_rate": 1e-2},
        "training": {"epochs": 2, "batch_size": 4},
    }


@pytest.fixture(scope="session")
def configs(small: dict[str, Any]) -> dict[str, Config]:
    """Two configurations that share their trainings, and one that does not."""
    refining = ["evaluation.refining={empty_mask_for_normal: true, normal_for_empty_mask: true}"]
    alone = ["model.tasks=[segmentation]", "training.selection={dice: 1}"]
    return {
        "plain": build_config(small, [], "plain"),
        "refined": build_config(small, refining, "refined"),
        "alone": build_config(small, alone, "alone"),
    }
