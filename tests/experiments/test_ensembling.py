from pathlib import Path
from typing import Any

import pytest
import torch

from acsnet import create_model, load_model
from acsnet.checkpoints import CheckpointMetadata, read_metadata, save_checkpoint
from acsnet.errors import InputError
from acsnet.experiments import save_ensemble
from acsnet.models import Ensemble

ARGUMENTS = {"in_channels": 1, "width": 4, "depth": 2}


def write_member(path: Path, seed: int, **changes: Any) -> Path:
    values = {
        "model": "unetpp",
        "arguments": ARGUMENTS,
        "class_names": ("benign", "malignant", "normal"),
        "input_size": (32, 32),
        "mean": (0.3,),
        "std": (0.2,),
        "split_hash": f"split{seed}",
        "metrics": {"dice": 0.5},
    } | changes
    torch.manual_seed(seed)
    metadata = CheckpointMetadata(**values)
    network = create_model(metadata.model, num_classes=len(metadata.class_names), **metadata.arguments)
    save_checkpoint(path, network.state_dict(), metadata)
    return path


def test_the_folds_become_one_model(tmp_path: Path) -> None:
    members = [write_member(tmp_path / f"{seed}.safetensors", seed) for seed in range(3)]
    path = tmp_path / "ensemble.safetensors"
    save_ensemble(path, members, {"protocol": "made up", "dice": 0.6}, {"evaluation": {"threshold": 0.4}})
    metadata = read_metadata(path)
    assert (metadata.model, metadata.members, metadata.split_hash) == ("unetpp", 3, None)
    assert metadata.metrics == {"protocol": "made up", "dice": 0.6}
    ensemble = load_model(path)
    assert isinstance(ensemble, Ensemble)
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        mask, label, _ = ensemble(images)
        outputs = [load_model(member)(images) for member in members]
    torch.testing.assert_close(mask.sigmoid(), torch.stack([o.mask.sigmoid() for o in outputs]).mean(0))
    torch.testing.assert_close(label.softmax(1), torch.stack([o.label.softmax(1) for o in outputs]).mean(0))


def test_an_ensemble_of_folds_that_selected_on_their_test_subsets_is_stamped(tmp_path: Path) -> None:
    members = [write_member(tmp_path / f"{seed}.safetensors", seed, selected_on="test") for seed in range(2)]
    save_ensemble(tmp_path / "x.safetensors", members, {}, {})
    assert read_metadata(tmp_path / "x.safetensors").selected_on == "test"


def test_trainings_on_one_split_keep_it_and_their_configuration(tmp_path: Path) -> None:
    shared = {"split_hash": "same", "config": {"evaluation": {"threshold": 0.4}}}
    members = [write_member(tmp_path / f"{seed}.safetensors", seed, **shared) for seed in range(3)]
    save_ensemble(tmp_path / "x.safetensors", members)
    metadata = read_metadata(tmp_path / "x.safetensors")
    assert (metadata.members, metadata.split_hash, metadata.metrics) == (3, "same", {})
    assert metadata.evaluation.threshold == 0.4


UNET = {"model": "unet", "arguments": ARGUMENTS}


def mean_mask(checkpoints: list[Path], images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.stack([load_model(path)(images).mask.sigmoid() for path in checkpoints]).mean(0)


def test_different_networks_become_one_model(tmp_path: Path) -> None:
    members = [
        write_member(tmp_path / "a.safetensors", 0, encoder_weights=({"encoder": "x"},), plugins=("one",)),
        write_member(tmp_path / "b.safetensors", 1, **UNET, encoder_weights=({"encoder": "x"}, {"encoder": "y"})),
        write_member(tmp_path / "c.safetensors", 2, arguments=ARGUMENTS | {"depth": 3}, plugins=("two", "one")),
    ]
    path = tmp_path / "ensemble.safetensors"
    save_ensemble(path, members)
    metadata = read_metadata(path)
    assert [(own.model, own.arguments["depth"]) for own in metadata.networks] == [
        ("unetpp", 2),
        ("unet", 2),
        ("unetpp", 3),
    ]
    assert (metadata.model, metadata.arguments, metadata.members) == ("unetpp", ARGUMENTS, 3)
    assert (metadata.network_names, metadata.title) == ("unetpp + unet", "ensemble of 2 unetpp + unet")
    assert (metadata.encoder_weights, metadata.plugins) == (({"encoder": "x"}, {"encoder": "y"}), ("one", "two"))
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        mask = load_model(path)(images).mask.sigmoid()
    torch.testing.assert_close(mask, mean_mask(members, images))


def test_a_member_whose_teacher_has_another_split_has_no_split(tmp_path: Path) -> None:
    taught = {"loss": {"distillation": {"allow_other_split": True}}}
    members = [
        write_member(tmp_path / "a.safetensors", 0, split_hash="same"),
        write_member(tmp_path / "b.safetensors", 1, split_hash="same", config=taught),
    ]
    save_ensemble(tmp_path / "x.safetensors", members)
    assert read_metadata(tmp_path / "x.safetensors").split_hash is None


def test_members_of_ensembles_become_members(tmp_path: Path) -> None:
    paths = [write_member(tmp_path / f"{seed}.safetensors", seed, **(UNET if seed == 2 else {})) for seed in range(3)]
    pair, path = tmp_path / "pair.safetensors", tmp_path / "ensemble.safetensors"
    save_ensemble(pair, paths[:2])
    for checkpoints in ([pair, paths[2]], [paths[2], pair]):
        save_ensemble(path, checkpoints)
        assert read_metadata(path).members == len(read_metadata(path).networks) == 3
        images = torch.randn(2, 1, 32, 32)
        with torch.inference_mode():
            mask = load_model(path)(images).mask.sigmoid()
        torch.testing.assert_close(mask, mean_mask(paths, images))


def test_one_checkpoint_given_twice_is_refused(tmp_path: Path) -> None:
    first, other = (write_member(tmp_path / f"{seed}.safetensors", seed) for seed in range(2))
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(first.read_bytes())
    for again in (first, copy):
        with pytest.raises(InputError, match=rf"{again} is twice in the ensemble: name each checkpoint once"):
            save_ensemble(tmp_path / "x.safetensors", [first, other, again])


def test_no_member_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"an ensemble has no members: name at least one checkpoint"):
        save_ensemble(tmp_path / "x.safetensors", [], {}, {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class_names": ("malignant", "benign", "normal")}, "class_names is"),
        ({"input_size": (64, 64)}, r"input_size is \(64, 64\) and \(32, 32\)"),
        ({"mean": (0.5,)}, r"mean is \(0.5,\) and \(0.3,\)"),
        ({"crop_margins": True}, "crop_margins is True and False"),
        ({"keep_aspect": True}, "keep_aspect is True and False"),
        ({"arguments": ARGUMENTS | {"in_channels": 3}}, "in_channels is 3 and 1"),
        ({"arguments": ARGUMENTS | {"tasks": ["segmentation"]}}, r"tasks is \('segmentation',\) and \('segm"),
        ({"selected_on": "test"}, "selected_on is test and validation"),
    ],
)
def test_networks_that_cannot_be_averaged_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    first, other = write_member(tmp_path / "a.safetensors", 0), write_member(tmp_path / "b.safetensors", 1, **changes)
    with pytest.raises(InputError, match=rf"b.safetensors and .*a.safetensors cannot be one ensemble: {said}"):
        save_ensemble(tmp_path / "x.safetensors", [first, other], {}, {})
    assert not (tmp_path / "x.safetensors").exists()
