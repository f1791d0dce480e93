"""A folder of released checkpoints for tests."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from acsnet import create_model
from acsnet._utils.files import write_json
from acsnet.checkpoints import CheckpointMetadata, index, save_checkpoint


def entry_of(path: Path, **changes: Any) -> dict[str, Any]:
    """An entry of the index for a file."""
    content = path.read_bytes()
    return {
        "file": path.name,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "model": "unet",
        "arguments": {"width": 4},
        "parameters": 1000,
        "classes": ["benign", "malignant", "normal"],
        "input": {"height": 32, "width": 32, "channels": 1},
        "recipe": {"config": "configs/unet_busi.yaml", "overrides": []},
        "data": {"names": ["phantoms"], "n": 3, "hash": "ab"},
        "split_hash": "cd",
        "intended_use": "tests",
        "limits": [],
        "code_version": "0",
        "license": "none",
        **changes,
    }


WriteIndex = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the index, instead of the repository's."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(index, "_PLACES", (folder,))
    monkeypatch.setenv("ACSNET_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def released(folder: Path) -> Path:
    """The file of ``unet_tiny``, the only checkpoint of the index."""
    torch.manual_seed(0)
    arguments = {"in_channels": 1, "width": 4, "depth": 2}
    network = create_model("unet", **arguments)
    metadata = CheckpointMetadata(
        model="unet", arguments=arguments, class_names=("benign", "malignant", "normal"), input_size=(32, 32),
        mean=(0.3,), std=(0.2,),
    )  # fmt: skip
    path = folder / "unet_tiny.safetensors"
    save_checkpoint(path, network.state_dict(), metadata)
    write_json(folder / "index.json", {"format": 1, "address": "", "checkpoints": {"unet_tiny": entry_of(path)}})
    return path


@pytest.fixture
def trained(folder: Path, trained_run: Path) -> Path:
    """A trained network, released as ``tiny``."""
    path = folder / "tiny.safetensors"
    shutil.copy(trained_run / "best.safetensors", path)
    write_json(folder / "index.json", {"format": 1, "address": "", "checkpoints": {"tiny": entry_of(path)}})
    return path
