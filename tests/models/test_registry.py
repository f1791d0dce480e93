import inspect
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import acsnet
from acsnet._utils.naming import look_up
from acsnet.errors import InputError, UnknownNameError
from acsnet.labels import TASKS
from acsnet.models import Contract, _registry, create_model, list_models, model_entry, register_model


@pytest.fixture
def own_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the registry after the test."""
    monkeypatch.setattr(_registry, "_ENTRIES", dict(_registry._ENTRIES))


class Toy(nn.Module):
    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        tasks: Sequence[str],
        encoder_weights: str | None = None,
        widths: Sequence[int] = (),
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.received: dict[str, Any] = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "encoder_weights": encoder_weights,
            "tasks": tasks,
            "widths": widths,
            "depth": depth,
        }
        self.linear = nn.Linear(in_channels, num_classes)


def register_toy(name: str = "toy", **arguments: Any) -> None:
    own = {"widths": Sequence[int], "depth": int}
    register_model(name, publication="none", adds="nothing", arguments=own, **arguments)(Toy)


# --- look-up ---------------------------------------------------------------------------------------------------------


def test_look_up_returns_the_value() -> None:
    assert look_up("color", "red", {"red": 1, "blue": 2}, "") == 1


@pytest.mark.parametrize(
    ("name", "listing", "message"),
    [
        ("rde", "", "unknown color 'rde': did you mean 'red'? known: blue, dark red, red"),
        ("RED", "ls lists all", "unknown color 'RED': did you mean 'red' or 'dark red'? ls lists all"),
        ("xyz", "ls lists all", "unknown color 'xyz': ls lists all"),
        (None, "", "unknown color None: known: blue, dark red, red"),
    ],
)
def test_look_up_suggests_near_matches(name: Any, listing: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        look_up("color", name, {"red": 1, "dark red": 2, "blue": 3}, listing)
    assert str(caught.value) == message


def test_look_up_suggests_at_most_three_names() -> None:
    options = dict.fromkeys(f"unet{i}" for i in range(9))
    with pytest.raises(UnknownNameError, match=r"did you mean 'unet.' or 'unet.' or 'unet.'\?"):
        look_up("network", "unet", options, "")


# --- registering -----------------------------------------------------------------------------------------------------


def test_the_builder_receives_the_arguments(own_entries: None) -> None:
    register_toy(defaults={"depth": 4}, pretrained=True)
    network = create_model("toy", num_classes=5, in_channels=1, encoder_weights="imagenet", tasks=["classification"])
    assert network.received == {
        "num_classes": 5,
        "in_channels": 1,
        "encoder_weights": "imagenet",
        "tasks": ["classification"],
        "widths": (),
        "depth": 4,
    }
    assert create_model("toy", depth=7).received["depth"] == 7, "an argument wins over the name's default"


def test_the_decorator_returns_the_builder(own_entries: None) -> None:
    assert register_model("toy", publication="none", adds="nothing")(Toy) is Toy


def test_an_entry_holds_what_was_registered(own_entries: None) -> None:
    register_toy(input_size=(64, 96), defaults={"depth": 2}, needs_normal_class=True)
    entry = model_entry("toy")
    assert (entry.name, entry.builder, entry.publication, entry.adds) == ("toy", Toy, "none", "nothing")
    assert (entry.input_size, dict(entry.defaults)) == ((64, 96), {"depth": 2})
    assert (entry.pretrained, entry.needs_normal_class) == (False, True)
    with pytest.raises(AttributeError, match="cannot assign to field"):
        entry.name = "other"  # type: ignore[misc]


def test_a_name_is_registered_once(own_entries: None) -> None:
    before = model_entry("acsnet")
    with pytest.raises(ValueError, match="a network named 'acsnet' is already registered: choose another name"):
        register_toy("acsnet")
    assert model_entry("acsnet") is before


def test_builds_do_not_change_the_defaults(own_entries: None) -> None:
    def builder(widths: list[int], **_: Any) -> nn.Module:
        widths.append(0)
        return nn.Identity()

    register_model("mutating", publication="none", adds="nothing", defaults={"widths": [16, [32]]})(builder)
    for _ in range(2):
        create_model("mutating")
        assert model_entry("mutating").defaults == {"widths": [16, [32]]}


# --- listing ---------------------------------------------------------------------------------------------------------


def test_names_are_sorted_and_filtered_by_wildcards(own_entries: None) -> None:
    for name in ("zz_b", "zz_a", "zz_other"):
        register_toy(name)
    assert list_models("zz_*") == ["zz_a", "zz_b", "zz_other"]
    assert list_models("zz_?") == ["zz_a", "zz_b"]
    assert list_models("nothing*") == []
    assert list_models() == sorted(list_models())
    assert {"zz_a", "acsnet"} <= set(list_models())


@pytest.mark.parametrize("name", list_models())
def test_every_entry_is_complete(name: str) -> None:
    entry = model_entry(name)
    assert len(entry.publication) > 8
    assert len(entry.adds) > 8
    assert all(length > 0 and length % 32 == 0 for length in entry.input_size)
    parameters = set(inspect.signature(entry.builder).parameters)
    assert {"contract"} | set(entry.defaults) <= parameters
    assert ("encoder_weights" in parameters) == entry.pretrained
    assert ("normal_index" in parameters) == entry.needs_normal_class
    assert not parameters & set(Contract.__annotations__), "the base class alone names them"


# --- errors of create_model ------------------------------------------------------------------------------------------


def test_an_unknown_network_has_near_matches() -> None:
    message = r"unknown network 'acsent': did you mean 'acsnet'.*\? acsnet\.list_models\(\"\*\"\) lists all"
    with pytest.raises(UnknownNameError, match=message):
        create_model("acsent")
    with pytest.raises(UnknownNameError, match="unknown network 'acsent': did you mean 'acsnet'"):
        model_entry("acsent")


def test_an_unknown_argument_has_near_matches() -> None:
    message = "unknown argument of acsnet 'width': did you mean 'widths'.*known: backend, encoder, "
    with pytest.raises(UnknownNameError, match=message):
        create_model("acsnet", width=[16] * 5)


@pytest.mark.parametrize(("wrong", "meant"), [("num_clases", "num_classes"), ("widht", "width")])
def test_arguments_of_the_contract_and_of_the_network_are_near_matches(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown argument of unet '{wrong}': did you mean '{meant}'"):
        create_model("unet", **{wrong: 1})


@pytest.mark.parametrize("name", [name for name in list_models() if not model_entry(name).pretrained])
def test_a_network_without_pretrained_weights_refuses_them(name: str) -> None:
    message = (
        f"encoder_weights is 'imagenet': {name} has no pretrained weights and starts from random ones; omit "
        "encoder_weights (in a configuration: --set model.encoder_weights=null)"
    )
    with pytest.raises(InputError) as caught:
        create_model(name, encoder_weights="imagenet")
    assert str(caught.value) == message


@pytest.mark.parametrize(("what", "least"), [("num_classes", 0), ("in_channels", 1)])
@pytest.mark.parametrize("value", [None, -1, 2.0, "3", True])
def test_numbers_have_to_be_whole_and_large_enough(what: str, least: int, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        create_model("acsnet", **{what: value})
    assert str(caught.value) == f"{what} is {value!r}: expected a whole number of at least {least}"


def test_images_have_a_channel() -> None:
    with pytest.raises(InputError, match="in_channels is 0: expected a whole number of at least 1"):
        create_model("acsnet", in_channels=0)


@pytest.mark.parametrize("tasks", ["segmentation", (), [], None, ("segmentation", "segmentation")])
def test_tasks_have_to_be_a_sequence_each_once(tasks: Any) -> None:
    with pytest.raises(InputError) as caught:
        create_model("acsnet", tasks=tasks)
    assert str(caught.value) == f"tasks is {tasks!r}: expected a sequence of one or two of segmentation, classification"


def test_an_unknown_task_has_near_matches() -> None:
    message = "unknown task 'segmentatoin': did you mean 'segmentation'\\? known: classification, segmentation"
    with pytest.raises(UnknownNameError, match=message):
        create_model("acsnet", tasks=["segmentatoin"])


def test_tasks_are_the_two() -> None:
    assert TASKS == ("segmentation", "classification")


# --- the package's front ---------------------------------------------------------------------------------------------


def test_the_package_offers_what_it_lists() -> None:
    assert all(getattr(acsnet, name) is not None for name in acsnet.__all__)
    assert acsnet.Predictor.__module__ == "acsnet.inference.predictor"
    assert acsnet.create_model is create_model


def test_the_package_refuses_other_names() -> None:
    with pytest.raises(AttributeError, match="module 'acsnet' has no attribute 'create_modle'"):
        acsnet.create_modle  # noqa: B018


# --- the published network -------------------------------------------------------------------------------------------


def test_acsnet_has_the_published_number_of_parameters() -> None:
    network = create_model("acsnet", num_classes=2)
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_824_945


def test_a_checkpoint_replaces_weights_that_would_be_downloaded(own_entries: None, tmp_path: Any) -> None:
    from acsnet.checkpoints import CheckpointMetadata, save_checkpoint

    register_toy(pretrained=True)
    source = create_model("toy", num_classes=2)
    size, mean, std = (32, 32), (0.5,), (0.5,)
    metadata = CheckpointMetadata(
        model="toy", arguments={}, class_names=("a", "b"), input_size=size, mean=mean, std=std
    )
    save_checkpoint(tmp_path / "toy.safetensors", source.state_dict(), metadata)
    network = create_model(
        "toy", num_classes=2, encoder_weights="imagenet", checkpoint=str(tmp_path / "toy.safetensors")
    )
    assert network.received["encoder_weights"] is None
    assert torch.equal(network.linear.weight, source.linear.weight)
