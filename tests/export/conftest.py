"""Checkpoints of tiny networks, to be exported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from acsnet import create_model
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint

SaveTiny = Callable[..., Path]
#: A U-Net of two levels.
TINY = {"width": 4, "depth": 2}


def randomize(network: torch.nn.Module) -> torch.nn.Module:
    """Set running averages and variances of normalizations to random values."""
    generator = torch.Generator().manual_seed(2)
    for key, value in network.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return network


@pytest.fixture
def save_tiny(tmp_path: Path) -> SaveTiny:
    """``save_tiny("unet", width=4)`` writes a checkpoint with random weights: its path."""

    def save(
        name: str = "unet",
        members: int = 1,
        size: tuple[int, int] = (32, 48),
        evaluation: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Path:
        torch.manual_seed(0)
        given = arguments or TINY
        networks = [randomize(create_model(name, **given)) for _ in range(members)]
        weights = networks[0].state_dict()
        if members > 1:
            weights = {
                f"members.{index}.{key}": value
                for index, network in enumerate(networks)
                for key, value in network.state_dict().items()
            }
        metadata = CheckpointMetadata(
            model=name,
            members=members,
            arguments=given,
            class_names=("benign", "malignant", "normal"),
            input_size=size,
            mean=(0.3,),
            std=(0.2,),
            config={"evaluation": {"threshold": 0.4, **(evaluation or {})}},
        )
        path = tmp_path / f"{name}.safetensors"
        save_checkpoint(path, weights, metadata)
        return path

    return save
