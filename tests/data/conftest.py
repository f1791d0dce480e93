"""Small sets of noise in BUSI's layout, and records that need no files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeSet = Callable[..., Path]


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    """``make_set(benign=3, normal=2)`` writes distinct images of noise, 20x24 (height x width), and gives their root.

    Each lesion mask is one rectangle, each normal mask empty.
    """

    def make(name: str = "set", first_id: int = 1, **counts: int) -> Path:
        root = tmp_path / name
        for number, (label, count) in enumerate(counts.items()):
            (root / label).mkdir(parents=True)
            for index in range(first_id, first_id + count):
                pixels = np.random.default_rng([number, index]).integers(0, 256, (20, 24), dtype=np.uint8)
                mask = np.zeros((20, 24), np.uint8)
                if label != "normal":
                    mask[4 : 8 + index % 8, 6:15] = 255
                Image.fromarray(pixels).save(root / label / f"{label} ({index}).png")
                Image.fromarray(mask).save(root / label / f"{label} ({index})_mask.png")
        return root

    return make
