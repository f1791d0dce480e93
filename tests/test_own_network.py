"""The example of a network and a loss in one file (docs/examples/my_network.py), from training to report."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import acsnet
from acsnet._utils.plugins import import_plugins
from acsnet.checkpoints import open_checkpoint, read_metadata
from acsnet.config import build_config
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models import _registry

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


@pytest.mark.usefixtures("my_network_folder")
def test_importing_the_file_registers_both() -> None:
    with pytest.raises(UnknownNameError, match="unknown network 'small_unet'"):
        acsnet.create_model("small_unet")
    import_plugins(["my_network"])
    network = acsnet.create_model("small_unet", num_classes=2, in_channels=1, width=4)
    mask, label, _ = network(torch.zeros(2, 1, 8, 12))
    assert (mask.shape, label.shape) == ((2, 1, 8, 12), (2, 2))
    for task, empty in (("segmentation", "label"), ("classification", "mask")):
        assert getattr(acsnet.create_model("small_unet", tasks=[task])(torch.zeros(1, 3, 4, 4)), empty) is None
    with pytest.raises(UnknownNameError, match="unknown argument of small_unet 'widht': did you mean 'width'"):
        acsnet.create_model("small_unet", widht=4)
    assert _registry.plugins_of("small_unet", {}) == ("my_network",)
    assert _registry.plugins_of("two_networks", {"network": "small_unet"}) == ("my_network",), "which contains it"
    assert _registry.plugins_of("two_networks", {}) == ()


@pytest.mark.usefixtures("my_network_folder")
def test_the_loss_by_hand() -> None:
    """Two pixels, one found and one missed with probability 1/2 each: (1/2 + 1) / (1/2 + 0.7 / 2 + 0.3 / 2 + 1)."""
    import_plugins(["my_network"])
    loss = acsnet.losses.build_loss("segmentation", [("tversky", 1.0, {})])
    mask = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    assert loss(torch.zeros(1, 1, 1, 2), mask).item() == pytest.approx(1 - 1.5 / 2.0)
    with pytest.raises(InputError, match=r"segmentation loss 'tversky': .*gamma.*; its arguments are: alpha, beta"):
        acsnet.losses.build_loss("segmentation", [("tversky", 1.0, {"gamma": 1})])
    with pytest.raises(UnknownNameError, match="unknown segmentation loss 'tverski': did you mean 'tversky'"):
        acsnet.losses.build_loss("segmentation", [("tverski", 1.0, {})])


class PerImage(torch.nn.Module):
    def forward(self, logits: torch.Tensor, mask: torch.Tensor) -> Any:
        return (logits - mask).mean(dim=(1, 2, 3))


class Nothing(torch.nn.Module):
    def forward(self, logits: torch.Tensor, mask: torch.Tensor) -> Any:
        return None


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (PerImage(), r"a tensor of shape \(4,\)"),
        (Nothing(), "NoneType"),
        (torch.nn.L1Loss(reduction="none"), r"a tensor of shape \(4, 1, 2, 2\)"),
    ],
)
def test_a_loss_that_does_not_return_a_scalar(loss: torch.nn.Module, found: str) -> None:
    logits = torch.zeros(4, 1, 2, 2)
    with pytest.raises(
        InputError, match=f"^the loss {type(loss).__name__} returned {found}: expected a scalar tensor, as"
    ):
        acsnet.losses.WeightedSum([loss], [1.0])(logits, logits)


@pytest.mark.slow
@pytest.mark.usefixtures("my_network_folder")
def test_trained_tested_predicted_exported_and_reported(phantom_root: Path, tmp_path: Path) -> None:
    from acsnet.evaluation import resolve_test_config, run_test
    from acsnet.export import export_checkpoint
    from acsnet.inference import Predictor, predict_files
    from acsnet.report import read_networks, write_report
    from acsnet.training import Trainer

    import_plugins(["my_network"])
    config = build_config(
        {
            "model": {"name": "small_unet", "arguments": {"width": 4}},
            "data": {"root": str(phantom_root), "image_size": [32, 32], "folds": {"count": 4, "validation": 0.34}},
            "loss": {"segmentation": [{"name": "tversky", "arguments": {"alpha": 0.4}}]},
            "training": {"epochs": 1, "batch_size": 8},
        },
        [],
        "example",
    )
    best = Trainer.from_config(config, tmp_path / "run", progress=False).fit()
    assert read_metadata(best).plugins == ("my_network",)
    checkpoint = open_checkpoint(best)
    result, provenance = run_test(checkpoint, resolve_test_config(checkpoint, None, []), progress=False)
    result.write(tmp_path / "run" / "test", provenance)
    table = predict_files(Predictor.from_checkpoint(best), [phantom_root / "benign"], tmp_path / "out", explain=True)
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 14
    assert export_checkpoint(best, "torch").path.is_file()
    networks, problems = read_networks([str(tmp_path / "run")])
    assert not problems
    write_report(tmp_path / "report", networks)
    assert "small_unet" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")

    # Without the file, as on the machine of somebody else.
    _registry._ENTRIES.pop("small_unet")
    sys.modules.pop("my_network")
    with pytest.raises(CheckpointError, match=r"registered by the plugin my_network: pass --import my_network if"):
        acsnet.load_model(best)
