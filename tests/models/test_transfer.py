"""Transfer learning with every network: other classes, features, and what a checkpoint leaves."""

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from acsnet import MultiTaskModel, MultiTaskOutput, create_model, list_models, load_model
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.errors import CheckpointError, InputError
from acsnet.models import Ensemble, LoadedWeights, TwoNetworks, model_entry

specification = importlib.util.spec_from_file_location("snapshots", Path(__file__).parent / "update_snapshots.py")
assert specification is not None
assert specification.loader is not None
script = importlib.util.module_from_spec(specification)
specification.loader.exec_module(script)

SIZE = (64, 96)
CLASSES = ("benign", "malignant", "normal")


def distinct() -> list[str]:
    """Names whose tiny networks differ."""
    first: dict[str, str] = {}
    for name in list_models():
        what = [model_entry(name).builder.__qualname__, dict(model_entry(name).defaults) | script.TINY[name]]
        first.setdefault(json.dumps(what, sort_keys=True), name)
    return list(first.values())


every_network = pytest.mark.parametrize("name", distinct())
JOINED = ("unetpp_refined", "unetpp_lesion_weighted")


def build(name: str, **arguments: Any) -> Any:
    return script.build_tiny(name, **arguments)


def images() -> torch.Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def run(network: nn.Module) -> MultiTaskOutput:
    with torch.inference_mode():
        return network.eval()(images())


def class_layer_of(network: Any) -> str:
    """Name of the class layer: the last linear layer with as many outputs as classes."""
    names = [
        key
        for key, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == network.num_classes and "cls_head" in key
    ]
    return names[-1]


def save(path: Path, network: nn.Module, name: str, **arguments: Any) -> Path:
    metadata = CheckpointMetadata(
        model=name,
        arguments=script.tiny_arguments(name) | arguments,
        class_names=CLASSES,
        input_size=SIZE,
        mean=(0.33,),
        std=(0.2,),
    )
    save_checkpoint(path, network.state_dict(), metadata)
    return path


# --- features --------------------------------------------------------------------------------------------------------


