"""A checkpoint describes a network, and can do nothing else: no file, no download, no memory beyond its own tensors."""

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import acsnet
from acsnet import create_model, list_models, load_model
from acsnet.checkpoints import CheckpointMetadata, read_header, save_checkpoint
from acsnet.errors import CheckpointError, InputError, UnknownNameError
from acsnet.models import _loading, _registry, model_entry
from acsnet.models._registry import saved_arguments

TINY: dict[str, Any] = {"width": 4, "depth": 2}
TWO: dict[str, Any] = {"network": "unet", "arguments": TINY}


def metadata_of(model: str, arguments: dict[str, Any], members: int = 1) -> CheckpointMetadata:
    return CheckpointMetadata(
        model=model, arguments=arguments, class_names=("benign", "malignant"), input_size=(32, 32), mean=(0.3,),
        std=(0.2,), members=members,
    )  # fmt: skip


def write(path: Path, model: str = "unet", arguments: Any = None, described: Any = None, members: int = 1) -> Path:
    """A file of a network whose metadata describes another one."""
    arguments = TINY if arguments is None else arguments
    network = create_model(model, num_classes=2, **arguments)
    weights = network.state_dict()
    if members > 1:
        weights = {f"members.{i}.{key}": value for i in range(members) for key, value in weights.items()}
    metadata = metadata_of(model, arguments if described is None else described, members)
    save_checkpoint(path, weights, metadata)
    return path


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Devices on which networks are built; building one with memory is an error."""
    devices: list[str] = []

    def build(*arguments: Any, **options: Any) -> nn.Module:
        devices.append(torch.get_default_device().type)
        assert devices[-1] == "meta"
        return create_model(*arguments, **options)

    monkeypatch.setattr(_loading, "create_model", build)
    return devices


def refuse(path: Path, message: str) -> str:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["checkpoint", "encoder_weights", "num_classes", "pretrained", "name", "contract"])
@pytest.mark.parametrize(
    ("model", "arguments"), [("acsnet", {}), ("unet", TINY), ("unet_resnet50", {}), ("two_networks", TWO)]
)
def test_only_declared_arguments_come_from_a_file(model: str, arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"^unknown argument of {model} '{name}': "):
        saved_arguments(model, {**arguments, name: "/etc/passwd"})


@pytest.mark.parametrize("name", ["checkpoint", "encoder_weights", "num_classes", "tasks", "in_channels"])
@pytest.mark.parametrize("network", ["unet", "acsnet", "unet_resnet50"])
def test_nor_do_those_of_a_network_within(name: str, network: str) -> None:
    with pytest.raises(UnknownNameError, match=f"^unknown argument of {network} '{name}': "):
        saved_arguments("two_networks", {"network": network, "arguments": {name: "imagenet"}})
    if network == "unet_resnet50":
        with pytest.raises(UnknownNameError, match=f"^unknown argument of {network} '{name}': "):
            saved_arguments("two_networks", {"arguments": {name: "imagenet"}})


@pytest.mark.parametrize("name", ["checkpoint", "encoder_weights"])
@pytest.mark.parametrize("value", ["a.safetensors", "imagenet", ["x"], 3])
def test_no_other_file_is_opened(tmp_path: Path, without_memory: list[str], name: str, value: Any) -> None:
    path = write(tmp_path / "crafted.safetensors", described={**TINY, name: value})
    refuse(path, f"the network described by its metadata cannot be built: unknown argument of unet '{name}': ")
    assert without_memory == []


@pytest.mark.parametrize(
    "encoder",
    [
        "hf-hub:timm/resnet18.a1_in1k",
        "hf_hub:timm/resnet18",
        "local-dir:/tmp/network",
        "resnet18.hf-hub:owner/name",
        "resnet18.https://example.org/weights.pth",
        "timm/resnet18",
        "../resnet18",
        "resnet18.a.b",
        "resnet18\n",
        "",
        "r" * 1000,
    ],
)
@pytest.mark.parametrize("model", ["acsnet", "efficientnet_cbam", "fpn_resnet50"])
def test_an_encoder_is_no_address(model: str, encoder: str) -> None:
    with pytest.raises(InputError, match=r"^encoder is .+: String should ") as caught:
        saved_arguments(model, {"encoder": encoder})
    assert len(str(caught.value)) < 300
    with pytest.raises(InputError, match=r"^encoder is "):
        saved_arguments("two_networks", {"network": model, "arguments": {"encoder": encoder}})


@pytest.mark.parametrize("backend", ["mmcv", "torch", "nothing", ["mmcv"]])
def test_the_backend_is_a_choice_of_the_machine(tmp_path: Path, backend: Any) -> None:
    own = {"encoder": "mobilenetv3_small_050", "widths": [16] * 5}
    assert saved_arguments("acsnet", {**own, "backend": backend}) == own
    nested = {"network": "acsnet", "arguments": {**own, "backend": backend}}
    assert saved_arguments("two_networks", nested) == {"network": "acsnet", "arguments": own}
    assert nested["arguments"]["backend"] == backend
    path = write(tmp_path / "a.safetensors", "acsnet", own, described={**own, "backend": backend})
    network = load_model(path)
    assert {module.backend for module in network.modules() if hasattr(module, "backend")} == {"auto"}


@pytest.mark.parametrize("network", ["two_networks", "no_network", "", "/etc/passwd", 3])
def test_the_network_within_is_another_one_of_the_registry(tmp_path: Path, network: Any) -> None:
    described = {"network": network, "arguments": {"network": "unet", "arguments": {"checkpoint": "a"}}}
    path = write(tmp_path / "a.safetensors", "two_networks", TWO, described)
    refuse(path, "the network described by its metadata cannot be built: ")


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("unet", {"width": "4"}, "width is '4': Input should be a valid integer"),
        ("unet", {"width": True}, "width is True: Input should be a valid integer"),
        ("unet", {"width": -1}, "width is -1: Input should be greater than or equal to 1"),
        ("unet", {"depth": 6}, "depth is 6: expected a whole number from 1 to 5"),
        ("unet", {"down_blocks": [10**6] * 5}, r"down_blocks is \[1000000, .+: Input should be less than or equal "),
        ("unet", {"up_blocks": [1] * 10**5}, r"up_blocks is \[1, 1.+\.\.\.: \w+ should have at most 16 items"),
        ("unet", {"single_channel_classifier": 1}, "single_channel_classifier is 1: Input should be a valid boolean"),
        ("gated_unet", {"per_channel": "yes"}, "per_channel is 'yes': Input should be a valid boolean"),
        ("unetpp", {"node_blocks": 10**9}, "node_blocks is 1000000000: Input should be less than or equal to 64"),
        ("unetpp_refined", {"normal_index": -1}, "normal_index is -1: Input should be greater than or equal to 0"),
        ("mt_nnunet", {"width": 10**12}, "width is 1000000000000: Input should be less than or equal to 65536"),
        ("mt_unetpp", {"widths": {"a": 1}}, r"widths is \{'a': 1\}: Input should be an instance of Sequence"),
        ("efficientnet_cbam", {"reduction": 0}, "reduction is 0: Input should be greater than or equal to 1"),
        ("fpn_resnet50", {"dropout": 1.0}, r"dropout is 1\.0: Input should be less than 1"),
        ("fpn_resnet50", {"dropout": float("nan")}, "dropout is nan: "),
        ("fpn_resnet50", {"decoder": "hf"}, "unknown decoder 'hf'"),
        ("two_networks", {"arguments": [1]}, r"arguments is \[1\]: Input should be a valid dictionary"),
        ("acsnet", {"in_channels": 10**9}, "in_channels"),
        ("acsnet", {"mask_pooling": 1}, "mask_pooling is 1: Input should be a valid boolean"),
    ],
)  # fmt: skip
def test_values_of_another_type_or_out_of_range(model: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=message) as caught, torch.device("meta"):
        create_model(model, **saved_arguments(model, arguments))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("model", "own", "described"),
    [
        ("unet", TINY, {"width": 65536, "depth": 5}),
        ("unet", TINY, {"width": 4, "depth": 5}),
        ("unetpp", TINY, {"width": 30000, "node_blocks": 64}),
        ("mt_nnunet", {"width": 2}, {"width": 65536}),
        ("mt_unetpp", {"widths": [2] * 6}, {"widths": [65536] * 6}),
        ("two_networks", TWO, {"network": "unet", "arguments": {"width": 65536}}),
        ("two_networks", TWO, {"network": "unet_wide_resnet50"}),
    ],
)
def test_a_network_is_built_only_if_its_tensors_are_in_the_file(
    tmp_path: Path, without_memory: list[str], model: str, own: dict[str, Any], described: dict[str, Any]
) -> None:
    path = write(tmp_path / "crafted.safetensors", model, own, described)
    message = refuse(path, r"does not match the architecture of \w+: |cannot be built: ")
    assert "missing" in message or "with a different shape" in message or "cannot be built" in message
    assert set(without_memory) == {"meta"}


@pytest.mark.parametrize("classes", [100, 999])
def test_classes_are_those_of_the_file(tmp_path: Path, without_memory: list[str], classes: int) -> None:
    path = write(tmp_path / "a.safetensors")
    content = json.loads(read_header(path)["acsnet"]) | {"class_names": [f"class {i}" for i in range(classes)]}
    save_file({"weight": torch.zeros(1)}, path, metadata={"acsnet": json.dumps(content)})
    refuse(path, r"does not match the architecture of UNet: ")
    assert without_memory == ["meta"]


@pytest.mark.parametrize(
    ("stored", "described", "message"),
    [
        (1, 1000, r"has \d+ tensors, fewer than the 1000 networks that its metadata describes: copy the file again$"),
        (2, 3, r"has \d+ tensors, fewer than the 3 networks that its metadata describes: copy the file again$"),
        (1, 2, r"has \d+ tensors, fewer than the 2 networks that its metadata describes: copy the file again$"),
        (3, 2, r"does not match the architecture of Ensemble: \d+ unexpected \(members\.2\."),
        (2, 1, r"does not match the architecture of UNet: \d+ missing .*; \d+ unexpected \(members\."),
    ],
)
def test_the_members_of_an_ensemble_are_in_the_file(
    tmp_path: Path, without_memory: list[str], stored: int, described: int, message: str
) -> None:
    path = write(tmp_path / "a.safetensors", members=stored)
    weights = acsnet.checkpoints.read_weights(path)
    save_checkpoint(path, weights, metadata_of("unet", TINY, described))
    refuse(path, message)
    assert without_memory == ["meta"]


def test_a_file_that_describes_more_networks_than_it_has_is_refused_at_the_first(
    tmp_path: Path, without_memory: list[str]
) -> None:
    path = write(tmp_path / "a.safetensors", members=2)
    networks = [{"model": "unet", "arguments": TINY | {"width": 4 + i}} for i in range(1000)]
    content = json.loads(read_header(path)["acsnet"]) | {
        "members": 1000,
        "arguments": networks[0]["arguments"],
        "networks": networks,
    }
    save_file(acsnet.checkpoints.read_weights(path), path, metadata={"acsnet": json.dumps(content)})
    refuse(path, r"has \d+ tensors, fewer than the 1000 networks that its metadata describes: copy the file again$")
    assert without_memory == ["meta"] * 3


def test_an_ensemble_is_loaded(tmp_path: Path) -> None:
    network = load_model(write(tmp_path / "a.safetensors", members=3))
    assert len(network.members) == 3


# --- the registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_models())
def test_every_own_argument_is_declared(name: str) -> None:
    """As a checkpoint has to name it, or as a setting of the machine."""
    entry = model_entry(name)
    parameters = inspect.signature(entry.builder).parameters.values()
    own = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    assert own - {"encoder_weights", "contract"} == {*entry.arguments, *entry.settings}


def test_the_arguments_of_every_tiny_network_are_valid() -> None:
    script = Path(__file__).parent / "update_snapshots.py"
    specification = importlib.util.spec_from_file_location("snapshots", script)
    assert specification is not None
    assert specification.loader is not None
    snapshots = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(snapshots)
    for name, arguments in snapshots.TINY.items():
        assert saved_arguments(name, arguments) == arguments
        assert saved_arguments(name, dict(model_entry(name).defaults)) is not None


def test_a_network_of_a_user_declares_its_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))

    def builder(num_classes: int, in_channels: int, tasks: Any, width: int = 2) -> nn.Module:
        return nn.Linear(in_channels * width, num_classes)

    acsnet.register_model("undeclared", publication="none", adds="nothing")(builder)
    message = (
        r"^unknown argument of undeclared 'width': undeclared was registered without arguments of its own: "
        r"register_model\(\.\.\., arguments=\{\.\.\.\}\) names them$"
    )
    with pytest.raises(UnknownNameError, match=message):
        create_model("undeclared", width=3)
    acsnet.register_model("declared", publication="none", adds="nothing", arguments={"width": int})(builder)
    path = write(tmp_path / "a.safetensors", "declared", {"width": 3})
    assert load_model(path).weight.shape == (2, 9)
