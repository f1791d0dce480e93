"""The networks that the page offers."""

import re
from pathlib import Path

import pytest

from acsnet.app import Networks
from acsnet.app.networks import MOST_PROBABLE
from acsnet.checkpoints import files, list_checkpoints, released_on_disk
from acsnet.errors import CheckpointError, UnknownNameError


def test_released_networks_on_this_machine() -> None:
    networks = Networks(device="cpu")
    assert networks.names == tuple(released_on_disk()) == tuple(list_checkpoints())
    network = networks.load("acsnet_busi")
    assert network is networks.load("acsnet_busi")
    assert network.choices == (MOST_PROBABLE, "specificity_90", "sensitivity_95")
    assert networks.load("unet_lite0_busi").choices == (MOST_PROBABLE,)
    assert network.default_choice == MOST_PROBABLE
    assert network.threshold(MOST_PROBABLE) == network.predictor.evaluation.threshold


def test_a_checkpoint_is_first_and_does_not_show_its_place(tiny_checkpoint: Path) -> None:
    networks = Networks(str(tiny_checkpoint), "cpu")
    assert networks.names == ("tiny/best.safetensors", *released_on_disk())
    assert networks.load(networks.names[0]).choices == (MOST_PROBABLE, "sensitivity_90", "specificity_90")


def test_a_released_name_is_offered_once() -> None:
    others = [name for name in list_checkpoints() if name != "acsnet_busi"]
    assert Networks("acsnet_busi", "cpu").names == ("acsnet_busi", *others)


def test_networks_that_would_be_downloaded_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "_path_next_to_index", lambda entry: tmp_path / entry.file)
    monkeypatch.setenv("ACSNET_CACHE", str(tmp_path))
    assert released_on_disk() == []
    with pytest.raises(CheckpointError, match="no released network is on this machine: name a file by --checkpoint"):
        Networks()


@pytest.mark.parametrize("name", ["acsnet_bus", "unet_lite0"])
def test_a_mistake_is_found_before_the_page_is_served(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown released checkpoint '{re.escape(name)}'"):
        Networks(name)


def test_only_offered_networks_are_loaded(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Networks(device="cpu").load(str(tmp_path / "other.safetensors"))