@every_network
def test_forward_features_are_the_deepest_maps_of_the_encoder(name: str) -> None:
    for tasks in (("segmentation", "classification"), ("classification",)):
        network = build(name, tasks=tasks).eval()
        with torch.inference_mode():
            maps = network.forward_features(images())
        batch, channels, height, width = maps.shape
        assert (batch, SIZE[0] // height, SIZE[0] % height) == (2, SIZE[1] // width, 0)
        assert SIZE[0] // height in (4, 16, 32)
        assert channels > 1
    if isinstance(network, TwoNetworks):
        return
    with pytest.raises(InputError, match="images have 1 channels, but the network was built with in_channels=3"):
        network.forward_features(images()[:, :1])


def test_forward_features_are_those_that_the_pair_pools() -> None:
    network = build("unet_resnet50").eval()
    with torch.inference_mode():
        maps = network.forward_features(images())
        label = network.cls_head.classify(maps.mean(dim=(2, 3)))
    torch.testing.assert_close(label, run(network).label)


def test_the_features_of_two_networks_are_those_of_the_classifier() -> None:
    network = build("two_networks").eval()
    with torch.inference_mode():
        assert torch.equal(network.forward_features(images()), network.classification.forward_features(images()))


class Unnamed(MultiTaskModel):
    """A network without the usual names."""

    divisor = 1

    def __init__(self, **contract: Any) -> None:
        super().__init__(**contract)
        self.linear = nn.Linear(3, 3)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        return MultiTaskOutput(None, self.linear(images.mean(dim=(2, 3))))


def test_networks_of_others_are_told_what_is_missing() -> None:
    network = Unnamed(tasks=["classification"])
    with pytest.raises(InputError, match=r"Unnamed has no module named encoder, .*: define its method enc"):
        network.forward_features(images())
    with pytest.raises(InputError, match=r"Unnamed has no module cls_head that ends in a linear layer: def"):
        network.reset_classifier(2)


# --- other classes ---------------------------------------------------------------------------------------------------


@every_network
def test_reset_classifier_replaces_one_layer(name: str) -> None:
    network = build(name).double().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layer = class_layer_of(network)
    network.reset_classifier(4)
    assert network.num_classes == 4
    after = network.state_dict()
    assert after.keys() == before.keys()
    changed = [key for key, value in after.items() if not torch.equal(value, before[key])]
    assert changed == [f"{layer}.weight", f"{layer}.bias"]
    assert all(value.dtype == before[key].dtype for key, value in after.items())
    assert not any(module.training for module in network.modules())
    assert run(network.float()).label.shape == (2, 4)


@pytest.mark.parametrize(
    "name", ["acsnet", "fpn_resnet50", "mt_nnunet", "mt_unetpp", "efficientnet_cbam", "two_networks", "unet"]
)
def test_without_classes_the_label_is_what_the_last_layer_would_take(name: str) -> None:
    network = build(name)
    linear = network.get_submodule(class_layer_of(network))
    label = run(network).label
    network.reset_classifier(0)
    features = run(network).label
    assert features.shape == (2, linear.in_features)
    with torch.no_grad():
        torch.testing.assert_close(linear(features.clone()), label, rtol=1e-4, atol=1e-5)
    with torch.device("meta"):
        built = build(name, num_classes=0)
    assert built.num_classes == 0
    assert built.state_dict().keys() == network.state_dict().keys()
    assert repr(built) == repr(network.train())


def test_a_network_without_classes_gets_some() -> None:
    network = build("unet", num_classes=0)
    network.reset_classifier(3)
    assert run(network).label.shape == (2, 3)
    masks = build("unet", num_classes=0, tasks=["segmentation"]).eval()
    assert run(masks).label is None
    assert masks.forward_features(images()).shape == (2, 128, 4, 6)


@pytest.mark.parametrize("name", JOINED)
def test_a_network_that_needs_the_normal_class_keeps_it(name: str) -> None:
    for classes in (0, 2):
        message = rf'needs the class "normal" and at least one other, got num_classes={classes} and normal_index=2'
        with pytest.raises(InputError, match=message):
            build(name, num_classes=classes)
        network = build(name)
        with pytest.raises(InputError, match=message):
            network.reset_classifier(classes)
        assert network.num_classes == 3
    network.reset_classifier(4)
    assert run(network).label.shape == (2, 4)


@pytest.mark.parametrize("value", [-1, 2.0, True, None])
def test_numbers_of_classes_that_are_none(value: Any) -> None:
    message = f"num_classes is {value!r}: expected a whole number of at least 0"
    with pytest.raises(InputError, match=message):
        build("unet", num_classes=value)
    for name in ("unet", "two_networks"):
        with pytest.raises(InputError, match=message):
            build(name).reset_classifier(value)


@pytest.mark.parametrize("name", ["unet", "acsnet", "two_networks", "mt_unetpp", "unetpp_refined"])
def test_a_network_without_classification_has_no_classifier(name: str) -> None:
    network = build(name, tasks=["segmentation"])
    with pytest.raises(InputError, match="was built without classification and has no classifier to reset: build it"):
        network.reset_classifier(2)


def test_the_classes_in_the_metadata_are_removed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", build("unet"), "unet")
    network = load_model(path)
    network.reset_classifier(2)
    assert not hasattr(network, "metadata")
    assert hasattr(load_model(path), "metadata")


def test_an_ensemble() -> None:
    ensemble = Ensemble([build("unet"), build("two_networks")])
    ensemble.reset_classifier(2)
    assert run(ensemble).label.shape == (2, 2)
    with pytest.raises(InputError, match=r"ensemble of 2 networks has no features of its own: call members\[i\]\.forw"):
        ensemble.forward_features(images())
    with pytest.raises(InputError, match="num_classes is 0: expected a whole number of at least 1"):
        ensemble.reset_classifier(0)
    with pytest.raises(InputError, match=r"averages class probabilities, but a member has num_classes=0 .*reset_class"):
        Ensemble([build("unet"), build("unet", num_classes=0)])


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["acsnet", "fpn_resnet50", "mt_nnunet", "two_networks", "efficientnet_cbam"])
def test_a_checkpoint_of_other_classes(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = build(name)
    path = save(tmp_path / "a.safetensors", source, name)
    torch.manual_seed(7)
    network = create_model(name, num_classes=2, checkpoint=path, **script.tiny_arguments(name))
    layer = class_layer_of(network)
    assert network.loaded.not_loaded == (f"{layer}.weight", f"{layer}.bias")
    assert network.loaded.unused == ()
    assert network.loaded.metadata.class_names == CLASSES
    state = source.state_dict()
    for key, value in network.state_dict().items():
        assert key in network.loaded.not_loaded or torch.equal(value, state[key]), key
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line == (
        f"{len(state) - 2} of {len(state)} tensors loaded from {path}; 2 start at random ({layer}.weight, {layer}.bias)"
    )
    torch.testing.assert_close(run(network).mask, run(source).mask)


def test_a_checkpoint_that_fits_leaves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save(tmp_path / "a.safetensors", build("unet"), "unet")
    network = create_model("unet", checkpoint=path, width=8)
    assert network.loaded.is_complete
    assert not caplog.records
    assert create_model("unet", width=8).loaded is None


@pytest.mark.parametrize(
    ("arguments", "not_loaded", "unused"),
    [
        ({"tasks": ["segmentation"]}, 0, 4),
        ({"in_channels": 1}, 1, 0),
        ({"num_classes": 0}, 0, 2),
        ({"single_channel_classifier": True}, 7, 0),
        ({"mask_pooling": True}, 1, 0),
    ],
)
def test_whatever_fits_is_loaded(
    arguments: dict[str, Any], not_loaded: int, unused: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / "a.safetensors", build("unet"), "unet")
    network = build("unet", checkpoint=path, **arguments)
    assert (len(network.loaded.not_loaded), len(network.loaded.unused)) == (not_loaded, unused)
    assert f"{unused} of the file are not used (cls_head." in caplog.text or not unused
    assert f"{not_loaded} start at random (" in caplog.text or not not_loaded


def test_the_encoder_of_another_network(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", build("acsnet"), "acsnet")
    network = build("fpn_resnet50", checkpoint=path)
    assert not any(key.startswith("encoder.") for key in network.loaded.not_loaded)
    assert network.loaded.not_loaded


@pytest.mark.parametrize(
    ("name", "arguments", "where"),
    [
        ("unet", {"width": 16}, "encoder's"),
        ("unet", {"depth": 1}, ""),
        ("mt_unetpp", {}, "encoder's"),
        ("acsnet", {}, "encoder's"),
        ("two_networks", {}, "network's"),
    ],
)
def test_a_checkpoint_of_another_network_is_an_error(
    name: str, arguments: dict[str, Any], where: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.safetensors", build("unet"), "unet")
    if not where:
        # The shallow encoder is a part of the deeper one.
        assert build(name, checkpoint=path, **arguments).loaded.not_loaded
        return
    message = (
        rf"a\.safetensors does not match the architecture of {type(build(name)).__name__}: \d+ .*; 0% of the {where} "
        "weights fit, at least half are needed: use a checkpoint of this network, or build the network with"
    )
    with pytest.raises(CheckpointError, match=message):
        build(name, checkpoint=path, **arguments)


def test_half_of_the_encoder_is_needed(tmp_path: Path) -> None:
    """The deepest level of a U-Net has most of the weights of its encoder."""
    state = build("unet").state_dict()
    deepest = {key: value for key, value in state.items() if key.startswith("encoder.levels.4.")}
    others = {key: value for key, value in state.items() if key not in deepest}
    save_file(others, tmp_path / "others.safetensors")
    with pytest.raises(CheckpointError, match=r"; [1-4]\d% of the encoder's weights fit, at least half are needed"):
        build("unet", checkpoint=tmp_path / "others.safetensors")
    save_file(deepest, tmp_path / "deepest.safetensors")
    network = build("unet", checkpoint=tmp_path / "deepest.safetensors")
    assert network.loaded.metadata is None
    assert network.loaded.loaded == len(deepest)


def test_values_of_another_kind_do_not_fit(tmp_path: Path) -> None:
    state = build("unet").state_dict()
    bias = "seg_head.bias"
    save_file({**state, bias: torch.ones(1, dtype=torch.int64)}, tmp_path / "a.safetensors")
    assert build("unet", checkpoint=tmp_path / "a.safetensors").loaded.not_loaded == (bias,)


@pytest.mark.parametrize(("left", "unused"), [((), ()), (("head.weight",), ()), (tuple("abcdefgh"), tuple("ijk"))])
def test_the_representation_is_one_line(left: tuple[str, ...], unused: tuple[str, ...]) -> None:
    metadata = CheckpointMetadata(
        model="unet", arguments={}, class_names=("benign", "malignant"), input_size=(64, 64), mean=(0.3,), std=(0.2,)
    )
    found = LoadedWeights(Path("a.safetensors"), 200, left, unused, metadata)
    assert repr(found) == f"<LoadedWeights: {found.summary}>"
    assert len(repr(found)) < 200
